/**
 * Gathers small writes of a restore into large runs and lets them go on while the caller decodes the next pages.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";

/** Size of one run in bytes. */
const RUN_SIZE = 1 << 20;

/** Runs that may be under way at once. */
const RUNS = 4;

/** Bytes after which the disk is set to work, so that the sync at the end finds little left to do. */
const SYNC_BYTES = 32 << 20;

/** Writes to one file. Calls must not overlap. */
export class RunWriter {
  readonly #handle: FileHandle;
  readonly #free: Uint8Array[] = [];
  #allocated = 0;
  #current: Uint8Array | undefined;
  #fill = 0;
  /** Where the current run begins in the file. */
  #offset = 0;
  readonly #underway = new Set<Promise<void>>();
  /** Bytes written since the last sync began. */
  #unsynced = 0;
  #syncing = false;
  /** The first failure: it belongs to whichever call comes next. */
  #failure: { readonly error: unknown } | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /**
   * Writes `bytes` at `offset`: a whole run from where it is, less as a copy. Returns a promise only for a whole run or
   * when it has to wait for earlier writes; the array belongs to the caller again when the call, or that promise, has
   * ended.
   */
  write(offset: number, bytes: Uint8Array): void | Promise<void> {
    this.#check();
    if (this.#current !== undefined && this.#offset + this.#fill !== offset) this.#submit();
    if (this.#current === undefined && bytes.length >= RUN_SIZE) {
      return this.#writeThrough(offset, bytes);
    }
    const taken = this.#take(offset, bytes);
    if (taken < bytes.length) return this.#writeRest(offset + taken, bytes.subarray(taken));
  }

  /** Resolves when everything has been handed to the operating system. */
  async drain(): Promise<void> {
    this.#submit();
    await this.settle();
    this.#check();
  }

  /** Resolves when no write is under way, whether or not they went well. */
  async settle(): Promise<void> {
    // The end of a write may have begun a sync.
    while (this.#underway.size > 0) await Promise.all(this.#underway);
  }

  /** Writes the caller's own memory, which it does not touch until then. */
  #writeThrough(offset: number, bytes: Uint8Array): Promise<void> {
    const write = this.#writeRun(bytes, bytes.length, offset);
    this.#track(write);
    return write;
  }

  async #writeRest(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      if (this.#free.length === 0) await Promise.race(this.#underway);
      this.#check();
      done += this.#take(offset + done, bytes.subarray(done));
    }
  }

  /** Copies as much as there are buffers for; gives the number of bytes. */
  #take(offset: number, bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length) {
      if (this.#current === undefined) {
        this.#current = this.#buffer();
        if (this.#current === undefined) break;
        this.#offset = offset + done;
        this.#fill = 0;
      }
      const part = bytes.subarray(done, done + RUN_SIZE - this.#fill);
      this.#current.set(part, this.#fill);
      this.#fill += part.length;
      done += part.length;
      if (this.#fill === RUN_SIZE) this.#submit();
    }
    return done;
  }

  #buffer(): Uint8Array | undefined {
    const free = this.#free.pop();
    if (free !== undefined || this.#allocated === RUNS) return free;
    this.#allocated++;
    return new Uint8Array(RUN_SIZE);
  }

  #submit(): void {
    const buffer = this.#current;
    if (buffer === undefined) return;
    this.#current = undefined;
    const write = this.#writeRun(buffer, this.#fill, this.#offset);
    this.#track(write.finally(() => this.#free.push(buffer)));
  }

  /** Counts a call as under way until it ends. Its failure is kept: a later sync would not report it again. */
  #track(call: Promise<unknown>): void {
    const settled = call
      .then(
        () => undefined,
        (error: unknown) => {
          this.#failure ??= { error };
        },
      )
      .finally(() => this.#underway.delete(settled));
    this.#underway.add(settled);
  }

  async #writeRun(buffer: Uint8Array, length: number, offset: number): Promise<void> {
    for (let done = 0; done < length;) {
      const left = length - done;
      const { bytesWritten } = await this.#handle.write(buffer, done, left, offset + done);
      done += bytesWritten;
    }
    this.#unsynced += length;
    if (this.#unsynced < SYNC_BYTES || this.#syncing) return;
    this.#unsynced = 0;
    this.#syncing = true;
    this.#track(this.#handle.datasync().finally(() => (this.#syncing = false)));
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
