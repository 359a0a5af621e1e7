/**
 * A folder of a WebDAV server as an object store, in Litestream's layout.
 *
 * An object is uploaded under a temporary name beside its key and then moved there, so that no reader sees a part of it.
 * Litestream uploads to the key itself: what it is writing can be seen unfinished.
 *
 * @module
 */
import { InvalidArgumentError, throwIfAborted, UnsupportedError } from "../core/errors.ts";
import { checkPutOptions } from "./body.ts";
import { NotFoundError, StoreError } from "./errors.ts";
import type { HttpOptions } from "./http-client.ts";
import { checkEndpoint, encodePath, keyPath } from "./location.ts";
import { isLtxKey } from "./ltx-time.ts";
import {
  type ListOptions,
  type ObjectInfo,
  type ObjectStore,
  PROBE_KEY,
  type StoreCapabilities,
} from "./object-store.ts";
import { inParallel } from "./parts.ts";
import { getPlain, headLtx, type Send, versionTag } from "./plain-object.ts";
import { probeConditions } from "./probe.ts";
import { type Spool, wholeBody } from "./spool.ts";
import { checkFileKey, TEMP_NAME, tempName, walkTree } from "./tree-walk.ts";
import type { Credentials } from "./webdav-auth.ts";
import { type Call, type DavBody, DavClient } from "./webdav-client.ts";
import type { DavResource } from "./webdav-resource.ts";

export type { Spool, SpooledBody } from "./spool.ts";

/** Options of {@linkcode webdavStore}. */
export interface WebdavStoreOptions extends HttpOptions {
  /** Address of the server, with the path of its WebDAV area if that is not the root: it must exist. */
  readonly url: string;
  /** Where in it the replica lies; made when it is first written to. @default "" */
  readonly path?: string | undefined;
  /** With `password`, for Basic or Digest, as the server asks. */
  readonly username?: string | undefined;
  /** Sent only when the server has asked for it. */
  readonly password?: string | undefined;
  /** Most bytes of a streamed body that are kept in memory, to learn its length. @default 64 MiB */
  readonly maxBufferedBytes?: number | undefined;
  /** Keeps bodies that are longer, such as `fileSpool()` of `@pagestream/node`. @default they are refused */
  readonly spool?: Spool | undefined;
  /**
   * Says that this server looks for the destination of a MOVE and moves in one step, so that `Overwrite: F` creates
   * atomically: rclone does, nginx does with one worker process, Apache does not. @default false
   */
  readonly exclusiveMove?: boolean | undefined;
}

const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;

/** Deletions under way at once. */
const CONCURRENCY = 8;

/** Age, by the server's clock, from which an object under a temporary name is taken for left behind. */
const LEFT_BEHIND_MS = 24 * 3600 * 1000;

/**
 * Makes a store of a folder on a WebDAV server. Nothing is asked before it is used.
 *
 * A server keeps no metadata: `head` reads the time of an `.ltx` object from its header, other objects have none.
 * Conditions are refused with `UnsupportedError`, but for `ifMatch` on `get`, and `ifNoneMatch` on `put` where
 * `exclusiveMove` says that it holds and `probe` has found it honoured.
 *
 * @example
 * ```ts
 * import { webdavStore } from "pagestream/transports/webdav";
 *
 * const store = webdavStore({
 *   url: "https://dav.example.com",
 *   path: "backups/app",
 *   username: "app",
 *   password: "secret",
 * });
 * console.log(store.description); // https://dav.example.com/backups/app
 * ```
 */
