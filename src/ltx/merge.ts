/**
 * Merges a chain of LTX files by page number: one pass for compaction and for restore.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { LtxDecoder } from "./decoder.ts";
import { LtxEncoder, type LtxSummary } from "./encoder.ts";
import { LtxFormatError } from "./errors.ts";
import { formatTxid, isContiguous } from "./file-name.ts";
import { isSnapshot, type LtxHeader, replicaHeader } from "./header.ts";

/** One file to merge, read from its beginning. */
export interface LtxInput {
  /** What to call the file in errors. */
  readonly name: string;
  /**
   * The next bytes, or `undefined` at the end. A plain value is used at once; only a promise is waited for. A chunk
   * may be overwritten from the next call on.
   */
  read(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** Called once, whether the merge succeeds or fails. */
  close?(): void | Promise<void>;
}

/** Options of {@linkcode LtxMerge}. */
export interface LtxMergeOptions {
  /** Accept gaps in the TXIDs from file to file. @default false */
  readonly allowNonContiguous?: boolean | undefined;
  /**
   * First TXID of the merged file, where what the first input holds before it is known to the reader already, or where 1
   * makes a snapshot of a file with every page. @default the first input's
   */
  readonly minTxid?: bigint | undefined;
}

/** How many inputs are opened at the same time. */
const OPEN_AT_ONCE = 8;

interface Source {
  readonly input: LtxInput;
  readonly decoder: LtxDecoder;
  /** Position in the chain, from 0. */
  readonly rank: number;
  /** Number of the page it offers; 0 before the first. */
  pgno: number;
  /** Pages above this were cut off by a later file and are void unless written again. */
  cut: number;
}

/**
 * The pages of a chain of files, oldest file first, in ascending order: of each page the newest image, and none past
 * the size after the last file.
 *
 * Pages are good only once `next()` has returned false: by then every input was read to its end and verified.
 * Refused are pages out of order, past their own file's size or on the lock page, gaps in a chain that begins at TXID 1,
 * and pages that a file cut off and a later one brings back in size but not in content. Memory is one page and
 * what the inputs hand out, for each input.
 */
export class LtxMerge {
  readonly #sources: Source[];
  readonly #allowNonContiguous: boolean;
  readonly #minTxid: bigint | undefined;
  /** Inputs that offer a page, as a binary heap: lowest page first, of equal ones the newest file first. */
  readonly #heap: Source[] = [];
  /** Inputs whose page is used up; they move on at the next call, so that the views of the page live till then. */
  readonly #moving: Source[] = [];
  #header: LtxHeader | undefined;
  #current: Source | undefined;
  #commit = 0;
  #lock = 0;
  /** The next page a snapshot must have; infinite otherwise. */
  #required = Infinity;
  #closed = false;

