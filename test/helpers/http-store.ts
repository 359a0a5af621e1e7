/**
 * An object store over `fetch`, for tests in runtimes that have nothing else; `http-store-server.ts` answers.
 *
 * @module
 */
import {
  type BodyContext,
  bodyChunks,
  byteRange,
  checkKey,
  checkPrefix,
  checkPutOptions,
  collectBody,
  type GetResult,
  NotFoundError,
  type ObjectInfo,
  type ObjectMetadata,
  type ObjectStore,
  PreconditionFailedError,
  StoreError,
  throwIfAborted,
} from "pagestream/transports/store-kit";

/** What the server says of an object, in the header `x-object` and in listings. */
export interface WireObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModified: number;
  readonly metadata: ObjectMetadata;
}

/** Objects per page of a listing. */
export const LIST_PAGE = 100;

const RETRYABLE = { retryable: true };

interface Request {
  readonly operation: string;
  readonly key: string;
  readonly method: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal?: AbortSignal | undefined;
}

/** A store below a URL such as `http://127.0.0.1:1234/store/name`. */
export function httpStore(url: string): ObjectStore {
  const send = (request: Request): Promise<Response> => answer(url, request);
  return {
    type: "http-test",
    description: url,
    capabilities: {
      conditionalPut: true,
      conditionalReplace: true,
      conditionalLarge: true,
      conditionalDelete: true,
      metadataInList: true,
      rangedGet: true,
      watch: false,
    },
    // On the same machine, so that tests need not wait for a group.
    local: true,

    async get(key, options = {}): Promise<GetResult> {
      checkKey(key, "read");
      // For its check of the numbers alone: the server cuts the range.
      byteRange(0, options, key);
      const { offset, length, ifMatch, signal } = options;
      const response = await send({
        operation: "read",
        key,
        method: "GET",
        query: { offset: offset?.toString(), length: length?.toString() },
        headers: { "if-match": ifMatch },
        signal,
      });
      const { size, etag, lastModified, metadata } = infoOf(describedBy(response));
      const context = { operation: "read", object: key, signal };
      const body = streamOf(response.body ?? new Uint8Array(), context);
      return { body, size, etag, lastModified, metadata: metadata ?? {} };
    },

    async put(key, body, options = {}) {
      checkKey(key, "write");
      checkPutOptions(key, options);
      const { ifNoneMatch, ifMatch, metadata = {}, signal } = options;
      const response = await send({
        operation: "write",
        key,
        method: "PUT",
        headers: {
          "if-none-match": ifNoneMatch,
          "if-match": ifMatch,
          "x-metadata": encodeURIComponent(JSON.stringify(metadata)),
        },
        body: await collectBody(body, { operation: "write", object: key, signal }),
        signal,
      });
      const { etag, lastModified } = infoOf(describedBy(response));
      return { etag, lastModified };
    },

    async head(key, options = {}) {
      checkKey(key, "look up");
      return infoOf(
        describedBy(await send({ operation: "look up", key, method: "HEAD", ...options })),
      );
    },

    async delete(keys, options = {}) {
      for (const key of keys) checkKey(key, "delete");
      for (const key of keys) await this.deleteOne(key, options);
    },

    async deleteOne(key, options = {}) {
      checkKey(key, "delete");
      const { ifMatch, signal } = options;
      const headers = { "if-match": ifMatch };
      await send({ operation: "delete", key, method: "DELETE", headers, signal });
    },

    async *list(options = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { prefix = "", signal } = options;
      checkPrefix(prefix, "list");
      let { startAfter } = options;
      for (;;) {
        const query = { prefix, startAfter };
        const request = { operation: "list", key: "", method: "GET", query, signal };
        const page = (await (await send(request)).json()) as readonly WireObject[];
        for (const object of page) {
          throwIfAborted(signal, "list", url);
          yield infoOf(object);
        }
        if (page.length < LIST_PAGE) return;
        startAfter = page.at(-1)?.key;
      }
    },
  };
}

async function answer(url: string, request: Request): Promise<Response> {
  const { operation, key, method, body, signal } = request;
  throwIfAborted(signal, operation, key);
  const target = new URL(`${url}/${encodeURIComponent(key)}`);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) target.searchParams.set(name, value);
  }
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value !== undefined) headers.set(name, value);
  }
  let response: Response;
  try {
    response = await fetch(target, { method, headers, body: body ?? null, signal: signal ?? null });
  } catch (cause) {
    throwIfAborted(signal, operation, key);
    const details = { operation, object: key, what: "the server cannot be reached", cause };
    throw new StoreError(details, RETRYABLE);
  }
  if (response.ok) return response;
  const details = { operation, object: key, what: `the server answers ${response.status}` };
  if (response.status === 404) throw new NotFoundError(details);
  if (response.status === 412) throw new PreconditionFailedError(details);
  throw new StoreError(details, { retryable: response.status >= 500 });
}

function describedBy(response: Response): WireObject {
  return JSON.parse(decodeURIComponent(response.headers.get("x-object") ?? "")) as WireObject;
}

function infoOf(object: WireObject): ObjectInfo {
  return { ...object, lastModified: new Date(object.lastModified) };
}

function streamOf(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  context: BodyContext,
): ReadableStream<Uint8Array> {
  const chunks = bodyChunks(body, context);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await chunks.next().catch((cause: unknown) => {
          throwIfAborted(context.signal, context.operation, context.object);
          throw new StoreError({ ...context, what: "the body was cut short", cause }, RETRYABLE);
        });
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await chunks.return();
      },
    },
    { highWaterMark: 0 },
  );
}
