/**
 * An image of a database at one commit boundary, read run by run while commits go on.
 *
 * Before SQLite overwrites or cuts off a page that was not read yet, its old bytes are saved. What is saved is
 * bounded; past the bound the image ends with `ImageOverrunError`, and a later one may come through. In WAL mode the
 * boundary's pages lie in frames that stay as they are until the WAL is begun anew.
 *
 * @module
 */
import type { DatabaseImage, PageImage } from "../core/commit-source.ts";
import { abortedError, ImageOverrunError } from "../core/errors.ts";
import { imagePages } from "../core/lock-page.ts";
import { NotCapturedError } from "./errors.ts";
import { reasonOf } from "./listener-slot.ts";
import { LARGEST_READ, type ParentFile } from "./parent-file.ts";

/** Bytes of a run. */
const RUN_SIZE = 1 << 20;
/** Bytes of old pages kept for one image. */
export const SAVED_BOUND: number = 16 << 20;

/** The boundary, and what ends the image early. */
export interface ImageBoundary {
  readonly name: string;
  readonly sequence: number;
  readonly pageSize: number;
  readonly commit: number;
  /** Ascending page numbers, or all. */
  readonly pages: Uint32Array | undefined;
  readonly signal: AbortSignal | undefined;
  /** An open handle to read through, if there is one. */
  readonly file: () => ParentFile | undefined;
  /** In WAL mode: the frame of each page that lies in the WAL at the boundary, and how to read a frame's page. */
  readonly wal?:
    | {
        readonly frames: ReadonlyMap<number, number>;
        readonly read: (frame: number) => Uint8Array;
      }
    | undefined;
  /** Looks for commits of others, which may have overwritten what was read. */
  readonly check?: (() => void) | undefined;
  /** Called when the image needs no more saving; more than once is harmless. */
  readonly onRelease: (image: CapturedImage) => void;
  /** Bytes of old pages to keep. @default 16 MiB */
  readonly savedBound?: number | undefined;
}

