/**
 * Writing an object so that it appears whole, dated and durable, or not at all.
 *
 * @module
 */
import type { BigIntStats } from "node:fs";
import { lstat, mkdir, readdir, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { StoreError, webPlatform } from "pagestream";
import {
  alreadyExists,
  bodyChunks,
  TEMP_NAME,
  tempName,
  throwIfAborted,
} from "pagestream/transports/store-kit";
import { errnoOf } from "./errors.ts";
import type { FileCalls, StoredFile } from "./file-calls.ts";
import { mtimeMs } from "./file-tree.ts";

const OPERATION = "write";

/** Chunks smaller than this are gathered, so that a stream of small ones does not cost a system call each. */
const GATHER_SIZE = 1 << 18;

/** What {@linkcode writeObject} writes, and how. */
export interface WriteRequest {
  readonly key: string;
  readonly path: string;
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** Fail where the file exists, instead of replacing it. */
  readonly createOnly: boolean;
  /** Time the file gets, in milliseconds since the Unix epoch; the time of writing when left out. */
  readonly timeMs: number | undefined;
  readonly fileMode: number;
  readonly calls: FileCalls;
  readonly directories: Directories;
  readonly signal: AbortSignal | undefined;
}

/** Writes an object and publishes it; gives the state of the new file. */
export async function writeObject(request: WriteRequest): Promise<BigIntStats> {
  const { key, path, createOnly, calls, directories, signal } = request;
  const directory = dirname(path);
  const temp = join(directory, tempName(webPlatform.randomBytes));
  const handle = await openTemp(temp, request);
  let stat: BigIntStats;
  let renamed = false;
  try {
    try {
      await writeBody(handle, request);
      if (request.timeMs !== undefined) await setTime(handle, request.timeMs);
      await handle.sync();
      stat = await handle.stat({ bigint: true });
    } finally {
      await handle.close();
    }
    if (request.timeMs !== undefined) checkTime(stat, request.timeMs, key);
    throwIfAborted(signal, OPERATION, key);
    if (createOnly) {
      await createLink(temp, path, request);
    } else {
      await calls.rename(temp, path).catch((error: unknown) => {
        throw errnoOf(error) === "ENOENT" ? vanished(key, error) : error;
      });
      renamed = true;
    }
  } finally {
    // What stopped the write is the error to tell of; a temporary file that cannot be removed is never listed.
    if (!renamed) await calls.unlink(temp).catch(() => undefined);
  }
  await directories.sync(directory, calls);
  await directories.tidy(directory);
  return stat;
}

/** The directory was removed, or the file, as one that had been left behind. */
function vanished(key: string, cause: unknown): StoreError {
  const what = "its file was removed while it was being written";
  return new StoreError({ operation: OPERATION, object: key, what, cause }, { retryable: true });
}

/** A file under a temporary name that was not touched for so long belongs to a writer that is gone. */
const LEFT_BEHIND_MS = 24 * 3600 * 1000;

/**
 * Removes what writers that were killed have left in a directory: their temporary files, by the time of their last
 * change, which no writer can set. A writer that was only stopped for a day loses its file, fails and tries again.
 */
export async function removeLeftBehind(directory: string, nowMs: number): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!TEMP_NAME.test(name)) continue;
    const path = join(directory, name);
    const stat = await lstat(path);
    if (stat.isFile() && nowMs - stat.ctimeMs > LEFT_BEHIND_MS) await unlink(path);
  }
}

async function openTemp(
  temp: string,
  { fileMode, calls, directories }: WriteRequest,
): Promise<StoredFile> {
  const directory = dirname(temp);
  await directories.make(directory, calls);
  try {
    return await calls.open(temp, "wx", fileMode);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    // Somebody has removed the directory since this store made it.
    directories.forget();
    await directories.make(directory, calls);
    return calls.open(temp, "wx", fileMode);
  }
}

