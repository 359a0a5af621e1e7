/**
 * Appends frames to a WAL in large runs. The format is in `wal.ts`.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalChecksum } from "./wal.ts";

const MAGIC = 0x377f0682;
const VERSION = 3_007_000;

/** Bytes that are collected before they are written. */
const RUN_BYTES = 256 * 1024;

/** Where a WAL goes on. */
export interface WalEnd {
  /** Frames that stay. */
  readonly frames: number;
  readonly pageSize: number;
  readonly bigEndian: boolean;
  readonly checksum1: number;
  readonly checksum2: number;
  /** Both salts, 8 bytes as they stand in the WAL. */
  readonly salts: Uint8Array;
}

/** Writes the frames of one transaction. */
export class WalWriter {
  readonly #write: (bytes: Uint8Array, offset: number) => void;
  readonly #sums: WalChecksum;
  readonly #salts: Uint8Array;
  readonly #frameSize: number;
  readonly #run: Uint8Array;
  #filled = 0;
  #offset: number;

  /** Goes on after the frames of `tail`. */
  constructor(write: (bytes: Uint8Array, offset: number) => void, tail: WalEnd) {
    this.#write = write;
    this.#sums = new WalChecksum(tail.bigEndian).restart(tail.checksum1, tail.checksum2);
    this.#salts = tail.salts;
    this.#frameSize = WAL_FRAME_HEADER_SIZE + tail.pageSize;
    this.#run = new Uint8Array(
      Math.max(1, Math.floor(RUN_BYTES / this.#frameSize)) * this.#frameSize,
    );
    this.#offset = WAL_HEADER_SIZE + tail.frames * this.#frameSize;
  }

  /** Checksum of the last frame appended. */
  get checksum(): { readonly checksum1: number; readonly checksum2: number } {
    return { checksum1: this.#sums.s1, checksum2: this.#sums.s2 };
  }

  /** Appends a frame; `commit` is the database size in pages where it ends the transaction, else 0. Copies the page. */
  append(pgno: number, page: Uint8Array, commit: number): void {
    const frame = this.#run.subarray(this.#filled, this.#filled + this.#frameSize);
    const view = viewOf(frame);
    view.setUint32(0, pgno);
    view.setUint32(4, commit);
    frame.set(this.#salts, 8);
    frame.set(page, WAL_FRAME_HEADER_SIZE);
    this.#sums.update(frame.subarray(0, 8)).update(frame.subarray(WAL_FRAME_HEADER_SIZE));
    view.setUint32(16, this.#sums.s1);
    view.setUint32(20, this.#sums.s2);
    this.#filled += this.#frameSize;
    if (this.#filled === this.#run.length) this.flush();
  }

  /** Writes what was collected. */
  flush(): void {
    if (this.#filled === 0) return;
    this.#write(this.#run.subarray(0, this.#filled), this.#offset);
    this.#offset += this.#filled;
    this.#filled = 0;
  }
}

/** The header of a WAL without frames, and where its first frame goes on. `salts` are 8 bytes. */
export function newWal(
  pageSize: number,
  salts: Uint8Array,
): { readonly header: Uint8Array; readonly tail: WalEnd } {
  const header = new Uint8Array(WAL_HEADER_SIZE);
  const view = viewOf(header);
  view.setUint32(0, MAGIC);
  view.setUint32(4, VERSION);
  view.setUint32(8, pageSize);
  header.set(salts, 16);
  const { s1, s2 } = new WalChecksum(false).update(header.subarray(0, 24));
  view.setUint32(24, s1);
  view.setUint32(28, s2);
  const tail = { frames: 0, pageSize, bigEndian: false, checksum1: s1, checksum2: s2, salts };
  return { header, tail };
}