/** The image, and the hooks that the capture calls before each write. */
export class CapturedImage implements DatabaseImage {
  readonly sequence: number;
  readonly pageSize: number;
  readonly commit: number;
  readonly runs: AsyncIterable<readonly PageImage[]>;
  readonly #boundary: ImageBoundary;
  readonly #pgnos: Uint32Array;
  /** Index of the next page to hand out. */
  #next = 0;
  /** One bit for each page that still has to be read from the file. */
  readonly #pending: Uint32Array;
  readonly #saved = new Map<number, Uint8Array>();
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #failure: unknown;
  #released = false;
  readonly #onAbort = (): void => {
    const { name, signal } = this.#boundary;
    this.#fail(abortedError({ operation: "read", object: name, signal }));
  };

  constructor(boundary: ImageBoundary) {
    const { sequence, pageSize, commit, pages, signal } = boundary;
    this.#boundary = boundary;
    this.sequence = sequence;
    this.pageSize = pageSize;
    this.commit = commit;
    this.#pgnos = pageSize === 0 ? new Uint32Array(0) : imagePages(pageSize, commit, pages);
    this.#pending = new Uint32Array((commit + 32) >>> 5);
    for (const pgno of this.#pgnos) this.#pending[pgno >>> 5]! |= 1 << (pgno & 31);
    const iterator: AsyncIterator<readonly PageImage[]> = {
      next: async () => {
        const run = this.#nextRun();
        if (!this.#released) this.#boundary.check?.();
        if (this.#failure !== undefined) throw this.#failure;
        return run;
      },
      return: async () => {
        this.#release();
        this.#next = this.#pgnos.length;
        return { done: true, value: undefined };
      },
    };
    this.runs = { [Symbol.asyncIterator]: () => iterator };
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  *runsAtOnce(): Iterable<readonly PageImage[]> {
    for (let run = this.#nextRun(); run.done !== true; run = this.#nextRun()) yield run.value;
  }

  /** Saves what a write at `offset` is about to destroy. Never throws. */
  beforeWrite(offset: number, length: number): void {
    const first = Math.floor(offset / this.pageSize) + 1;
    const last = Math.min(Math.ceil((offset + length) / this.pageSize), this.commit);
    for (let pgno = first; pgno <= last; pgno++) {
      if (!this.#boundary.wal?.frames.has(pgno)) this.#save(pgno);
    }
  }

  /** Saves what a truncation to `size` bytes is about to destroy. Never throws. */
  beforeTruncation(size: number): void {
    this.beforeWrite(size, this.commit * this.pageSize - size);
  }

  /** Saves what lies in the WAL, which is about to be begun anew, emptied or closed. Never throws. */
  beforeWalReset(): void {
    for (const pgno of this.#boundary.wal?.frames.keys() ?? []) {
      if (pgno <= this.commit) this.#save(pgno);
    }
  }

  /** Ends the image: pages of its boundary are lost. */
  overrun(what: string): void {
    this.#fail(
      new ImageOverrunError({
        operation: "read",
        object: this.#boundary.name,
        what,
        next: "Begin again at a later commit, or read all pages at once",
      }),
    );
  }

  #save(pgno: number): void {
    if (!this.#isPending(pgno)) return;
    const bound = this.#boundary.savedBound ?? SAVED_BOUND;
    if ((this.#saved.size + 1) * this.pageSize > bound) {
      this.overrun(`more than ${bound} bytes of what was still to be read were overwritten`);
      return;
    }
    try {
      this.#saved.set(pgno, this.#read(pgno, 1).slice());
      this.#done(pgno);
    } catch (error) {
      // The transaction goes on; whether the file can be read at all, the next attempt tells.
      this.overrun(`page ${pgno} could not be kept: ${reasonOf(error)}`);
    }
  }

  #nextRun(): IteratorResult<readonly PageImage[], undefined> {
    // Also before the end: the run before it may hold what somebody else has written.
    if (!this.#released) this.#boundary.check?.();
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#next === this.#pgnos.length) {
      this.#release();
      return { done: true, value: undefined };
    }
    try {
      return { done: false, value: this.#readRun() };
    } catch (error) {
      // Where somebody else has cut the file or the log meanwhile, that is the reason to tell.
      this.#boundary.check?.();
      this.#fail(error);
      throw this.#failure;
    }
  }

  #readRun(): PageImage[] {
    const { pageSize } = this;
    const left = (this.#pgnos.length - this.#next) * pageSize;
    this.#buffer ??= new Uint8Array(Math.min(RUN_SIZE, left));
    const buffer = this.#buffer;
    const run: PageImage[] = [];
    let used = 0;
    while (this.#next < this.#pgnos.length && used < buffer.length) {
      const pgno = this.#pgnos[this.#next]!;
      const saved = this.#saved.get(pgno);
      const count = saved === undefined ? this.#neighbours(pgno, buffer.length - used) : 1;
      buffer.set(saved ?? this.#read(pgno, count), used);
      this.#saved.delete(pgno);
      for (let i = 0; i < count; i++, used += pageSize) {
        this.#done(pgno + i);
        run.push({ pgno: pgno + i, data: buffer.subarray(used, used + pageSize) });
      }
      this.#next += count;
    }
    return run;
  }

  /** How many pages from `pgno` on can come in one read. */
  #neighbours(pgno: number, room: number): number {
    const most = Math.max(1, Math.min(LARGEST_READ, room) / this.pageSize);
    let count = 1;
    const frames = this.#boundary.wal?.frames;
    if (frames?.has(pgno) === true) return 1;
    while (
      count < most &&
      this.#pgnos[this.#next + count] === pgno + count &&
      this.#isPending(pgno + count) &&
      frames?.has(pgno + count) !== true
    ) {
      count++;
    }
    return count;
  }

  #read(pgno: number, count: number): Uint8Array {
    const { wal } = this.#boundary;
    const frame = wal?.frames.get(pgno);
    if (wal !== undefined && frame !== undefined) return wal.read(frame);
    const file = this.#boundary.file();
    if (file === undefined) {
      throw new NotCapturedError({
        operation: "read",
        object: this.#boundary.name,
        what: "its last connection through the capture VFS was closed",
        next: "Keep the database open until the image is read",
      });
    }
    const offset = (pgno - 1) * this.pageSize;
    const length = count * this.pageSize;
    // Until a checkpoint the file may end before pages that were taken and given back.
    return wal === undefined ? file.read(offset, length) : file.readPadded(offset, length);
  }

  #isPending(pgno: number): boolean {
    return (this.#pending[pgno >>> 5]! & (1 << (pgno & 31))) !== 0;
  }

  #done(pgno: number): void {
    this.#pending[pgno >>> 5]! &= ~(1 << (pgno & 31));
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#release();
  }

  #release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#saved.clear();
    this.#pending.fill(0);
    this.#buffer = undefined;
    this.#boundary.signal?.removeEventListener("abort", this.#onAbort);
    this.#boundary.onRelease(this);
  }
}
