/**
 * Files of a replica as streams of bytes: ranged, read ahead, retried, resumed at the byte, within one memory bound.
 *
 * A merge reads its inputs at very different speeds, so no connection is kept open between two reads: each file is
 * fetched in windows, and each request is drained into memory as fast as it comes. The bound on memory is the sum of
 * all windows that may be held at once; it is shared out so that small files, which are read in one request each,
 * leave what they do not need to the large ones.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import type { Aborter } from "../core/platform.ts";
import type { LtxInput } from "../ltx/merge.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { LTX_HEADER_SIZE, decodeHeader } from "../ltx/header.ts";
import type { LocalReads } from "../transports/object-store.ts";
import type { Buffers } from "./chunk-reader.ts";
import { DamagedFileError } from "./errors.ts";
import { readRange } from "./range-reader.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** Upper bound in bytes of one request to a local store. */
const LOCAL_WINDOW = 2 * 1024 * 1024;

/** The same where a request travels: at 100 ms a round trip, windows of 2 MiB make a restore a third slower. */
const REMOTE_WINDOW = 8 * 1024 * 1024;

/** Bytes that may be read ahead, and requests under way, where each request travels. */
const REMOTE_AHEAD = { budget: 32 * 1024 * 1024, concurrency: 16 };

/** The same for a disk, which answers at once; but each request opens the file anew, so that windows must not be small. */
const LOCAL_AHEAD = { budget: 16 * 1024 * 1024, concurrency: 4 };

/**
 * Part of the budget of a local store that is not shared out. Files next to each other often hold pages next to each
 * other, so that a merge reads few of them at a time: those get it.
 */
const LOCAL_KEPT = 0.5;

/** Share in bytes of one file below which it is not read ahead. */
const MIN_AHEAD = 128 * 1024;

/** Windows of one file that may be fetched or held at once: one request's latency hides behind the next. */
const MAX_AHEAD = 4;

/** The same of a local file: one is read while the other is used. */
const LOCAL_MAX_AHEAD = 2;

/** Bytes of one read that blocks the thread: they stay in the processor's cache until they are decoded. */
const BLOCKING_READ = 256 * 1024;

/** Milliseconds after which reads that block let others have the thread. */
const TURN_MS = 40;

/** Most bytes of a buffer that is used again and again. */
const BUFFER_SIZE = 1024 * 1024;

/** A part of a file that is fetched by one request. */
class Segment {
  readonly offset: number;
  readonly length: number;
  readonly chunks: Uint8Array[] = [];
  /** Those of the chunks that go back to the pool. */
  readonly buffers: Set<Uint8Array> = new Set();
  started = false;
  done = false;
  error: unknown;
  wake: (() => void) | undefined;

  constructor(offset: number, length: number) {
    this.offset = offset;
    this.length = length;
  }
}

/** A segment and the file it is a part of. */
interface Request {
  readonly file: LtxFileInfo;
  readonly segment: Segment;
}

/** One file of a {@linkcode ReadPool}. */
export class RangedInput implements LtxInput {
  readonly name: string;
  readonly file: LtxFileInfo;
  readonly #pool: ReadPool;
  readonly #window: number;
  readonly #head: Uint8Array = new Uint8Array(LTX_HEADER_SIZE);
  #headLength = 0;
  #planned = 0;
  #next = 0;
  #segments: Segment[] = [];
  /** The buffer handed out last. */
  #lent: Uint8Array | undefined;
  /** Memory for reads that block, as long as those work. */
  #memory: Uint8Array<ArrayBuffer> | undefined;

