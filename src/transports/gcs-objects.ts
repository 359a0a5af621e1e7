/**
 * Objects of Google Cloud Storage as its JSON interface describes them.
 *
 * @module
 */
import { byteRange } from "./body.ts";
import { otherVersion, StoreError } from "./errors.ts";
import { gcsError, type GcsRequests, objectError } from "./gcs-requests.ts";
import { askedRange, emptyBody, emptyRange, rangedBody } from "./http-range.ts";
import { asObject, type JsonObject, listField, parseJson, textField } from "./json.ts";
import type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectMetadata,
} from "./object-store.ts";

/** The members of an object that are asked for. Its generation is its version, and its tag. */
export const OBJECT_FIELDS = "name,size,generation,timeCreated,metadata";

/** What every description of an object has. */
export type ObjectFacts = Omit<ObjectInfo, "key">;

/** Reads the description of an object. */
export function objectFacts(
  resource: JsonObject,
  context: { readonly operation: string; readonly object: string },
): ObjectFacts {
  const size = textField(resource, "size") ?? "";
  const etag = textField(resource, "generation") ?? "";
  const lastModified = new Date(textField(resource, "timeCreated") ?? "");
  const complete = /^\d{1,15}$/.test(size) && etag !== "";
  if (!complete || Number.isNaN(lastModified.getTime())) {
    const { operation, object } = context;
    const what = "the server does not tell size, generation and time of the object";
    throw new StoreError({ operation, object, what });
  }
  const entries = Object.entries(asObject(resource["metadata"]));
  const metadata: ObjectMetadata = Object.fromEntries(
    entries.map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  return { size: Number(size), etag, lastModified, metadata };
}

/** A generation that no object has: what is not even one must not be taken for a condition that is left out. */
const NO_GENERATION = "1";

/** The parameter of a condition. Generation 0 stands for an object that is not there, so nobody's tag may be that. */
export function generationMatch(ifMatch: string | undefined): string | undefined {
  if (ifMatch === undefined) return undefined;
  return /^[1-9]\d{0,18}$/.test(ifMatch) ? ifMatch : NO_GENERATION;
}

/**
 * Reads an object or a part of it.
 *
 * @see https://cloud.google.com/storage/docs/json_api/v1/objects/get
 */
export async function getObject(
  requests: GcsRequests,
  key: string,
  options: GetOptions = {},
): Promise<GetResult> {
  const { ifMatch, signal } = options;
  const asked = askedRange(options, key);
  if (asked.length !== 0) {
    const response = await requests.send({
      operation: "read",
      key,
      method: "GET",
      query: { alt: "media", ifGenerationMatch: generationMatch(ifMatch) },
      // Nothing may be packed on the way: ranges are cut out of what is stored.
      headers: { range: asked.header, "accept-encoding": "identity" },
      signal,
    });
    if (response.status === 200 || response.status === 206) {
      const etag = response.header("x-goog-generation");
      if (etag === undefined) {
        await response.discard();
        return await getHidden(requests, key, options);
      }
      // Emulators ignore the condition, and the answer tells.
      if (ifMatch !== undefined && ifMatch !== etag) {
        await response.discard();
        throw otherVersion({ operation: "read", object: key });
      }
      const stored = Number(response.header("x-goog-stored-content-length") ?? Number.NaN);
      const size = Number.isSafeInteger(stored) ? stored : response.contentLength;
      const metadata = response.headersWith("x-goog-meta-");
      const part = await rangedBody(response, asked, size);
      const now = requests.client.platform.clock.now();
      const lastModified = new Date(response.header("last-modified") ?? now);
      if (part !== undefined) return { ...part, etag, lastModified, metadata };
    } else {
      const error = await objectError(response);
      if (response.status !== 416) throw error;
    }
  }
  // Nothing of the object is in the range. The answer does not always tell its size, and some servers end the connection.
  const look = (): Promise<ObjectInfo> => headObject(requests, key, options);
  const about = { operation: "look up", object: key, signal };
  const info = asked.length === 0 ? await look() : await requests.client.retry(about, look);
  return emptyRange(info, asked);
}

/**
 * Reads where the headers of an answer are hidden, as from a page to which the service does not expose them: the object
 * is described first, then that generation is asked for.
 */
async function getHidden(
  requests: GcsRequests,
  key: string,
  options: GetOptions,
): Promise<GetResult> {
  const { ifMatch, signal } = options;
  const facts = await headObject(requests, key, options);
  const { size, etag, lastModified, metadata = {} } = facts;
  if (ifMatch !== undefined && ifMatch !== etag)
    throw otherVersion({ operation: "read", object: key });
  const { start, end } = byteRange(size, options, key);
  const described = { size, etag, lastModified, metadata };
  if (start === end) return { ...described, body: emptyBody() };
  const whole = end - start === size;
  const response = await requests.send({
    operation: "read",
    key,
    method: "GET",
    query: { alt: "media", ifGenerationMatch: etag },
    headers: { range: whole ? undefined : `bytes=${start}-${end - 1}` },
    signal,
  });
  if (response.status === (whole ? 200 : 206)) {
    return { ...described, body: response.body(end - start) };
  }
  const error = await objectError(response);
  if (ifMatch !== undefined || error.code !== "PRECONDITION_FAILED") throw error;
  const what = "the object has changed while it was read";
  throw new StoreError({ operation: "read", object: key, what }, { retryable: true });
}

/** What is known of an object. */
export async function headObject(
  requests: GcsRequests,
  key: string,
  options: Pick<GetOptions, "ifMatch" | "signal"> = {},
): Promise<ObjectInfo> {
  const context = { operation: "look up", object: key };
  const response = await requests.send({
    operation: "look up",
    key,
    method: "GET",
    query: { fields: OBJECT_FIELDS, ifGenerationMatch: generationMatch(options.ifMatch) },
    signal: options.signal,
  });
  if (response.status !== 200) throw await objectError(response);
  return { key, ...objectFacts(parseJson(await response.text(), context), context) };
}

/**
 * Deletes an object, or that version of it; a missing one is no error.
 *
 * @see https://cloud.google.com/storage/docs/json_api/v1/objects/delete
 */
export async function deleteObject(
  requests: GcsRequests,
  key: string,
  options: Pick<GetOptions, "ifMatch" | "signal"> = {},
): Promise<void> {
  const response = await requests.send({
    operation: "delete",
    key,
    method: "DELETE",
    query: { ifGenerationMatch: generationMatch(options.ifMatch) },
    signal: options.signal,
  });
  if (response.status === 204 || response.status === 200) {
    await response.discard();
    return;
  }
  const error = await objectError(response);
  if (error.code !== "NOT_FOUND") throw error;
}

/**
 * Lists objects in key order.
 *
 * @see https://cloud.google.com/storage/docs/json_api/v1/objects/list
 */
export async function* listObjects(
  requests: GcsRequests,
  options: ListOptions & { readonly pageSize: number },
): AsyncGenerator<ObjectInfo, void, undefined> {
  const { startAfter, signal } = options;
  const context = { operation: "list", object: requests.description };
  let last = startAfter;
  let pageToken: string | undefined;
  for (;;) {
    const at = pageToken;
    const ask = (): Promise<JsonObject> => listPage(requests, options, at);
    const page =
      at === undefined ? await ask() : await requests.client.retry({ ...context, signal }, ask);
    for (const item of listField(page, "items").map(asObject)) {
      const key = requests.place.keyOf(textField(item, "name") ?? "");
      // The page begins at startAfter itself.
      if (key === undefined || (startAfter !== undefined && key <= startAfter)) continue;
      if (last !== undefined && key <= last) {
        const what = `the server lists ${JSON.stringify(key)} after ${JSON.stringify(last)}`;
        throw new StoreError({ ...context, what });
      }
      last = key;
      yield { key, ...objectFacts(item, context) };
    }
    pageToken = textField(page, "nextPageToken");
    if (pageToken === undefined || pageToken === "") return;
    if (pageToken === at) throw new StoreError({ ...context, what: "the server repeats a page" });
  }
}

async function listPage(
  requests: GcsRequests,
  options: ListOptions & { readonly pageSize: number },
  pageToken: string | undefined,
): Promise<JsonObject> {
  const { prefix = "", startAfter, pageSize, signal } = options;
  const root = requests.place.prefix;
  const response = await requests.send({
    operation: "list",
    method: "GET",
    query: {
      prefix: root + prefix,
      startOffset: startAfter === undefined ? undefined : root + startAfter,
      maxResults: String(pageSize),
      fields: `kind,items(${OBJECT_FIELDS}),nextPageToken`,
      pageToken,
    },
    signal,
  });
  if (response.status !== 200) throw await gcsError(response);
  const context = { operation: "list", object: requests.description };
  const page = parseJson(await response.text(), context);
  if (textField(page, "kind") === "storage#objects") return page;
  const next = "Check that the endpoint is that of the JSON interface";
  throw new StoreError({ ...context, what: "the answer is no list of objects", next });
}
