/**
 * A directory on an SSH server as a place for a replica, in Litestream's layout.
 *
 * @module
 */
import {
  type GetResult,
  InvalidArgumentError,
  type ObjectInfo,
  type ObjectMetadata,
  type ObjectStore,
  type StoreCapabilities,
  UnsupportedError,
} from "pagestream";
import {
  alreadyExists,
  abortable,
  type BodyContext,
  byteRange,
  checkPutOptions,
  inParallel,
  parseTimestamp,
  PROBE_KEY,
  probeConditions,
  throwIfAborted,
  TIMESTAMP_METADATA,
} from "pagestream/transports/store-kit";
import { SFTP_STATUS, sftpError, SftpLink, type SftpSession, statusOf } from "./sftp-connection.ts";
import { rootOf, type SftpStoreOptions } from "./sftp-options.ts";
import { headerTime, openFile } from "./sftp-read.ts";
import { checkFile, checkFileKey, infoOf, listTree, locate, timeOf } from "./sftp-tree.ts";
import { removeAbandoned, type SftpWrite, writeFile } from "./sftp-write.ts";

export type { SftpStoreOptions } from "./sftp-options.ts";

const UNPROBED: StoreCapabilities = {
  conditionalPut: false,
  conditionalReplace: false,
  conditionalLarge: false,
  conditionalDelete: false,
  metadataInList: false,
  rangedGet: true,
  watch: false,
};

const DELETES_AT_ONCE = 16;

/** Seconds that SFTP has room for. */
const MAX_MTIME = 0xffff_ffff;

/** An object to be written, less its path. */
type NewObject = Omit<SftpWrite, "path">;

/**
 * Makes a store of a directory, which need not exist yet. It connects at the first call, and anew at the first call after the
 * connection was lost; `close` ends the connection, which otherwise keeps a process alive.
 *
 * Of the metadata it keeps `litestream-timestamp` alone, in whole seconds; `head` tells that of an LTX file to the millisecond, from the
 * file itself. Conditions other than `ifNoneMatch` on `put` are refused with `UnsupportedError`.
 *
 * @example
 * ```ts
 * import { sftpStore } from "@pagestream/node";
 *
 * const store = sftpStore({
 *   host: "backup.example.com",
 *   user: "app",
 *   key: "/home/app/.ssh/id_ed25519",
 *   hostKey: "/home/app/.ssh/known_hosts",
 *   path: "/srv/backup/app",
 * });
 * ```
 */
