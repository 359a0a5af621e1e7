/**
 * A replica: LTX names, levels and times over one object store.
 *
 * @module
 */
import { InvalidArgumentError, isPagestreamError } from "../core/errors.ts";
import type { BlockingReads } from "../core/page-source.ts";
import type { Platform } from "../core/platform.ts";
import { DEFAULT_RETRY, type RetryPolicy, retry } from "../core/retry.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { type PageIndex, readPageIndex } from "../ltx/page-index.ts";
import type {
  GetResult,
  ObjectInfo,
  ObjectMetadata,
  ObjectStore,
} from "../transports/object-store.ts";
import { TIMESTAMP_METADATA, formatTimestamp, parseTimestamp } from "../transports/timestamp.ts";
import type { Gate } from "./gate.ts";
import {
  type FileSpan,
  type Layout,
  LEVEL_COUNT,
  compareSpans,
  fileKey,
  levelPrefix,
  levelsPrefix,
  parseAnyFileKey,
  parseFileKey,
} from "./layout.ts";
import { readNow, readRange } from "./range-reader.ts";

/** An LTX file of a replica, as a listing knows it. */
export interface LtxFileInfo extends FileSpan {
  /** Size in bytes. */
  readonly size: number;
  /** Creation time: the header's, where the store keeps it; else when the store received the file. */
  readonly time: Date;
  /** Key inside the store. */
  readonly key: string;
  /** Version tag; empty where the store has none. */
  readonly etag: string;
}

/** What a file to be written is. */
export interface NewLtxFile extends FileSpan {
  /** Header time in milliseconds since the Unix epoch. */
  readonly timestamp: bigint;
}

/** How far a replica has come, over all of its levels. */
export interface ReplicaPosition {
  /** Largest TXID of any level; 0 for an empty replica. */
  readonly maxTxid: bigint;
  /** The level 0 file with the largest TXID. */
  readonly newestL0: LtxFileInfo | undefined;
  /** Largest TXID per level, from level 0; 0 where a level is empty. */
  readonly maxByLevel: readonly bigint[];
}

/** A body to upload; a function makes a stream repeatable, so that a failed upload can be tried again. */
export type UploadBody = Uint8Array | AsyncIterable<Uint8Array> | (() => AsyncIterable<Uint8Array>);

/** Options of {@linkcode openReplica}. */
export interface ReplicaOptions {
  /** Clock and chance of the pauses between tries. */
  readonly platform: Platform;
  /** @default DEFAULT_RETRY */
  readonly retry?: RetryPolicy | undefined;
  /** Shared by replicas whose uploads are bounded together. @default no bound */
  readonly uploads?: Gate | undefined;
  /** Ways to read ranges without waiting. @internal */
  readonly reads?: BlockingReads | undefined;
  /** Called before each pause between two tries. */
  readonly onRetry?: ((error: unknown, attempt: number, delayMs: number) => void) | undefined;
}

/** Options of the listings. */
export interface FilesOptions {
  /** Only files whose first TXID is at least this. */
  readonly from?: bigint | undefined;
  /** Ask for the exact creation time of each file where the listing does not tell it. @default false */
  readonly exactTimes?: boolean | undefined;
  /** Ends the requests under way with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** A part of a file. */
export interface ByteRange {
  /** Offset of the first byte. @default 0 */
  readonly offset?: number | undefined;
  /** To the end when left out. */
  readonly length?: number | undefined;
  /** Ends the reading with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What a retried call is doing, for messages, and what ends it. */
export interface RetriedCall {
  /** Verb phrase that completes "Cannot …" in an error. */
  readonly operation: string;
  /** A key, a prefix or a count of files, as errors name it. */
  readonly object: string;
  /** Ends the tries and the pauses between them with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Tries in all. @default what the replica's retry policy says */
  readonly attempts?: number | undefined;
}

/** Requests for exact times that may be under way at once. */
const HEAD_CONCURRENCY = 50;

/** LTX files of one database in one store. Every call retries what the store calls retryable. */
export class Replica {
  /** The store underneath, for requests that are not about LTX files. */
  readonly store: ObjectStore;
  /** What the replica was opened with; restores from it use the same. */
  readonly platform: Platform;
  /** How keys are built: the store's own choice, `directory` where it makes none. */
  readonly layout: Layout;
  readonly #options: ReplicaOptions;