  /**
   * Takes the inputs oldest first, and reads none of them before {@linkcode open}.
   *
   * @throws {InvalidArgumentError} without inputs.
   */
  constructor(inputs: readonly LtxInput[], options: LtxMergeOptions = {}) {
    if (inputs.length === 0) throw misuse("there is no file to merge");
    this.#allowNonContiguous = options.allowNonContiguous ?? false;
    this.#minTxid = options.minTxid;
    this.#sources = inputs.map((input, rank) => ({
      input,
      decoder: new LtxDecoder({ name: input.name }),
      rank,
      pgno: 0,
      cut: Infinity,
    }));
  }

  /**
   * Reads and checks the header of every input.
   *
   * @returns the header of the merged file: range of all inputs, size and time of the last, no checksums, no WAL.
   * @throws {LtxFormatError} when a header is bad or does not continue the one before it.
   */
  async open(): Promise<LtxHeader> {
    if (this.#header !== undefined) return this.#header;
    const waiting = this.#sources.values();
    let failed = false;
    const worker = async (): Promise<void> => {
      for (const source of waiting) {
        try {
          while (!source.decoder.readHeader()) {
            if (failed) return;
            feed(source, await source.input.read());
          }
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    };
    const workers = Array.from({ length: Math.min(OPEN_AT_ONCE, this.#sources.length) }, worker);
    // Not before the last read has ended: the caller's next step is to close the inputs.
    for (const result of await Promise.allSettled(workers)) {
      if (result.status === "rejected") throw result.reason;
    }
    this.#checkChain();
    const first = this.#sources[0]!.decoder.header;
    const last = this.#sources.at(-1)!.decoder.header;
    this.#header = replicaHeader({
      pageSize: first.pageSize,
      commit: last.commit,
      minTxid: this.#minTxid ?? first.minTxid,
      maxTxid: last.maxTxid,
      timestamp: last.timestamp,
      compacted: true,
    });
    this.#commit = last.commit;
    this.#lock = lockPage(first.pageSize);
    if (isSnapshot(this.#header)) this.#required = 1;
    this.#moving.push(...this.#sources);
    return this.#header;
  }

  /**
   * Goes on to the next page; false after the last. Answers with a promise only when an input has to be waited for.
   *
   * @throws {LtxFormatError} and the other errors of {@linkcode LtxDecoder.next}, naming the input.
   */
  next(): boolean | Promise<boolean> {
    if (this.#header === undefined) throw misuse("the merge is not open");
    if (this.#closed) throw misuse("the merge is closed");
    const step = this.#step();
    return typeof step === "boolean" ? step : this.#wait(step);
  }

  /** Number of the current page. */
  get pgno(): number {
    return this.#current?.pgno ?? 0;
  }

  /** The current page, a view that is valid until `next()`. */
  get data(): Uint8Array {
    return this.#page().decoder.data;
  }

  /** The LZ4 block of the current page, a view that is valid until `next()`; `undefined` where it was an LZ4 frame. */
  get payload(): Uint8Array | undefined {
    return this.#page().decoder.payload;
  }

  /** Closes every input; safe to call again. The first error of an input is thrown after all were closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#current = undefined;
    const results = await Promise.allSettled(
      this.#sources.map(async ({ input }) => input.close?.()),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #checkChain(): void {
    let previous: Source | undefined;
    for (const source of this.#sources) {
      if (previous !== undefined) this.#checkNeighbours(previous, source);
      previous = source;
    }
    let cut = Infinity;
    for (const source of this.#sources.toReversed()) {
      source.cut = cut;
      cut = Math.min(cut, source.decoder.header.commit);
    }
  }

  #checkNeighbours(previous: Source, source: Source): void {
    const before = previous.decoder.header;
    const { pageSize, minTxid, maxTxid } = source.decoder.header;
    const { name } = source.input;
    if (pageSize !== before.pageSize) {
      const what = `its page size is ${pageSize}, that of ${previous.input.name} is ${before.pageSize}`;
      const next = "Begin with a file that holds the whole database in the new page size";
      throw new LtxFormatError({ name, field: "pageSize", offset: 8, what, next });
    }
    if (!this.#allowNonContiguous && !isContiguous(before.maxTxid, minTxid, maxTxid)) {
      const range = `${formatTxid(minTxid)}-${formatTxid(maxTxid)}`;
      const what = `its TXIDs ${range} do not continue ${previous.input.name}, which ends at ${formatTxid(before.maxTxid)}`;
      throw new LtxFormatError({
        name,
        field: "minTxid",
        offset: 16,
        what,
        next: "Find the missing file",
      });
    }
  }

  /** The next page or the end; or the read that has to be waited for. */
  #step(): boolean | Promise<Uint8Array | undefined> {
    this.#current = undefined;
    for (;;) {
      while (this.#moving.length > 0) {
        const pending = this.#move(this.#moving.at(-1)!);
        if (pending !== undefined) return pending;
        this.#moving.pop();
      }
      const winner = this.#heap[0];
      if (winner === undefined) {
        if (this.#required <= this.#commit) throw this.#missing();
        return false;
      }
      const { pgno } = winner;
      do {
        this.#moving.push(this.#heap[0]!);
        this.#removeFirst();
      } while (this.#heap.length > 0 && this.#heap[0]!.pgno === pgno);
      if (pgno > this.#commit) continue;
      if (pgno > winner.cut) throw this.#cutOff(winner);
      if (pgno > this.#required) throw this.#missing();
      if (pgno === this.#required) this.#required = pgno + 1 === this.#lock ? pgno + 2 : pgno + 1;
      this.#current = winner;
      return true;
    }
  }

  async #wait(pending: Promise<Uint8Array | undefined>): Promise<boolean> {
    for (;;) {
      feed(this.#moving.at(-1)!, await pending);
      const step = this.#step();
      if (typeof step === "boolean") return step;
      pending = step;
    }
  }

  /** Takes an input to its next page or its end; returns the read that has to be waited for, if any. */
  #move(source: Source): Promise<Uint8Array | undefined> | undefined {
    const { decoder, input } = source;
    for (;;) {
      const step = decoder.next();
      if (step === "done") return undefined;
      if (step === "page") {
        this.#checkPage(source);
        source.pgno = decoder.pgno;
        this.#insert(source);
        return undefined;
      }
      const chunk = input.read();
      if (isPromise(chunk)) return chunk;
      feed(source, chunk);
    }
  }

  #checkPage(source: Source): void {
    const { pgno, frameOffset: offset, header } = source.decoder;
    const { name } = source.input;
    const fail = (what: string): never => {
      throw new LtxFormatError({ name, field: "pgno", offset, what });
    };
    if (pgno <= source.pgno) fail(`page ${pgno} follows page ${source.pgno}, out of order`);
    if (pgno > header.commit)
      fail(`page ${pgno} is past the database size of ${header.commit} pages`);
    if (pgno === this.#lock) fail(`page ${pgno} is the lock page, which is never stored`);
  }

  #cutOff(source: Source): LtxFormatError {
    const { pgno, frameOffset: offset } = source.decoder;
    const cutter = this.#sources.findLast(
      ({ rank, decoder }) => rank > source.rank && decoder.header.commit < pgno,
    )!;
    const what = `page ${pgno} was cut off by ${cutter.input.name} and written by no file after it`;
    return new LtxFormatError({ name: source.input.name, field: "pgno", offset, what });
  }

  #missing(): LtxFormatError {
    const { name } = this.#sources.at(-1)!.input;
    const what = `page ${this.#required} of ${this.#commit} is in no file of the chain that ends here`;
    const next = "Restore to an earlier transaction or from a newer snapshot";
    return new LtxFormatError({ name, field: "commit", offset: 12, what, next });
  }

  #page(): Source {
    if (this.#current === undefined) throw misuse("there is no current page");
    return this.#current;
  }

  #insert(source: Source): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(source, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = source;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Source, b: Source): boolean {
  return a.pgno < b.pgno || (a.pgno === b.pgno && a.rank > b.rank);
}

function feed(source: Source, chunk: Uint8Array | undefined): void {
  if (chunk === undefined) source.decoder.end();
  else source.decoder.push(chunk);
}

/** Also true for promises of another realm. */
function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === "object" && value !== null && "then" in value;
}

function misuse(what: string): InvalidArgumentError {
  return new InvalidArgumentError({ operation: "merge", object: "LTX files", what });
}

/**
 * Merges files into one, as a compaction does: compressed pages are copied, and decoded only to verify them.
 *
 * @param inputs oldest first; closed in any case.
 * @param output gets the bytes in order, in chunks it owns; where it returns a promise, no page is read until that
 * resolves. What it got is to be discarded when the merge fails, which may be after its last byte.
 * @throws the errors of {@linkcode LtxMerge} and {@linkcode LtxEncoder}.
 */
export async function mergeLtx(
  inputs: readonly LtxInput[],
  output: (chunk: Uint8Array<ArrayBuffer>) => void | Promise<void>,
  options: LtxMergeOptions & { readonly chunkSize?: number | undefined } = {},
): Promise<LtxSummary> {
  const merge = new LtxMerge(inputs, options);
  let result: LtxSummary;
  try {
    let pending: Promise<void> | undefined;
    const encoder = new LtxEncoder(
      await merge.open(),
      (chunk) => {
        // Two chunks without a wait between them (index and trailer) must still arrive one after the other.
        const accept = (): void | Promise<void> => output(chunk);
        const accepted = pending === undefined ? accept() : pending.then(accept);
        pending = isPromise(accepted) ? accepted : undefined;
      },
      { chunkSize: options.chunkSize },
    );
    for (;;) {
      const more = merge.next();
      if (!(typeof more === "boolean" ? more : await more)) break;
      const { payload } = merge;
      if (payload === undefined) encoder.encodePage(merge.pgno, merge.data);
      else encoder.encodeFrame(merge.pgno, payload, merge.data);
      if (pending !== undefined) {
        await pending;
        pending = undefined;
      }
    }
    result = encoder.finish();
    await pending;
  } catch (error) {
    // The error to report is the one that ended the merge, not what closing after it may add.
    await merge.close().catch(() => undefined);
    throw error;
  }
  await merge.close();
  return result;
}