  constructor(pool: ReadPool, file: LtxFileInfo, share: number) {
    this.name = file.key;
    this.file = file;
    this.#pool = pool;
    this.#window = file.size <= share ? Math.min(file.size, pool.maxWindow) : pool.window;
    this.#window = Math.max(1, this.#window);
    if (pool.reads !== undefined && file.etag !== "") {
      this.#window = Math.min(this.#window, BLOCKING_READ);
      this.#memory = EMPTY;
      return;
    }
    const ahead = Math.max(1, Math.min(pool.maxAhead, Math.floor(share / this.#window)));
    for (let i = 0; i < ahead; i++) this.#plan(this.#window);
  }

  /** The next bytes of the file, undefined after the last; a promise only where they have not arrived yet. */
  read(): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (this.#lent !== undefined) {
      this.#pool.giveBack(this.#lent);
      this.#lent = undefined;
    }
    if (this.#memory !== undefined) return this.#readNow(this.#memory);
    for (;;) {
      const segment = this.#segments[0];
      if (segment === undefined) return undefined;
      const chunk = segment.chunks[this.#next];
      if (chunk !== undefined) {
        // The pool must not hold what the reader has had.
        segment.chunks[this.#next++] = EMPTY;
        if (segment.buffers.delete(chunk)) this.#lent = chunk;
        this.#checkName(chunk);
        this.#pool.consumed(this, chunk.length);
        return chunk;
      }
      if (segment.error !== undefined) throw segment.error;
      if (!segment.done) return this.#wait(segment);
      this.#segments.shift();
      this.#next = 0;
      this.#plan(this.#pool.release(segment));
    }
  }

  /** Forgets what was read ahead. */
  close(): void {
    this.#segments = [];
    this.#lent = undefined;
    this.#memory = undefined;
    this.#planned = this.file.size;
  }

  #readNow(
    memory: Uint8Array<ArrayBuffer>,
  ): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const { key, etag, size } = this.file;
    const offset = this.#planned;
    const length = Math.min(this.#window, size - offset);
    if (length === 0) return undefined;
    this.#pool.throwIfAborted(key);
    const pause = this.#pool.giveWay();
    if (pause !== undefined) return pause.then(() => this.read());
    if (memory.length === 0) memory = this.#memory = new Uint8Array(this.#window);
    let chunk: Uint8Array | undefined;
    try {
      const into = memory.subarray(0, length);
      chunk = this.#pool.reads?.read(key, { offset, length, etag }, into);
    } catch {
      // A request is tried again as often as is right, and its error is the one that callers know.
    }
    if (chunk === undefined) {
      this.#memory = undefined;
      this.#plan(this.#window);
      return this.read();
    }
    this.#planned += length;
    this.#checkName(chunk);
    this.#pool.consumed(this, length);
    return chunk;
  }

  #plan(window: number): void {
    const length = Math.min(window, this.file.size - this.#planned);
    if (length <= 0) return;
    const segment = new Segment(this.#planned, length);
    this.#planned += length;
    this.#segments.push(segment);
    this.#pool.enqueue(this.file, segment);
  }

  async #wait(segment: Segment): Promise<Uint8Array | undefined> {
    this.#pool.hurry(this.file, segment);
    await new Promise<void>((resolve) => {
      segment.wake = resolve;
    });
    return await this.read();
  }

  /** A plan trusts names; so the header must say the same, or the result would carry a wrong TXID. */
  #checkName(chunk: Uint8Array): void {
    if (this.#headLength === LTX_HEADER_SIZE) return;
    const part = chunk.subarray(0, LTX_HEADER_SIZE - this.#headLength);
    this.#head.set(part, this.#headLength);
    this.#headLength += part.length;
    if (this.#headLength < LTX_HEADER_SIZE) return;
    const { minTxid, maxTxid } = decodeHeader(this.#head, this.name);
    if (minTxid === this.file.minTxid && maxTxid === this.file.maxTxid) return;
    throw new DamagedFileError(
      {
        operation: "read",
        object: this.name,
        what: `its header says ${formatFileName(minTxid, maxTxid)}`,
        next: "Restore a TXID that does not need this file, or give it its right name",
      },
      { file: this.name },
    );
  }
}

const EMPTY: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Options of {@linkcode ReadPool}. */
export interface ReadPoolOptions {
  /** Upper bound of the bytes read ahead, all files together. @default 32 MiB, 16 MiB from a local one */
  readonly budget?: number | undefined;
  /** Requests under way at once. @default 16, 4 to a local store */
  readonly concurrency?: number | undefined;
  /** Reads that block, where the store has them: they take less than to wait for as much. Whoever began them closes them. */
  readonly reads?: LocalReads | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Reads many files at once, ahead of whoever merges them, with a bound on requests and on memory. */
export class ReadPool {
  /** One input per file, in the order of the files. */
  readonly inputs: readonly RangedInput[];
  /** Upper bound in bytes of one request. */
  readonly maxWindow: number;
  /** Bytes of one request for a file that is larger than its share. */
  readonly window: number;
  /** Upper bound of the requests for one file that are under way or held. */
  readonly maxAhead: number;
  /** What is read from instead of by requests. */
  readonly reads: LocalReads | undefined;
  readonly #replica: Replica;
  readonly #concurrency: number;
  readonly #aborter: Aborter;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#aborter.abort(this.#signal?.reason);
  /** Bytes of the budget that no segment has. */
  #free: number;
  /** Buffers that nobody uses, by size, in ascending order: never more than were in use at once. */
  readonly #spare = new Map<number, Uint8Array<ArrayBuffer>[]>();
  /** Only for local stores: pieces from a network are smaller, and copying them together would be lost time. */
  readonly #buffers: Buffers | undefined;
  /** Requests not begun, in the order of the files. */
  readonly #queue: Request[] = [];
  #queueHead = 0;
  /** Requests not begun that somebody waits for. */
  #urgent: Request[] = [];
  #running = 0;
  #turnEnds: number;
  #consumedBytes = 0;
  #current = "";

  constructor(replica: Replica, files: readonly LtxFileInfo[], options: ReadPoolOptions = {}) {
    this.#replica = replica;
    const isLocal = replica.store.local === true;
    const defaults = isLocal ? LOCAL_AHEAD : REMOTE_AHEAD;
    this.reads = options.reads;
    this.#turnEnds = replica.platform.clock.monotonic() + TURN_MS;
    this.#concurrency = options.concurrency ?? defaults.concurrency;
    this.#aborter = replica.platform.newAborter();
    this.maxWindow = isLocal ? LOCAL_WINDOW : REMOTE_WINDOW;
    this.maxAhead = isLocal ? LOCAL_MAX_AHEAD : MAX_AHEAD;
    this.#signal = options.signal;
    if (this.#signal?.aborted) this.#onAbort();
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#free = options.budget ?? defaults.budget;
    const share = shareOut(
      files.map((f) => f.size),
      Math.ceil(isLocal ? this.#free * (1 - LOCAL_KEPT) : this.#free),
    );
    // With little room, few large requests are worth more than reading ahead.
    const window = share < MIN_AHEAD ? share : Math.floor(share / 2);
    this.window = Math.max(1, Math.min(this.maxWindow, window));
    if (isLocal) {
      this.window = wholeBuffers(this.window);
      for (const size of [Math.min(BUFFER_SIZE, this.window), BUFFER_SIZE])
        this.#spare.set(size, []);
      this.#buffers = { take: (left) => this.#take(left) };
    }
    this.inputs = files.map((file) => new RangedInput(this, file, share));
  }

  /** Bytes handed out so far. */
  get consumedBytes(): number {
    return this.#consumedBytes;
  }

  /** Key of the file that bytes were last read of. */
  get current(): string {
    return this.#current;
  }

  /** Ends every request under way. */
  close(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#queueHead = this.#queue.length;
    this.#urgent = [];
    this.#aborter.abort();
  }

  /** Notes what an input has handed out. */
  consumed(input: RangedInput, length: number): void {
    this.#consumedBytes += length;
    this.#current = input.name;
  }

  /** Throws once the caller has left. */
  throwIfAborted(key: string): void {
    throwIfAborted(this.#aborter.signal, "read", key);
  }

  /** Lets others have the thread, where it has been a while. */
  giveWay(): Promise<void> | undefined {
    const { clock } = this.#replica.platform;
    if (clock.monotonic() < this.#turnEnds) return undefined;
    return new Promise((resolve) => {
      clock.schedule(() => {
        this.#turnEnds = clock.monotonic() + TURN_MS;
        resolve();
      }, 0);
    });
  }

  /** Takes memory back whose bytes nobody needs any more. */
  giveBack(buffer: Uint8Array): void {
    this.#spare.get(buffer.length)?.push(buffer as Uint8Array<ArrayBuffer>);
  }

  /** Takes back what a segment had of the budget, and gives the window for the next one of its file. */
  release(segment: Segment): number {
    this.#free += segment.length;
    // Half of what is free, so that there is something left for the next file.
    return Math.max(this.window, Math.min(this.maxWindow, wholeBuffers(this.#free >> 1)));
  }

  /** Fetches a segment when its turn comes. */
  enqueue(file: LtxFileInfo, segment: Segment): void {
    this.#free -= segment.length;
    this.#queue.push({ file, segment });
    this.#pump();
  }

  /** Fetches a segment before all that nobody waits for yet. */
  hurry(file: LtxFileInfo, segment: Segment): void {
    if (segment.started) return;
    this.#urgent.push({ file, segment });
    this.#pump();
  }

  /** The largest buffer that so many bytes fill. */
  #take(left: number): Uint8Array<ArrayBuffer> | undefined {
    const size = [...this.#spare.keys()].findLast((length) => length <= left);
    return size === undefined ? undefined : (this.#spare.get(size)?.pop() ?? new Uint8Array(size));
  }

  #pump(): void {
    while (this.#running < this.#concurrency) {
      const request = this.#urgent.shift() ?? this.#queue[this.#queueHead++];
      if (request === undefined) {
        this.#queue.length = 0;
        this.#queueHead = 0;
        return;
      }
      if (!request.segment.started) this.#start(request);
    }
  }

  #start({ file, segment }: Request): void {
    segment.started = true;
    this.#running++;
    const settle = (error?: unknown): void => {
      segment.done = error === undefined;
      segment.error = error;
      this.#running--;
      segment.wake?.();
      this.#pump();
    };
    readRange(this.#replica, file, {
      offset: segment.offset,
      length: segment.length,
      signal: this.#aborter.signal,
      buffers: this.#buffers,
      onChunk(chunk, isOurs) {
        segment.chunks.push(chunk);
        if (isOurs && chunk.length === chunk.buffer.byteLength) segment.buffers.add(chunk);
        segment.wake?.();
      },
    }).then(() => settle(), settle);
  }
}

/** So many bytes or less, without part of a buffer: memory for that would be new each time. */
function wholeBuffers(length: number): number {
  return length > BUFFER_SIZE ? length - (length % BUFFER_SIZE) : length;
}

/** The largest share such that no file holds more than it, and all files together no more than the budget. */
export function shareOut(sizes: readonly number[], budget: number): number {
  const ascending = [...sizes].sort((a, b) => a - b);
  let left = budget;
  for (let i = 0; i < ascending.length; i++) {
    const size = ascending[i] as number;
    const share = left / (ascending.length - i);
    if (size > share) return Math.max(1, Math.floor(share));
    left -= size;
  }
  return budget;
}
