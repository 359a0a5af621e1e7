/**
 * A replica behind any server of plain files, or a CDN, for reading; and behind the ingest routes of `pagestream/http`, for
 * writing too.
 *
 * @module
 */
import { throwIfAborted, UnsupportedError } from "../core/errors.ts";
import { checkPutOptions } from "./body.ts";
import { Ingest } from "./http-ingest.ts";
import { NotFoundError, StoreError } from "./errors.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import type { HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import {
  INDEX_KEY,
  type IndexPage,
  type ListingContext,
  parseFolderPage,
  parseIndex,
} from "./http-listing.ts";
import { checkEndpoint, encodeName, encodePath } from "./location.ts";
import { isLtxKey } from "./ltx-time.ts";
import type { ListOptions, ObjectInfo, ObjectStore, StoreCapabilities } from "./object-store.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";
import { getPlain, headLtx, headPlain, type PlainRequest, type Send } from "./plain-object.ts";
import { type FolderEntry, type TreeFile, walkTree } from "./tree-walk.ts";

export { writeHttpIndex } from "./http-listing.ts";
export { xhrReads, type XhrReadsOptions } from "./xhr-reads.ts";

/** Options of {@linkcode httpStore}. */
export interface HttpStoreOptions extends HttpOptions {
  /** Sent with every request, such as `authorization`. Never shown. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Where the index is: an address in which `{prefix}` and `{startAfter}`, where they occur, are filled in.
   *
   * @default `pagestream-index.json` below the address of the store, or, where there is none, the server's own pages of
   * its folders
   */
  readonly listUrl?: string | undefined;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: false,
  conditionalReplace: false,
  conditionalLarge: false,
  conditionalDelete: false,
  metadataInList: false,
  rangedGet: true,
  watch: false,
};

/** Objects that are asked for at once while listing folders, whose pages do not tell sizes. */
const WINDOW = 16;

/**
 * Makes a store of what a server offers below an address. It can be written to where the server has the ingest routes of
 * `pagestream/http`, which it is asked for before the first write; elsewhere writing is refused with `UnsupportedError`.
 *
 * The time of an `.ltx` object is read from its header; `get` reads ranges, and cuts them itself where the server sends
 * the whole object.
 *
 * @example
 * ```ts
 * import { httpStore } from "pagestream/transports/http";
 *
 * const store = httpStore("https://static.example.com/app");
 * console.log(store.description); // https://static.example.com/app
 * ```
 */