export function webdavStore(options: WebdavStoreOptions): ObjectStore {
  const { username, password, maxBufferedBytes = MAX_BUFFERED_BYTES, spool } = options;
  const base = checkEndpoint(options.url, "webdav");
  const { path, prefix } = keyPath(options.path, "webdav");
  const description = `${base}/${encodePath(path)}`.replace(/\/$/, "");
  const client = new DavClient(base, credentialsOf(username, password), options);
  const { platform } = client.http;
  const leftBehind = new Set<string>();
  let exclusive = false;
  let probed: Promise<void> | undefined;

  const lookUp = async (call: Call, key: string): Promise<ObjectInfo> => {
    const found = await client.look(call, prefix + key);
    if (found === undefined || found.folder) throw missing(call);
    return infoOf(key, found);
  };

  const write = async (
    call: Call,
    body: DavBody,
    to: { readonly name: string; readonly createOnly: boolean },
  ): Promise<void> => {
    const folder = to.name.slice(0, to.name.lastIndexOf("/") + 1);
    const temp = folder + tempName(platform.randomBytes);
    let done = false;
    try {
      await client.upload(call, temp, body);
      throwIfAborted(call.signal, call.operation, call.object);
      await client.publish(call, temp, to);
      done = true;
    } finally {
      // Whatever stopped it, and without its signal. One that cannot be removed now is removed when it is old.
      const quiet = { ...call, signal: undefined };
      if (!done) await client.removeFile(quiet, temp).catch(() => undefined);
    }
  };

  const members = async (call: Call, folder: string): Promise<readonly DavResource[]> => {
    const name = prefix + folder;
    const { members, nowMs } = await client.list(call, name.replace(/\/$/, ""));
    for (const each of members) {
      if (each.folder || !TEMP_NAME.test(each.name)) continue;
      if (nowMs - each.lastModified.getTime() > LEFT_BEHIND_MS) leftBehind.add(name + each.name);
    }
    return members;
  };

  /** By a writer alone: a reader may not be allowed to. Best effort: what stays is seen again by the next list. */
  const removeLeftBehind = async (call: Call): Promise<void> => {
    for (const name of leftBehind) {
      leftBehind.delete(name);
      await client.removeFile(call, name).catch(() => undefined);
    }
  };

  /** The error of a read: servers answer a request for a folder in many ways, none of which is 404. */
  const explained = async (call: Call, error: unknown): Promise<unknown> => {
    if (!(error instanceof StoreError) || error.retryable) return error;
    const found = await client.look(call, prefix + call.object).catch(() => undefined);
    return found?.folder === true ? missing(call) : error;
  };

  const capabilities = (): StoreCapabilities => ({
    ...CAPABILITIES,
    conditionalPut: exclusive,
    conditionalLarge: exclusive,
  });

  const send: Send = (request) => client.send(request);

  return {
    type: "webdav",
    description,
    get capabilities() {
      return capabilities();
    },
    layout: "directory",
    clockOffsetMs: () => client.http.clockOffsetMs,

    async probe(probeOptions) {
      const call = { operation: "probe", object: PROBE_KEY, signal: probeOptions?.signal };
      probed ??= (async () => {
        if (options.exclusiveMove !== true) return;
        const create = (body: Uint8Array<ArrayBuffer>): Promise<void> =>
          write(call, body, { name: prefix + PROBE_KEY, createOnly: true });
        exclusive = (await probeConditions({ create })).conditionalPut;
      })();
      await probed.catch((error: unknown) => {
        probed = undefined;
        throw error;
      });
      return capabilities();
    },

    async get(key, getOptions) {
      checkFileKey(key, "read");
      const call = { operation: "read", object: key, signal: getOptions?.signal };
      try {
        const got = await getPlain(send, { ...call, url: client.urlOf(prefix + key) }, getOptions);
        return { ...got, metadata: {} };
      } catch (error) {
        throw await explained(call, error);
      }
    },

    async put(key, body, putOptions = {}) {
      const { ifNoneMatch, ifMatch, sizeBound, signal } = putOptions;
      checkFileKey(key, "write");
      checkPutOptions(key, putOptions);
      if (ifMatch !== undefined) throw unsupported("replace a version of", key);
      const createOnly = ifNoneMatch !== undefined;
      if (createOnly && !exclusive) throw unsupported("create", key);
      const call = { operation: "write", object: key, signal };
      throwIfAborted(signal, call.operation, key);
      const whole = await wholeBody(body, { ...call, maxBufferedBytes, spool, sizeBound });
      try {
        await write(call, whole.body, { name: prefix + key, createOnly });
      } finally {
        await whole.release();
      }
      await removeLeftBehind(call);
      const { etag, lastModified } = await lookUp(call, key);
      return { etag, lastModified };
    },

    async head(key, headOptions) {
      checkFileKey(key, "look up");
      const call = { operation: "look up", object: key, signal: headOptions?.signal };
      if (!isLtxKey(key)) return await lookUp(call, key);
      try {
        return { key, ...(await headLtx(send, { ...call, url: client.urlOf(prefix + key) })) };
      } catch (error) {
        throw await explained(call, error);
      }
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkFileKey(key, "delete");
      const signal = deleteOptions?.signal;
      throwIfAborted(signal, "delete objects of", description);
      await inParallel(keys, CONCURRENCY, async (key) => {
        const call = { operation: "delete", object: key, signal };
        const attempt = (): Promise<void> => client.remove(call, prefix + key);
        await (keys.length === 1 ? attempt() : client.http.retry(call, attempt));
      });
    },

    async deleteOne(key, deleteOptions) {
      checkFileKey(key, "delete");
      if (deleteOptions?.ifMatch !== undefined) throw unsupported("delete a version of", key);
      const signal = deleteOptions?.signal;
      await client.remove({ operation: "delete", object: key, signal }, prefix + key);
    },

    async *list(listOptions: ListOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { signal } = listOptions;
      let count = 0;
      const list = (folder: string): Promise<readonly DavResource[]> => {
        const object = folder === "" ? description : folder;
        const call = { operation: "list", object, signal };
        const attempt = (): Promise<readonly DavResource[]> => members(call, folder);
        return count++ === 0 ? attempt() : client.http.retry(call, attempt);
      };
      for await (const run of walkTree({ ...listOptions, list, description })) {
        for (const { key, entry } of run) yield infoOf(key, entry);
      }
    },
  };
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

function credentialsOf(
  username: string | undefined,
  password: string | undefined,
): Credentials | undefined {
  if (username === undefined && password === undefined) return undefined;
  if (username !== undefined && password !== undefined) return { username, password };
  throw new InvalidArgumentError({
    operation: "use",
    object: "the credentials of a WebDAV store",
    what: "username and password belong together",
    next: "Give both or none",
  });
}

function infoOf(key: string, found: DavResource): ObjectInfo {
  const { size, lastModified } = found;
  return { key, size, lastModified, etag: versionTag(found.etag, size, lastModified) };
}

function missing({ operation, object }: Call): NotFoundError {
  return new NotFoundError({ operation, object, what: "the server has no such object" });
}

function unsupported(operation: string, object: string): UnsupportedError {
  return new UnsupportedError({
    operation,
    object,
    what: "WebDAV servers do not compare and act in one step",
    next: "Use a store whose capabilities say that it can, such as s3",
  });
}