async function writeBody(handle: StoredFile, { body, key, signal }: WriteRequest): Promise<void> {
  let offset = 0;
  let gathered: Uint8Array | undefined;
  let fill = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset);
      done += bytesWritten;
      offset += bytesWritten;
    }
  };
  if (body instanceof Uint8Array) return await write(body);
  const flush = async (): Promise<void> => {
    if (gathered !== undefined && fill > 0) await write(gathered.subarray(0, fill));
    fill = 0;
  };
  for await (const chunk of bodyChunks(body, { operation: OPERATION, object: key, signal })) {
    if (fill + chunk.length > GATHER_SIZE) await flush();
    if (chunk.length >= GATHER_SIZE) {
      await write(chunk);
    } else {
      gathered ??= new Uint8Array(GATHER_SIZE);
      gathered.set(chunk, fill);
      fill += chunk.length;
    }
  }
  await flush();
}

/**
 * Sets a file's time to a millisecond that reads back the same. Half a microsecond on top, because the seconds go
 * through a floating point number and are cut afterwards: without it half of all values end up one millisecond early.
 * Beyond the year 2096 the steps of that number are coarser than that, and more is added. As text, because Node takes a negative number for the current time.
 */
async function setTime(handle: StoredFile, ms: number): Promise<void> {
  const nudge = Math.abs(ms) < 4e12 ? 0.0005 : 0.005;
  const seconds = String((ms + nudge) / 1000);
  await handle.utimes(seconds, seconds);
}

function checkTime(stat: BigIntStats, ms: number, key: string): void {
  if (mtimeMs(stat) === ms) return;
  throw new StoreError({
    operation: OPERATION,
    object: key,
    what: `the file system turned the time ${new Date(ms).toISOString()} into ${new Date(mtimeMs(stat)).toISOString()}`,
    next: "Keep the replica on a file system whose times have milliseconds and reach that far",
  });
}

/** File systems without hard links answer with one of these. */
const NO_LINKS: ReadonlySet<string> = new Set([
  "EPERM",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "EMLINK",
]);

async function createLink(temp: string, path: string, { key, calls }: WriteRequest): Promise<void> {
  try {
    await calls.link(temp, path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST") throw alreadyExists(key);
    if (code === "ENOENT") throw vanished(key, error);
    if (!NO_LINKS.has(code)) throw error;
    throw new StoreError({
      operation: OPERATION,
      object: key,
      what: "the file system has no hard links, without which a file cannot be created atomically",
      next: "Keep the replica on a file system with hard links",
      cause: error,
    });
  }
}

/**
 * The directories of one store: made once, with every entry on the way from an existing one on stable storage. Writers
 * that need the same directory at the same time wait for the one that makes it, since their files are no more durable
 * than its entry.
 */
export class Directories {
  readonly #root: string;
  readonly #mode: number;
  readonly #made = new Map<string, Promise<void>>();
  readonly #tidied = new Set<string>();

  constructor(root: string, mode: number) {
    this.#root = resolve(root);
    this.#mode = mode;
  }

  /** Makes a directory and its parents. */
  make(path: string, calls: FileCalls): Promise<void> {
    let made = this.#made.get(path);
    if (made === undefined) {
      made = this.#make(path, calls);
      this.#made.set(path, made);
      made.catch(() => this.#made.delete(path));
    }
    return made;
  }

  /** Removes, once, what killed writers have left in a directory. Best effort: the object is written already. */
  async tidy(path: string): Promise<void> {
    if (this.#tidied.has(path)) return;
    this.#tidied.add(path);
    await removeLeftBehind(path, Date.now()).catch(() => undefined);
  }

  /** Forgets what was made, because some of it is gone. */
  forget(): void {
    this.#made.clear();
  }

  async #make(path: string, calls: FileCalls): Promise<void> {
    const first = await mkdir(path, { recursive: true, mode: this.#mode });
    // Up to the root in any case: another process may have made an entry just now and not have synced it yet.
    const top = Math.min(first?.length ?? Number.POSITIVE_INFINITY, this.#root.length + 1);
    for (let at = path; at.length >= top; at = dirname(at)) {
      await this.sync(dirname(at), calls);
    }
  }

  /** Returns when the entries of a directory are on stable storage. */
  async sync(path: string, calls: FileCalls): Promise<void> {
    // Windows cannot open directories and keeps their entries without being asked.
    if (process.platform === "win32") return;
    const handle = await calls.open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