export function httpStore(url: string, options: HttpStoreOptions = {}): ObjectStore {
  const { headers = {}, listUrl } = options;
  const base = checkEndpoint(url, "http");
  const client = new HttpClient(options);
  const send: Send = (request) => client.send(request);
  const ingest = new Ingest({ base, headers, client });
  /** How the server lists, once it is known. */
  let listing: "index" | "folders" | undefined = listUrl === undefined ? undefined : "index";

  const requestFor = (
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
  ): PlainRequest => {
    checkKey(key, operation);
    return { operation, object: key, url: `${base}/${encodePath(key)}`, headers, signal };
  };

  const describe = async (request: PlainRequest): Promise<ObjectInfo> => {
    const { object: key } = request;
    const found = isLtxKey(key) ? await headLtx(send, request) : await headPlain(send, request);
    return { key, metadata: {}, ...found };
  };

  /** The text of a page, or the answer that is none. */
  const page = async (call: ListingCall, address: string): Promise<string | HttpResponse> => {
    const response = await send({ ...call, method: "GET", url: address, headers });
    if (response.status === 200) return await response.text();
    await response.discard();
    return response;
  };

  const index = async (call: ListingCall, asked: Asked): Promise<IndexPage | undefined> => {
    // Whoever writes must not be told what was.
    const address = (ingest.listUrl ?? listUrl ?? `${base}/${INDEX_KEY}`)
      .replaceAll("{prefix}", encodeName(asked.prefix))
      .replaceAll("{startAfter}", encodeName(asked.startAfter ?? ""));
    const found = await page(call, address);
    if (typeof found === "string") return parseIndex(found, call);
    // Another call may have found the folders meanwhile.
    if (found.status === 404 && listing !== "index") return undefined;
    throw statusError(found);
  };

  const folder = async (call: ListingCall, name: string): Promise<readonly FolderEntry[]> => {
    const found = await page(call, `${base}/${encodePath(name)}`);
    if (typeof found === "string") return parseFolderPage(found, call);
    if (found.status !== 404) throw statusError(found);
    // Nothing was ever put there, or the server lists nothing at all.
    if (name !== "") return (await folder(call, ""), []);
    throw notListed(call);
  };

  async function* byIndex(
    first: IndexPage,
    { call, asked }: { readonly call: ListingCall; readonly asked: Asked },
  ): AsyncGenerator<ObjectInfo, void, undefined> {
    let { objects, more } = first;
    const { prefix } = asked;
    let { startAfter } = asked;
    for (;;) {
      const sorted = objects.toSorted((a, b) => (a.key < b.key ? -1 : 1));
      const wanted = sorted.filter(
        ({ key }) => key.startsWith(prefix) && (startAfter === undefined || key > startAfter),
      );
      for (const info of wanted) {
        throwIfAborted(call.signal, "list", base);
        yield info;
      }
      if (!more) return;
      const last = wanted.at(-1)?.key;
      if (last === undefined) throw endless(call);
      startAfter = last;
      const next = { prefix, startAfter };
      ({ objects, more } = (await client.retry(call, () => index(call, next))) as IndexPage);
    }
  }

  async function* byFolders(
    call: ListingCall,
    asked: Asked,
  ): AsyncGenerator<ObjectInfo, void, undefined> {
    let count = 0;
    const list = (name: string): Promise<readonly FolderEntry[]> =>
      count++ === 0 ? folder(call, name) : client.retry(call, () => folder(call, name));
    const ask = async ({ key }: TreeFile<FolderEntry>): Promise<ObjectInfo | undefined> => {
      const request = requestFor("list", key, call.signal);
      try {
        return await client.retry(call, () => describe(request));
      } catch (error) {
        // Removed since its folder was listed.
        if (error instanceof NotFoundError) return undefined;
        throw error;
      }
    };
    for await (const run of walkTree({ ...asked, list, window: WINDOW, description: base })) {
      for (const info of await Promise.all(run.map(ask))) {
        if (info !== undefined && info.key !== INDEX_KEY) yield info;
      }
    }
  }

  const refuse = (operation: string, object: string): UnsupportedError =>
    new UnsupportedError({
      operation,
      object,
      what: "a replica behind plain HTTP can only be read",
      next: "Write to the store that the server shows",
    });

  /** The door for writing, where the server has one. */
  const door = async (
    operation: string,
    object: string,
    signal: AbortSignal | undefined,
  ): Promise<Ingest> => {
    if (await ingest.find({ operation, object, signal })) return ingest;
    throw refuse(operation, object);
  };

  return {
    type: "http",
    description: base,
    layout: "directory",

    get capabilities() {
      return ingest.capabilities ?? CAPABILITIES;
    },

    clockOffsetMs: () => client.clockOffsetMs,

    async probe(probeOptions) {
      const { signal } = probeOptions ?? {};
      await ingest.find({ operation: "try writing to", object: base, signal });
      return ingest.capabilities ?? CAPABILITIES;
    },

    async get(key, getOptions) {
      const request = requestFor("read", key, getOptions?.signal);
      return { ...(await getPlain(send, request, getOptions)), metadata: {} };
    },

    async head(key, headOptions) {
      return await describe(requestFor("look up", key, headOptions?.signal));
    },

    async put(key, body, putOptions) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      return await (await door("write", key, putOptions?.signal)).put(key, body, putOptions);
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      if (keys.length === 0) return;
      const { signal } = deleteOptions ?? {};
      const objects = keys.map((key) => ({ key }));
      await (await door("delete objects of", base, signal)).remove(objects, signal);
    },

    async deleteOne(key, deleteOptions) {
      checkKey(key, "delete");
      const { signal, ifMatch: etag } = deleteOptions ?? {};
      await (await door("delete", key, signal)).remove([{ key, etag }], signal);
    },

    async *list(listOptions: ListOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { prefix = "", startAfter, signal } = listOptions;
      checkPrefix(prefix, "list");
      const asked = { prefix, startAfter };
      const call = { operation: "list", object: prefix === "" ? base : prefix, signal };
      const isIndexed = listing !== "folders" || ingest.listUrl !== undefined;
      const first = isIndexed ? await index(call, asked) : undefined;
      listing = first === undefined ? "folders" : "index";
      yield* first === undefined ? byFolders(call, asked) : byIndex(first, { call, asked });
    },
  };
}

/** What is listed, and for whom. */
type ListingCall = ListingContext & { readonly signal: AbortSignal | undefined };

/** Which of the objects. */
interface Asked {
  readonly prefix: string;
  readonly startAfter: string | undefined;
}

function notListed({ operation, object }: ListingContext): StoreError {
  return new StoreError({
    operation,
    object,
    what: "the server has neither an index nor a listing there",
    next: "Write an index with writeHttpIndex, or let the server list its folders",
  });
}

function endless({ operation, object }: ListingContext): StoreError {
  const what = "the index promises more and does not go on";
  return new StoreError({ operation, object, what, next: "Let listUrl hold {startAfter}" });
}
