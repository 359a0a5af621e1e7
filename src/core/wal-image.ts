/**
 * An image of a database at one commit boundary, read run by run while its WAL is followed.
 *
 * A page that no commit has changed since is what the database has now. Before the follower goes on past commits that
 * change pages not read yet, their old bytes are saved: a part in memory, the rest in a file.
 *
 * @module
 */
import type { DatabaseImage, PageImage } from "./commit-source.ts";
import { abortedError, ImageOverrunError } from "./errors.ts";
import { imagePages } from "./lock-page.ts";
import type { SyncFile } from "./sync-files.ts";

/** Bytes of a run. */
const RUN_SIZE = 1 << 20;
/** Bytes of old pages kept in memory for one image. */
const MEMORY_BOUND = 8 << 20;

/** The boundary, and what the image works with. */
export interface WalImageOptions {
  readonly name: string;
  readonly sequence: number;
  readonly pageSize: number;
  readonly commit: number;
  /** Ascending page numbers, or all. */
  readonly pages?: Uint32Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Reads pages as of the newest commit followed. */
  readonly read: (pgnos: Uint32Array, into: Uint8Array) => void;
  /** Opens an empty file for old pages that are too many for memory; closing it removes it. */
  readonly spill: () => SyncFile;
  /** Called when the image needs no more saving; more than once is harmless. */
  readonly onRelease: (image: WalImage) => void;
}

/** Where an old page was put: its bytes, or its place in the file in pages. */
type Saved = Uint8Array | number;

/** The image, and the hook that the follower calls before it goes on. */
export class WalImage implements DatabaseImage {
  readonly sequence: number;
  readonly pageSize: number;
  readonly commit: number;
  readonly runs: AsyncIterable<readonly PageImage[]>;
  readonly #options: WalImageOptions;
  readonly #pgnos: Uint32Array;
  /** Index of the next page to hand out. */
  #next = 0;
  /** One bit for each page that is as the database has it now and was not handed out. */
  readonly #pending: Uint32Array;
  readonly #saved = new Map<number, Saved>();
  #savedBytes = 0;
  #spill: SyncFile | undefined;
  #spilled = 0;
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #failure: unknown;
  #released = false;
  readonly #onAbort = (): void => {
    const { name, signal } = this.#options;
    this.#fail(abortedError({ operation: "read", object: name, signal }));
  };

  constructor(options: WalImageOptions) {
    const { sequence, pageSize, commit, pages, signal } = options;
    this.#options = options;
    this.sequence = sequence;
    this.pageSize = pageSize;
    this.commit = commit;
    this.#pgnos = imagePages(pageSize, commit, pages);
    this.#pending = new Uint32Array((commit + 32) >>> 5);
    for (const pgno of this.#pgnos) this.#pending[pgno >>> 5]! |= 1 << (pgno & 31);
    const iterator: AsyncIterator<readonly PageImage[]> = {
      next: async () => this.#nextRun(),
      return: async () => {
        this.#release();
        this.#next = this.#pgnos.length;
        return { done: true, value: undefined };
      },
    };
    this.runs = { [Symbol.asyncIterator]: () => iterator };
    if (signal?.aborted === true) this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  *runsAtOnce(): Iterable<readonly PageImage[]> {
    for (let run = this.#nextRun(); run.done !== true; run = this.#nextRun()) yield run.value;
  }

  /**
   * Saves what commits are about to change: the pages that they write, and those past `lowest`, the smallest size that any of them
   * leaves, since a checkpoint then cuts the file there. Never throws.
   */
  beforeChange(pgnos: Uint32Array, lowest: number): void {
    try {
      for (const pgno of pgnos) if (pgno <= this.commit && this.#isPending(pgno)) this.#save(pgno);
      for (let pgno = lowest + 1; pgno <= this.commit; pgno++) {
        if (this.#isPending(pgno)) this.#save(pgno);
      }
    } catch (error) {
      // Replication goes on; whether there is room for an image, the next attempt tells.
      const reason = error instanceof Error ? error.message : String(error);
      this.overrun(`pages that were still to be read could not be kept: ${reason}`);
    }
  }

  /** Ends the image: pages of its boundary are lost. */
  overrun(what: string): void {
    const next = "Begin again at a later commit";
    const { name: object } = this.#options;
    this.#fail(new ImageOverrunError({ operation: "read", object, what, next }));
  }

  #save(pgno: number): void {
    const { pageSize } = this;
    const page = new Uint8Array(pageSize);
    this.#options.read(Uint32Array.of(pgno), page);
    if (this.#savedBytes + pageSize <= MEMORY_BOUND) {
      this.#saved.set(pgno, page);
      this.#savedBytes += pageSize;
    } else {
      this.#spill ??= this.#options.spill();
      this.#spill.write(page, this.#spilled * pageSize);
      this.#saved.set(pgno, this.#spilled++);
    }
    this.#done(pgno);
  }

  #nextRun(): IteratorResult<readonly PageImage[], undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#next === this.#pgnos.length) {
      this.#release();
      return { done: true, value: undefined };
    }
    try {
      return { done: false, value: this.#readRun() };
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #readRun(): PageImage[] {
    const { pageSize } = this;
    const most = Math.max(1, RUN_SIZE / pageSize);
    const pgnos = this.#pgnos.subarray(this.#next, this.#next + most);
    this.#buffer ??= new Uint8Array(pgnos.length * pageSize);
    const buffer = this.#buffer;
    const run: PageImage[] = [];
    for (let i = 0; i < pgnos.length;) {
      let count = 1;
      const saved = this.#saved.get(pgnos[i]!);
      const at = i * pageSize;
      if (saved !== undefined) {
        this.#takeSaved(pgnos[i]!, saved, buffer.subarray(at, at + pageSize));
      } else {
        while (i + count < pgnos.length && !this.#saved.has(pgnos[i + count]!)) count++;
        const part = buffer.subarray(at, at + count * pageSize);
        this.#options.read(pgnos.subarray(i, i + count), part);
      }
      const end = i + count;
      for (; i < end; i++) {
        this.#done(pgnos[i]!);
        const data = buffer.subarray(i * pageSize, (i + 1) * pageSize);
        run.push({ pgno: pgnos[i]!, data });
      }
    }
    this.#next += pgnos.length;
    return run;
  }

  #takeSaved(pgno: number, saved: Saved, into: Uint8Array): void {
    this.#saved.delete(pgno);
    if (typeof saved === "number") {
      this.#spill?.read(into, saved * this.pageSize);
      return;
    }
    into.set(saved);
    this.#savedBytes -= saved.length;
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
    this.#spill?.close();
    this.#spill = undefined;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.onRelease(this);
  }
}