  /** Asks the store nothing yet. `openReplica` also takes a replica for a store. */
  constructor(store: ObjectStore, options: ReplicaOptions) {
    this.store = store;
    this.platform = options.platform;
    this.layout = store.layout ?? "directory";
    this.#options = options;
  }

  /** Where this is, for messages. */
  get description(): string {
    return this.store.description;
  }

  /**
   * The same replica through another door to its store, or with its uploads bounded, or with ranges read by another way.
   * @internal
   */
  through(door: {
    readonly store?: ObjectStore;
    readonly uploads?: Gate;
    readonly reads?: BlockingReads | undefined;
  }): Replica {
    const { store = this.store, ...options } = door;
    return new Replica(store, { ...this.#options, ...options });
  }

  /**
   * Whether ranges are read in microseconds, without waiting.
   * @internal
   */
  get readsNow(): boolean {
    return this.#options.reads !== undefined;
  }

  /** Key of a file. */
  key(file: FileSpan): string {
    return fileKey(this.layout, file);
  }

  /** The files of a level in order of first, then last TXID. Objects with other names are skipped. */
  async files(level: number, options: FilesOptions = {}): Promise<LtxFileInfo[]> {
    const prefix = levelPrefix(this.layout, level);
    const { from } = options;
    // `-` sorts after nothing and before nothing else that can follow 16 digits: the text itself is a lower bound.
    const startAfter = from === undefined ? undefined : prefix + formatTxid(from);
    const parse = (key: string): FileSpan | undefined => parseFileKey(this.layout, level, key);
    return (await this.#list({ prefix, startAfter, parse }, options)).sort(compareSpans);
  }

  /**
   * The files of all levels, 0 to 9, by one listing. It goes from level 0 upwards: a file that moves up meanwhile is
   * written above before it is removed below, so in the other order it could be missed at both places.
   */
  async levels(options: FilesOptions = {}): Promise<LtxFileInfo[][]> {
    const parse = (key: string): FileSpan | undefined => parseAnyFileKey(this.layout, key);
    const files = await this.#list({ prefix: levelsPrefix(this.layout), parse }, options);
    const levels: LtxFileInfo[][] = Array.from({ length: LEVEL_COUNT }, () => []);
    for (const file of files) levels[file.level]?.push(file);
    return levels.map((level) => level.sort(compareSpans));
  }

  async #list(
    listing: {
      readonly prefix: string;
      readonly startAfter?: string | undefined;
      readonly parse: (key: string) => FileSpan | undefined;
    },
    options: FilesOptions,
  ): Promise<LtxFileInfo[]> {
    const { prefix, startAfter, parse } = listing;
    const { from, signal } = options;
    const found = await this.retry({ operation: "list", object: prefix, signal }, async () => {
      const files: LtxFileInfo[] = [];
      const untimed: number[] = [];
      for await (const info of this.store.list({ prefix, startAfter, signal })) {
        const span = parse(info.key);
        if (span === undefined || (from !== undefined && span.minTxid < from)) continue;
        if (info.metadata?.[TIMESTAMP_METADATA] === undefined) untimed.push(files.length);
        files.push(toFileInfo(span, info));
      }
      return { files, untimed };
    });
    const needTimes = options.exactTimes === true && !this.store.capabilities.metadataInList;
    return needTimes ? await this.#withTimes(found.files, found.untimed, signal) : found.files;
  }

  /** Begins to read a file, or a part of it. A body cut on the way is the caller's to resume; `read` does so itself. */
  open(file: LtxFileInfo, range: ByteRange = {}): Promise<GetResult> {
    return this.retry({ operation: "read", object: file.key, signal: range.signal }, () =>
      this.store.get(file.key, { ...range, ifMatch: file.etag === "" ? undefined : file.etag }),
    );
  }

  /** Reads exactly the bytes asked for; `DamagedFileError` if the file is shorter than its listing said. */
  async read(
    file: Pick<LtxFileInfo, "key" | "size" | "etag">,
    range: ByteRange = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const offset = range.offset ?? 0;
    const length = range.length ?? file.size - offset;
    if (
      !Number.isSafeInteger(offset) ||
      offset < 0 ||
      !(length >= 0) ||
      offset + length > file.size
    ) {
      throw new InvalidArgumentError({
        operation: "read",
        object: file.key,
        what: `bytes ${offset} to ${offset + length} lie outside its ${file.size} bytes`,
      });
    }
    const { reads } = this.#options;
    if (reads !== undefined) {
      const what = { operation: "read", object: file.key, signal: range.signal };
      return await this.retry(what, async () => readNow(reads, file, { offset, length }));
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    await readRange(this, file, {
      offset,
      length,
      signal: range.signal,
      onChunk(chunk) {
        bytes.set(chunk, at);
        at += chunk.length;
      },
    });
    return bytes;
  }

  /** Learns which conditions the store honours, where it must be asked. Every writer calls it before its first write. */
  async prepareToWrite(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { store } = this;
    if (store.probe === undefined) return;
    const what = { operation: "try conditions in", object: store.description, ...options };
    await this.retry(what, async () => await store.probe?.(options));
  }

  /**
   * Uploads a file, created only if its key is free (where the store can tell: `PreconditionFailedError` otherwise,
   * also when an own earlier try got through and its answer was lost). A body that cannot be repeated is tried once.
   */
  async write(
    file: NewLtxFile,
    body: UploadBody,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly sizeBound?: number | undefined;
      /** Tries in all. @default what the retry policy says */
      readonly attempts?: number | undefined;
      /** Awaited right before the request of each try; what it throws ends them, unless it says to try again. */
      readonly before?: (() => Promise<void>) | undefined;
    } = {},
  ): Promise<LtxFileInfo> {
    const { signal, sizeBound, attempts, before } = options;
    const key = this.key(file);
    const time = new Date(Number(file.timestamp));
    if (Number.isNaN(time.getTime())) {
      throw new InvalidArgumentError({
        operation: "upload",
        object: key,
        what: `its time, ${file.timestamp} ms since 1970, is beyond any calendar`,
      });
    }
    const metadata: ObjectMetadata = { [TIMESTAMP_METADATA]: formatTimestamp(time.getTime()) };
    const ifNoneMatch = this.store.capabilities.conditionalPut ? "*" : undefined;
    const { uploads } = this.#options;
    let size = 0;
    const attempt = async (): ReturnType<ObjectStore["put"]> => {
      size = 0;
      const source = typeof body === "function" ? body() : body;
      const counted =
        source instanceof Uint8Array ? source : count(source, (length) => void (size += length));
      if (source instanceof Uint8Array) size = source.length;
      const put = async (): ReturnType<ObjectStore["put"]> => {
        await before?.();
        return await this.store.put(key, counted, { ifNoneMatch, metadata, sizeBound, signal });
      };
      // For each try anew: what waits to try again keeps nobody else waiting.
      return uploads === undefined ? await put() : await uploads.run(key, put, signal);
    };
    const repeatable = typeof body === "function" || body instanceof Uint8Array;
    const what = { operation: "upload", object: key, signal, attempts };
    const { etag } = repeatable ? await this.retry(what, attempt) : await attempt();
    const { level, minTxid, maxTxid } = file;
    return { level, minTxid, maxTxid, size, time, key, etag };
  }

  /** What the store holds under the name of a file; `undefined` where there is none. */
  async find(
    file: FileSpan,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LtxFileInfo | undefined> {
    const key = this.key(file);
    try {
      const what = { operation: "inspect", object: key, signal: options.signal };
      return toFileInfo(file, await this.retry(what, () => this.store.head(key, options)));
    } catch (error) {
      if (isPagestreamError(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }

  /** Removes files; those already gone are no error. */
  async remove(
    files: readonly LtxFileInfo[],
    options: {
      readonly signal?: AbortSignal | undefined;
      /** Awaited before each try; what it throws ends them. */
      readonly before?: (() => Promise<void>) | undefined;
    } = {},
  ): Promise<void> {
    if (files.length === 0) return;
    const { signal, before } = options;
    const keys = files.map((f) => f.key);
    const object = keys.length === 1 ? (keys[0] as string) : `${keys.length} files`;
    await this.retry({ operation: "remove", object, signal }, async () => {
      await before?.();
      await this.store.delete(keys, { signal });
    });
  }

  /** Reads the page index of a file: where in it each page lies. */
  pageIndex(
    file: LtxFileInfo,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PageIndex> {
    return readPageIndex({
      name: file.key,
      size: file.size,
      read: (offset, length) => this.read(file, { offset, length, signal: options.signal }),
    });
  }

  /** How far the replica has come: the maximum over all levels, always from a fresh listing. */
  async position(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<ReplicaPosition> {
    const levels = await this.levels(options);
    const maxByLevel = levels.map((files) => maxTxidOf(files));
    return {
      maxTxid: maxByLevel.reduce((max, txid) => (txid > max ? txid : max), 0n),
      newestL0: levels[0]?.find((f) => f.maxTxid === maxByLevel[0]),
      maxByLevel,
    };
  }

  /** Calls `attempt` until it succeeds or this replica's retry policy is exhausted; it must be repeatable. */
  retry<T>(what: RetriedCall, attempt: () => Promise<T>): Promise<T> {
    const { platform, retry: policy = DEFAULT_RETRY, onRetry } = this.#options;
    const attempts = what.attempts ?? policy.attempts;
    return retry(attempt, { ...what, platform, policy: { ...policy, attempts }, onRetry });
  }

  /** The files, those at `indexes` with the time that the object itself carries; without those removed meanwhile. */
  async #withTimes(
    files: readonly LtxFileInfo[],
    indexes: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<LtxFileInfo[]> {
    const timed: (LtxFileInfo | undefined)[] = [...files];
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < indexes.length) {
        const i = indexes[next++] as number;
        const file = files[i] as LtxFileInfo;
        timed[i] = await this.retry({ operation: "inspect", object: file.key, signal }, () =>
          this.store.head(file.key, { signal }),
        ).then(
          (info) => toFileInfo(file, info),
          (error: unknown) => {
            if (isPagestreamError(error, "NOT_FOUND")) return undefined;
            throw error;
          },
        );
      }
    };
    await Promise.all(Array.from({ length: Math.min(HEAD_CONCURRENCY, indexes.length) }, work));
    return timed.filter((file) => file !== undefined);
  }
}

/** Gives a store LTX names, levels and times; a replica passes through as it is. */
export function openReplica(store: ObjectStore | Replica, options: ReplicaOptions): Replica {
  return store instanceof Replica ? store : new Replica(store, options);
}

function toFileInfo(span: FileSpan, info: ObjectInfo): LtxFileInfo {
  const text = info.metadata?.[TIMESTAMP_METADATA];
  const exact = text === undefined ? undefined : parseTimestamp(text);
  return {
    level: span.level,
    minTxid: span.minTxid,
    maxTxid: span.maxTxid,
    size: info.size,
    time: exact === undefined ? info.lastModified : new Date(exact),
    key: info.key,
    etag: info.etag,
  };
}

async function* count(
  source: AsyncIterable<Uint8Array>,
  add: (length: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    add(chunk.length);
    yield chunk;
  }
}

function maxTxidOf(files: readonly LtxFileInfo[]): bigint {
  return files.reduce((max, f) => (f.maxTxid > max ? f.maxTxid : max), 0n);
}
