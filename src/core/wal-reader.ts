/**
 * Reads the committed transactions of a WAL that may grow, be restarted or be torn while it is read.
 *
 * The WAL ends at the first frame that is incomplete, carries other salts or breaks the running checksum: what follows
 * was left by an earlier generation or by a transaction that is not finished. Frames after the last one that commits
 * are no part of the database.
 *
 * @module
 */
import { isValidPageSize } from "./database-header.ts";
import { InvalidArgumentError, InvalidDatabaseError, WalMismatchError } from "./errors.ts";
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
  WalChecksum,
  type WalFrameHeader,
  type WalHeader,
} from "./wal.ts";

/** Frames are asked for in runs of about this many bytes. */
const WINDOW_SIZE = 262_144;

/** Reads `length` bytes at `offset`, fewer only at the end of the WAL. The result must stay as it is until the next call. */
export type WalRead = (offset: number, length: number) => Uint8Array;

/** Where reading goes on: a frame whose predecessor was read before. */
export interface WalPosition {
  /** Offset of the frame to begin with: past the first frame, and on a frame's boundary. */
  readonly offset: number;
  /** The salts of the frames, which are the header's unless the WAL was restarted since. */
  readonly salt1: number;
  readonly salt2: number;
}

/** Options of {@linkcode openWal}. */
export interface WalReaderOptions {
  /** Page size of the database in bytes. @default what the WAL's header says */
  readonly pageSize?: number | undefined;
  /** Where to begin. @default the first frame */
  readonly from?: WalPosition | undefined;
  /** What to call the WAL in errors. @default "the WAL" */
  readonly name?: string | undefined;
}

/** A valid frame. */
export interface WalFrame {
  readonly pgno: number;
  /** Database size in pages when this frame commits, else 0. */
  readonly commit: number;
  /** Where the frame begins in the WAL; its page comes 24 bytes later. */
  readonly offset: number;
  /** The page: a view of what was read, valid until the next frame is asked for. */
  readonly data: Uint8Array;
}

/** What a run of committed transactions changed. */
export interface WalPages {
  /** The offset of the newest frame of each page. Pages past `commit` are left out. */
  readonly frames: ReadonlyMap<number, number>;
  /** The end of the last of these frames, where to go on; 0 where there is none. */
  readonly end: number;
  /** Database size in pages after the last transaction; 0 where there is none. */
  readonly commit: number;
}

/** Reads frames one after the other, from the first or from a position. */
export class WalReader {
  readonly header: WalHeader;
  readonly pageSize: number;
  /** The salts that frames must carry. */
  readonly salt1: number;
  readonly salt2: number;
  readonly #read: WalRead;
  readonly #sums: WalChecksum;
  #next: number;
  /** Bytes of the WAL from `#windowOffset`. */
  #window: Uint8Array = new Uint8Array(0);
  #windowOffset = 0;

  /** Use {@linkcode openWal}. */
  constructor(read: WalRead, header: WalHeader, options: WalReaderOptions & { pageSize: number }) {
    const { from } = options;
    this.header = header;
    this.pageSize = options.pageSize;
    this.salt1 = from?.salt1 ?? header.salt1;
    this.salt2 = from?.salt2 ?? header.salt2;
    this.#read = read;
    this.#sums = new WalChecksum(header.bigEndian);
    this.#next = from?.offset ?? WAL_HEADER_SIZE;
    if (from === undefined) this.#sums.restart(header.checksum1, header.checksum2);
    else this.#seed(from.offset, options.name ?? "the WAL");
  }

  /** Bytes of a frame: its header and a page. */
  get frameSize(): number {
    return WAL_FRAME_HEADER_SIZE + this.pageSize;
  }

  /** Where the next frame begins or will begin. */
  get next(): number {
    return this.#next;
  }

