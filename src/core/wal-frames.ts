/**
 * Walks over many frames of a WAL at once, following the checksum chain.
 *
 * Frames are read in large runs and looked at where they lie: nothing is allocated for each of them.
 *
 * @module
 */
import { viewOf } from "./bytes.ts";
import type { SyncFile } from "./sync-files.ts";
import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalChecksum } from "./wal.ts";

/** Bytes of frames that are read at once. */
const WINDOW_SIZE = 1 << 20;

/** What a window is made with at first: most steps take a few frames. */
const SMALL_WINDOW = 1 << 16;

/** Where a walk stands, and what the log is like. */
export interface WalChain {
  readonly bigEndian: boolean;
  readonly pageSize: number;
  /** Both salts, 8 bytes. */
  readonly salts: Uint8Array;
  /** Frames before the first one to walk over. */
  readonly from: number;
  /** The running checksum after them. */
  readonly s1: number;
  readonly s2: number;
}

/** Frames that were walked over. */
export interface WalRun {
  /** Page numbers, in the order of the frames. */
  readonly pgnos: Uint32Array;
  /** How many of the frames commit. */
  readonly commits: number;
  /** Database size in pages after the last commit. */
  readonly commit: number;
  /** The smallest size at any commit. */
  readonly lowest: number;
  /** Whether the last frame commits. */
  readonly isClosed: boolean;
  readonly s1: number;
  readonly s2: number;
}

/** Bytes of a frame: its header and a page. */
export function walFrameSize(pageSize: number): number {
  return WAL_FRAME_HEADER_SIZE + pageSize;
}

/** Where a frame begins in the WAL; frames count from 1. */
export function walFrameOffset(pageSize: number, frame: number): number {
  return WAL_HEADER_SIZE + (frame - 1) * walFrameSize(pageSize);
}

/** The bytes of the log that were read last. A user takes the window, and gives it back when nothing views it any more. */
export class WalWindow {
  static #idle: WalWindow | undefined;
  #bytes = new Uint8Array(SMALL_WINDOW);
  #offset = 0;
  #length = 0;

  /** A window that nobody uses. */
  static take(): WalWindow {
    const window = WalWindow.#idle ?? new WalWindow();
    WalWindow.#idle = undefined;
    return window;
  }

  /** Gives it back; its bytes are the next user's. */
  giveBack(): void {
    this.#length = 0;
    WalWindow.#idle = this;
  }

  /** Reads from `offset` on; fewer bytes where the file ends. A view, valid until the next call. */
  fill(file: Pick<SyncFile, "read">, offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(Math.max(length, WINDOW_SIZE));
    const bytes = this.#bytes.subarray(0, length);
    this.#offset = offset;
    this.#length = 0;
    this.#length = file.read(bytes, offset);
    return bytes.subarray(0, this.#length);
  }

  /** Bytes that were read already; `undefined` where they were not. A view, as that of {@linkcode fill}. */
  get(offset: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    const start = offset - this.#offset;
    if (start < 0 || start + length > this.#length) return undefined;
    return this.#bytes.subarray(start, start + length);
  }
}

/**
 * Walks over the frames up to number `to`, all of which must be there: `undefined` where one is missing, carries other
 * salts or breaks the chain.
 */
export function walkWalFrames(
  file: Pick<SyncFile, "read">,
  chain: WalChain,
  { to, window }: { readonly to: number; readonly window: WalWindow },
): WalRun | undefined {
  const { pageSize, from } = chain;
  const size = walFrameSize(pageSize);
  const most = Math.max(1, Math.floor(WINDOW_SIZE / size));
  const walk = new Walk(chain, to - from);
  for (let done = from; done < to;) {
    const count = Math.min(most, to - done);
    const bytes = window.fill(file, walFrameOffset(pageSize, done + 1), count * size);
    if (bytes.length < count * size || !walk.over(bytes, count)) return undefined;
    done += count;
  }
  return walk;
}

class Walk implements WalRun {
  readonly pgnos: Uint32Array<ArrayBuffer>;
  commits = 0;
  commit = 0;
  lowest = Infinity;
  isClosed = false;
  s1: number;
  s2: number;
  readonly #chain: WalChain;
  readonly #salt1: number;
  readonly #salt2: number;
  #count = 0;

  constructor(chain: WalChain, frames: number) {
    const salts = viewOf(chain.salts);
    this.#chain = chain;
    this.#salt1 = salts.getInt32(0);
    this.#salt2 = salts.getInt32(4);
    this.s1 = chain.s1;
    this.s2 = chain.s2;
    this.pgnos = new Uint32Array(frames);
  }

  /** Goes over `count` whole frames; false where one is not the chain's. */
  over(bytes: Uint8Array<ArrayBuffer>, count: number): boolean {
    const { pageSize, bigEndian } = this.#chain;
    const size = walFrameSize(pageSize);
    const view = viewOf(bytes);
    // A window begins at the start of its buffer.
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const pgno = view.getUint32(at);
      if (pgno === 0) return false;
      if (view.getInt32(at + 8) !== this.#salt1 || view.getInt32(at + 12) !== this.#salt2) {
        return false;
      }
      if (bigEndian) this.#addSwapped(bytes, at);
      else this.#add(words, at >>> 2);
      if (view.getUint32(at + 16) !== this.s1 || view.getUint32(at + 20) !== this.s2) return false;
      this.pgnos[this.#count++] = pgno;
      const commit = view.getUint32(at + 4);
      this.isClosed = commit !== 0;
      if (commit === 0) continue;
      this.commits++;
      this.commit = commit;
      if (commit < this.lowest) this.lowest = commit;
    }
    return true;
  }

  /** The frame that begins with word `first`; the words are in the host's order. */
  #add(words: Int32Array, first: number): void {
    const end = first + (walFrameSize(this.#chain.pageSize) >>> 2);
    let a = this.s1 | 0;
    let b = this.s2 | 0;
    a = (a + words[first]! + b) | 0;
    b = (b + words[first + 1]! + a) | 0;
    for (let i = first + (WAL_FRAME_HEADER_SIZE >>> 2); i < end; i += 2) {
      a = (a + words[i]! + b) | 0;
      b = (b + words[i + 1]! + a) | 0;
    }
    this.s1 = a >>> 0;
    this.s2 = b >>> 0;
  }

  #addSwapped(bytes: Uint8Array, at: number): void {
    const sums = new WalChecksum(true).restart(this.s1, this.s2);
    const end = at + walFrameSize(this.#chain.pageSize);
    sums.update(bytes.subarray(at, at + 8)).update(bytes.subarray(at + WAL_FRAME_HEADER_SIZE, end));
    this.s1 = sums.s1;
    this.s2 = sums.s2;
  }
}