export function sftpStore(options: SftpStoreOptions): ObjectStore {
  const root = rootOf(options);
  const { description } = root;
  const link = new SftpLink(options);
  let capabilities = UNPROBED;
  let probing: Promise<StoreCapabilities> | undefined;
  /** Writes whose caller is gone, and that still clean up. */
  const unfinished = new Set<Promise<unknown>>();
  const swept = new Set<string>();

  const call = async <T>(
    context: BodyContext,
    step: (session: SftpSession) => Promise<T>,
  ): Promise<T> => {
    throwIfAborted(context.signal, context.operation, context.object);
    const session = await abortable(link.open(context), context);
    const running = step(session);
    unfinished.add(running);
    const forget = (): void => void unfinished.delete(running);
    running.then(forget, forget);
    return await abortable(running, context);
  };
  const write = async (session: SftpSession, object: NewObject): Promise<void> => {
    const { context, createOnly } = object;
    const { path, stats } = await locate(session, root, context);
    if (createOnly && stats !== undefined) throw alreadyExists(context.object);
    const directory = path.slice(0, path.lastIndexOf("/") + 1);
    if (!swept.has(directory)) {
      swept.add(directory);
      await removeAbandoned(session, path).catch(() => undefined);
    }
    await writeFile(session, { ...object, path });
  };
  const probe = async (signal: AbortSignal | undefined): Promise<StoreCapabilities> => {
    const context = { operation: "probe", object: PROBE_KEY, signal };
    const create = (body: Uint8Array): Promise<void> =>
      call(context, (session) =>
        write(session, { body, createOnly: true, mtime: undefined, context }),
      );
    // A large file is written in the same way.
    const { conditionalPut } = await probeConditions({ create });
    return { ...UNPROBED, conditionalPut, conditionalLarge: conditionalPut };
  };
  const remove = async (session: SftpSession, context: BodyContext): Promise<void> => {
    const { path, stats } = await locate(session, root, context);
    if (stats === undefined || stats.isDirectory()) return;
    try {
      await session.ask<void>((sftp, done) => sftp.unlink(path, done));
    } catch (error) {
      if (statusOf(error) !== SFTP_STATUS.noSuchFile) throw sftpError(error, context);
    }
  };

  return {
    type: "sftp",
    description,
    layout: "directory",

    get capabilities() {
      return capabilities;
    },

    async probe(probeOptions) {
      probing ??= probe(probeOptions?.signal).catch((error: unknown) => {
        probing = undefined;
        throw error;
      });
      capabilities = await probing;
      return capabilities;
    },

    async get(key, getOptions = {}) {
      checkFileKey(key, "read");
      const { ifMatch, signal } = getOptions;
      const context = { operation: "read", object: key, signal };
      if (ifMatch !== undefined) throw noVersions("read a version of", key);
      return await call(context, async (session): Promise<GetResult> => {
        const place = await locate(session, root, context);
        checkFile(place.stats, context);
        const file = await openFile(session, place.path, context);
        const { size, lastModified } = infoOf(key, file.stats);
        try {
          const range = byteRange(size, getOptions, key);
          const body = file.body(range, context);
          return { body, size, etag: "", lastModified, metadata: {} };
        } catch (error) {
          file.close();
          throw error;
        }
      });
    },

    async put(key, body, putOptions = {}) {
      checkFileKey(key, "write");
      checkPutOptions(key, putOptions);
      const { ifNoneMatch, ifMatch, metadata, signal } = putOptions;
      if (ifMatch !== undefined) throw noVersions("replace a version of", key);
      const createOnly = ifNoneMatch !== undefined;
      if (createOnly && !capabilities.conditionalPut) throw notProbed(key);
      const mtime = mtimeOf(metadata, key);
      const context = { operation: "write", object: key, signal };
      await call(context, (session) => write(session, { body, createOnly, mtime, context }));
      return { etag: "", lastModified: new Date((mtime ?? Math.floor(Date.now() / 1000)) * 1000) };
    },

    async head(key, headOptions) {
      checkFileKey(key, "look up");
      const context = { operation: "look up", object: key, signal: headOptions?.signal };
      return await call(context, async (session): Promise<ObjectInfo> => {
        const { path, stats } = await locate(session, root, context);
        const file = checkFile(stats, context);
        const exact = key.endsWith(".ltx") ? await headerTime(session, path, context) : undefined;
        return { ...infoOf(key, file), metadata: exact ?? timeOf(file) };
      });
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkFileKey(key, "delete");
      const { signal } = deleteOptions ?? {};
      throwIfAborted(signal, "delete objects of", description);
      await inParallel(keys, DELETES_AT_ONCE, async (key) => {
        const context = { operation: "delete", object: key, signal };
        await call(context, (session) => remove(session, context));
      });
    },

    async deleteOne(key, deleteOptions = {}) {
      checkFileKey(key, "delete");
      const { ifMatch, signal } = deleteOptions;
      if (ifMatch !== undefined) throw noVersions("delete a version of", key);
      const context = { operation: "delete", object: key, signal };
      await call(context, (session) => remove(session, context));
    },

    async *list(listOptions = {}) {
      const context = { operation: "list", object: description, signal: listOptions.signal };
      throwIfAborted(context.signal, "list", description);
      const session = await abortable(link.open(context), context);
      yield* listTree(session, root, listOptions);
    },

    async close() {
      await Promise.allSettled(unfinished);
      await link.close();
    },
  };
}

/** The time of a file in whole seconds. */
function mtimeOf(metadata: ObjectMetadata | undefined, key: string): number | undefined {
  const text = metadata?.[TIMESTAMP_METADATA];
  if (text === undefined) return undefined;
  const seconds = Math.floor((parseTimestamp(text) ?? Number.NaN) / 1000);
  if (seconds >= 0 && seconds <= MAX_MTIME) return seconds;
  throw new InvalidArgumentError({
    operation: "write",
    object: key,
    what: `the metadata ${TIMESTAMP_METADATA} is no RFC 3339 time from 1970 to 2106: ${JSON.stringify(text)}`,
    next: "Write it like 2026-11-20T12:00:00.678Z",
  });
}

function noVersions(operation: string, object: string): UnsupportedError {
  return new UnsupportedError({
    operation,
    object,
    what: "SFTP tells no versions of a file, and cannot compare and act in one step",
    next: "Use a store whose capabilities say that it can, such as s3",
  });
}

function notProbed(object: string): UnsupportedError {
  return new UnsupportedError({
    operation: "create",
    object,
    what: "it is not known that the server can create a file atomically",
    next: "Call probe first; a server without hard links cannot",
  });
}