  /** The next frame; undefined where the WAL ends, as far as it is written now. */
  readFrame(): WalFrame | undefined {
    const offset = this.#next;
    const bytes = this.#frameAt(offset);
    if (bytes === undefined) return undefined;
    const { pgno, commit, ...stored } = decodeWalFrameHeader(bytes);
    const data = bytes.subarray(WAL_FRAME_HEADER_SIZE);
    const sums = this.#sums;
    const { s1, s2 } = sums;
    // SQLite itself takes page 0 for the end.
    if (pgno !== 0 && this.#carriesSalts(stored)) {
      sums.update(bytes.subarray(0, 8)).update(data);
      if (sums.s1 === stored.checksum1 && sums.s2 === stored.checksum2) {
        this.#next += bytes.length;
        return { pgno, commit, offset, data };
      }
    }
    sums.restart(s1, s2);
    this.#window = new Uint8Array(0);
    return undefined;
  }

  /**
   * Reads to the end, or to the first commit at which `limitBytes` or more were read, and tells which pages the
   * transactions changed. A transaction whose end is not there yet is read again by a new reader at `end`.
   */
  readPages(limitBytes: number = Number.POSITIVE_INFINITY): WalPages {
    const start = this.#next;
    const frames = new Map<number, number>();
    const open = new Map<number, number>();
    let commit = 0;
    for (let frame = this.readFrame(); frame !== undefined; frame = this.readFrame()) {
      open.set(frame.pgno, frame.offset);
      if (frame.commit === 0) continue;
      commit = frame.commit;
      for (const [pgno, offset] of open) frames.set(pgno, offset);
      open.clear();
      if (this.#next - start >= limitBytes) break;
    }
    let end = 0;
    for (const [pgno, offset] of frames) {
      if (pgno > commit) frames.delete(pgno);
      else end = Math.max(end, offset + this.frameSize);
    }
    return frames.size === 0 ? { frames, end: 0, commit: 0 } : { frames, end, commit };
  }

  /** Takes the running checksum from the frame before `offset`, which was checked when it was read the first time. */
  #seed(offset: number, name: string): void {
    const bytes = this.#frameAt(offset - this.frameSize);
    const previous = bytes === undefined ? undefined : decodeWalFrameHeader(bytes);
    if (previous === undefined || !this.#carriesSalts(previous)) {
      throw new WalMismatchError({
        operation: "go on reading",
        object: name,
        what: `the frame before offset ${offset} ${previous === undefined ? "is not there" : "belongs to another generation"}`,
        next: "Read it from the start",
      });
    }
    this.#sums.restart(previous.checksum1, previous.checksum2);
  }

  #carriesSalts(frame: Pick<WalFrameHeader, "salt1" | "salt2">): boolean {
    return frame.salt1 === this.salt1 && frame.salt2 === this.salt2;
  }

  #frameAt(offset: number): Uint8Array | undefined {
    const size = this.frameSize;
    let start = offset - this.#windowOffset;
    if (start < 0 || start + size > this.#window.length) {
      this.#window = this.#read(offset, size * Math.max(1, Math.floor(WINDOW_SIZE / size)));
      this.#windowOffset = offset;
      start = 0;
    }
    return start + size > this.#window.length
      ? undefined
      : this.#window.subarray(start, start + size);
  }
}

/**
 * Reads a WAL's header. `undefined` where there is nothing to read: the WAL is shorter than its header, or the header is
 * torn.
 *
 * @throws {InvalidDatabaseError} where the bytes are no WAL, or one with a page size that SQLite does not know.
 * @throws {WalMismatchError} where the frame before `from` is not the one that was read before.
 */
export function openWal(read: WalRead, options: WalReaderOptions = {}): WalReader | undefined {
  const { name = "the WAL", from } = options;
  const header = decodeWalHeader(read(0, WAL_HEADER_SIZE), name);
  if (header === undefined) return undefined;
  const pageSize = options.pageSize ?? header.pageSize;
  if (!isValidPageSize(pageSize)) {
    throw new InvalidDatabaseError({
      operation: "read",
      object: name,
      what: `its page size at offset 8 is ${pageSize}`,
    });
  }
  const frameSize = WAL_FRAME_HEADER_SIZE + pageSize;
  const into = (from?.offset ?? Number.POSITIVE_INFINITY) - WAL_HEADER_SIZE;
  if (from !== undefined && (into < frameSize || into % frameSize !== 0)) {
    throw new InvalidArgumentError({
      operation: "read",
      object: name,
      what: `offset ${from.offset} is not the end of a frame`,
    });
  }
  return new WalReader(read, header, { ...options, pageSize });
}
