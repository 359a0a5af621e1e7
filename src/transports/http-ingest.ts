/**
 * Writing through a server that has the ingest routes of `pagestream/http`.
 *
 * Bodies are sent as bytes of known length, since browsers send no streams; the server reads the time of a file from its
 * header, so that metadata need not be sent.
 *
 * @module
 */
import { type BodyContext, bodyChunks, collectBody } from "./body.ts";
import { PreconditionFailedError, StoreError } from "./errors.ts";
import type { HttpClient } from "./http-client.ts";
import type { HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { asObject, parseJson, textField } from "./json.ts";
import { encodePath } from "./location.ts";
import type { PutOptions, PutResult, StoreCapabilities } from "./object-store.ts";
import { versionTag } from "./plain-object.ts";

/** What an {@linkcode Ingest} works with. */
export interface IngestOptions {
  /** Address of the store. */
  readonly base: string;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly client: HttpClient;
}

/** An object to remove, or one version of it. */
export interface RemovedObject {
  readonly key: string;
  readonly etag?: string | undefined;
}

/** What a server with the routes says of itself. */
interface Found {
  readonly capabilities: StoreCapabilities;
  readonly maxBytes: number;
}

/** Statuses with which a server without the routes answers. */
const ABSENT: readonly number[] = [404, 405, 410, 501];
/** Objects of one request to remove. */
const REMOVE_BATCH = 1_000;
/** The longest error that is read. */
const ERROR_BYTES = 64 << 10;

/** The routes of one server, once they are found. */
export class Ingest {
  readonly #options: IngestOptions;
  #found: Found | undefined | "unknown" = "unknown";
  #finding: Promise<Found | undefined> | undefined;

  /** Asks nothing yet. */
  constructor(options: IngestOptions) {
    this.#options = options;
  }

  /** What the server honours; `undefined` where it has no such routes, or was not asked. */
  get capabilities(): StoreCapabilities | undefined {
    return this.#found === "unknown" ? undefined : this.#found?.capabilities;
  }

  /** Where the server lists what is there now; `undefined` where it has no such routes, or was not asked. */
  get listUrl(): string | undefined {
    const isFound = this.#found !== "unknown" && this.#found !== undefined;
    if (!isFound) return undefined;
    return `${this.#options.base}/ingest/objects?prefix={prefix}&startAfter={startAfter}`;
  }

  /** Asks the server, once, whether it has the routes. */
  async find(context: BodyContext): Promise<boolean> {
    if (this.#found === "unknown") {
      this.#finding ??= this.#ask(context).finally(() => (this.#finding = undefined));
      this.#found = await this.#finding;
    }
    return this.#found !== undefined;
  }

  /** Writes an object; after {@linkcode find}. */
  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<PutResult> {
    const { ifNoneMatch, ifMatch, signal } = options;
    const { base, headers, client } = this.#options;
    const context = { operation: "write", object: key, signal };
    const bytes = await collectBody(this.#bounded(body, context), context);
    const response = await client.send({
      ...context,
      method: "PUT",
      url: `${base}/${encodePath(key)}`,
      headers: {
        ...headers,
        "content-type": "application/octet-stream",
        "if-none-match": ifNoneMatch,
        "if-match": ifMatch,
      },
      body: bytes,
    });
    // The same file was there: who asked to create it has to find out whose it is.
    const isThere = response.status === 200 && ifNoneMatch !== undefined;
    if ((response.status !== 200 && response.status !== 201) || isThere) {
      throw isThere ? taken(key) : await refused(response);
    }
    await response.discard();
    const lastModified = new Date(response.header("last-modified") ?? "");
    if (Number.isNaN(lastModified.getTime())) {
      throw new StoreError({ ...context, what: "the server does not tell when it was written" });
    }
    const etag = versionTag(response.header("etag"), bytes.length, lastModified);
    return { etag, lastModified };
  }

  /** Removes objects; after {@linkcode find}. */
  async remove(objects: readonly RemovedObject[], signal: AbortSignal | undefined): Promise<void> {
    const { base, headers, client } = this.#options;
    for (let at = 0; at < objects.length; at += REMOVE_BATCH) {
      const batch = objects.slice(at, at + REMOVE_BATCH);
      const response = await client.send({
        operation: "delete",
        object: batch.length === 1 ? (batch[0]?.key ?? base) : `${batch.length} objects of ${base}`,
        signal,
        method: "POST",
        url: `${base}/ingest/remove`,
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ objects: batch }),
      });
      if (response.status !== 204) throw await refused(response, { isRemoval: true });
      await response.discard();
    }
  }

  async #ask(context: BodyContext): Promise<Found | undefined> {
    const { base, headers, client } = this.#options;
    const { operation, object, signal } = context;
    const request = { operation, object, signal, method: "GET", url: `${base}/ingest`, headers };
    const response = await client.send(request);
    if (response.status !== 200) {
      await response.discard();
      if (ABSENT.includes(response.status)) return undefined;
      throw statusError(response);
    }
    return parseFound(await response.text(ERROR_BYTES));
  }

  /** The body, as long as the server takes it. */
  async *#bounded(
    body: Uint8Array | AsyncIterable<Uint8Array>,
    context: BodyContext,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { maxBytes } = this.#found as Found;
    let size = 0;
    for await (const chunk of bodyChunks(body, context)) {
      size += chunk.length;
      if (size > maxBytes) {
        const what = `the server takes no more than ${maxBytes} bytes`;
        throw new StoreError({ ...context, what, next: "Raise limits.fileBytes of the server" });
      }
      yield chunk;
    }
  }
}

/** Many a server answers every address with a page of its own. */
function parseFound(text: string): Found | undefined {
  const page = parseJson(text);
  const { ingest, maxBytes } = page;
  if (ingest !== 1 || !Number.isSafeInteger(maxBytes)) return undefined;
  const can = asObject(page["capabilities"]);
  const conditionalPut = can["conditionalPut"] === true;
  return {
    maxBytes: maxBytes as number,
    capabilities: {
      conditionalPut,
      conditionalReplace: can["conditionalReplace"] === true,
      // One request, however large the file.
      conditionalLarge: conditionalPut,
      conditionalDelete: false,
      metadataInList: can["metadataInList"] === true,
      rangedGet: true,
      watch: false,
    },
  };
}

/** The error for a refusal; a file that does not follow is one that another writer was before. */
async function refused(
  response: HttpResponse,
  { isRemoval = false }: { readonly isRemoval?: boolean } = {},
): Promise<Error> {
  const { request, status } = response;
  const { code, message } = await errorOf(response);
  const { operation, object } = request;
  if (status === 412 || (status === 409 && !isRemoval)) {
    const what = message ?? "the server has another file there";
    return new PreconditionFailedError({ operation, object, what, next: "List the replica again" });
  }
  return statusError(response, { code, message });
}

async function errorOf(
  response: HttpResponse,
): Promise<{ readonly code: string | undefined; readonly message: string | undefined }> {
  const text = await response.text(ERROR_BYTES).catch(() => "");
  const error = asObject(parseJson(text)["error"]);
  return { code: textField(error, "code"), message: textField(error, "message") };
}

function taken(key: string): PreconditionFailedError {
  const next = "Read it to learn whose it is";
  return new PreconditionFailedError({
    operation: "create",
    object: key,
    what: "it is there",
    next,
  });
}
