/**
 * How far the WAL of a captured path was read: the committed frames, found by following the checksum chain from the
 * last one known. Whoever appended them, what the chain reaches was committed; where it breaks off or begins anew
 * without our seeing it, commits may have been missed.
 *
 * @module
 */
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  isWalMagic,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
  WalChecksum,
  type WalHeader,
} from "../core/wal.ts";
import { DirtyPages } from "./commit-detector.ts";
import type { Changes, ReadPage } from "./live-pages.ts";
import { LARGEST_READ, type ParentFile } from "./parent-file.ts";

/** Newly committed frames. */
export interface WalChange {
  /** Number of the newest frame of each page, in order of first appearance. */
  readonly frames: ReadonlyMap<number, number>;
  /** Database size in pages after the last commit. */
  readonly commit: number;
  /** The smallest size at any commit among them: pages past it were new at some time. */
  readonly lowest: number;
}

/** A frame that commits. */
export interface CommitFrame {
  readonly frame: number;
  readonly pgno: number;
  /** Size in pages that it gives the database. */
  readonly commit: number;
}

/** Pages kept of what was read last; a large transaction is read once more. */
const RECENT_FRAMES = 16;

/** The WAL of one path. Frames count from 0. */
export class WalLog {
  /** Newest committed frame of each page. */
  readonly frames: Map<number, number> = new Map();
  /** Page size of the WAL; 0 while none was read. */
  pageSize = 0;
  /** Size in pages at the last commit; 0 where the WAL holds none. */
  commit = 0;
  /** Why commits may have been missed; the caller takes it back. */
  doubt: string | undefined;
  /** Number of committed frames. */
  #end = 0;
  #sums1 = 0;
  #sums2 = 0;
  #header: WalHeader | undefined;
  /** The header before a truncation: the next one goes on from its salt. */
  #before: WalHeader | undefined;
  /** Pages of the frames read last: they are asked for at once, and nobody changes a committed frame. */
  readonly #recent = new Map<number, Uint8Array>();

  /** Number of committed frames. */
  get end(): number {
    return this.#end;
  }

  /** Offset of a frame. */
  offset(frame: number): number {
    return WAL_HEADER_SIZE + frame * (WAL_FRAME_HEADER_SIZE + this.pageSize);
  }

  /** Which frame begins at an offset; undefined where none does. */
  frameAt(offset: number): number | undefined {
    if (this.pageSize === 0) return undefined;
    const frame = (offset - WAL_HEADER_SIZE) / (WAL_FRAME_HEADER_SIZE + this.pageSize);
    return Number.isInteger(frame) && frame >= 0 ? frame : undefined;
  }

  /** The page of a frame; a view, valid until the next read. */
  page(file: ParentFile, frame: number): Uint8Array {
    const recent = this.#recent.get(frame);
    if (recent !== undefined) return recent;
    return file.read(this.offset(frame) + WAL_FRAME_HEADER_SIZE, this.pageSize);
  }

  /**
   * Reads what was committed since; undefined where nothing was. `own` is the frame that our own connection has just
   * committed with, if it has: then the chain leads there, or the log was begun anew by others.
   */
  advance(file: ParentFile, own?: number): WalChange | undefined {
    this.#recent.clear();
    const known = this.#header;
    if (known !== undefined && own !== undefined && own >= this.#end) {
      const found = this.#follow(file, own + 1, known);
      if (found !== undefined) return this.#take(found);
    }
    const size = file.size();
    if (size < WAL_HEADER_SIZE) {
      if (this.#end > 0) this.#restart(undefined, "the WAL was truncated by someone else");
      return undefined;
    }
    const header = file.isPrivate && known !== undefined ? known : readHeader(file);
    if (header === undefined) return undefined;
    if (!sameSalts(header, this.#header)) this.#restart(header, this.#unseen(header));
    const frameSize = WAL_FRAME_HEADER_SIZE + this.pageSize;
    const complete = Math.floor((size - WAL_HEADER_SIZE) / frameSize);
    const found = this.#follow(file, complete, header);
    return found && this.#take(found);
  }

  /** Whether the log on disk is still the one whose frames are known here. */
  isCurrent(file: ParentFile): boolean {
    if (this.#end === 0 || file.isPrivate) return true;
    if (file.size() < WAL_HEADER_SIZE) return false;
    return sameSalts(this.#header as WalHeader, decodeWalHeader(file.read(0, WAL_HEADER_SIZE)));
  }

  #take(found: WalChange): WalChange {
    for (const [pgno, frame] of found.frames) this.frames.set(pgno, frame);
    this.commit = found.commit;
    return found;
  }

  /**
   * The frames of a transaction about to commit with frame `last`: their checksums are not yet settled, but nobody else
   * can have written them.
   */
  uncommitted(file: ParentFile, last: number): Map<number, number> {
    const frames = new Map<number, number>();
    for (let frame = this.#end; frame < last; frame++) {
      const { pgno } = decodeWalFrameHeader(file.read(this.offset(frame), WAL_FRAME_HEADER_SIZE));
      frames.set(pgno, frame);
    }
    return frames;
  }

  /**
   * The pages of committed frames, and those that one transaction took and another gave back; the database had
   * `previousCommit` pages.
   */
  changes(change: WalChange, previousCommit: number, read: ReadPage): Changes {
    const { commit, frames, lowest } = change;
    const { pageSize } = this;
    const dirty = new DirtyPages();
    for (const pgno of frames.keys()) dirty.note((pgno - 1) * pageSize, pageSize);
    const from = Math.min(previousCommit, lowest);
    const pgnos = dirty.collect({ pageSize, previousCommit: from, commit });
    return { pageSize, commit, full: false, pgnos, read };
  }

  /** A header was written by our own connection: everything before it is in the database file. */
  restarted(header: WalHeader | undefined): void {
    this.#restart(header, undefined);
  }

  /** The WAL was emptied by our own connection. */
  truncated(): void {
    this.#before = this.#header ?? this.#before;
    this.#restart(undefined, undefined);
  }

  /** The last connection closed the WAL: what comes next begins without a past. */
  closed(): void {
    this.#restart(undefined, undefined);
    this.#before = undefined;
    this.pageSize = 0;
  }

  /** Why a header that we did not write raises doubt. */
  #unseen(header: WalHeader): string | undefined {
    if (this.#header !== undefined) return "the WAL was begun anew by someone else";
    // After a truncation the next header is the one we have not seen yet, or a later one.
    if (this.#before === undefined || header.salt1 === (this.#before.salt1 + 1) >>> 0)
      return undefined;
    return "the WAL was begun anew by someone else";
  }

  #restart(header: WalHeader | undefined, doubt: string | undefined): void {
    this.#header = header;
    this.#end = 0;
    this.commit = 0;
    this.#sums1 = header?.checksum1 ?? 0;
    this.#sums2 = header?.checksum2 ?? 0;
    this.pageSize = header?.pageSize ?? this.pageSize;
    this.frames.clear();
    this.#recent.clear();
    if (header !== undefined) this.#before = undefined;
    this.doubt ??= doubt;
  }

  /** Follows the chain over `complete` frames at most. */
  #follow(file: ParentFile, complete: number, header: WalHeader): WalChange | undefined {
    const sums = new WalChecksum(header.bigEndian).restart(this.#sums1, this.#sums2);
    const frames = new Map<number, number>();
    let open: number[] = [];
    let commit = 0;
    let lowest = Infinity;
    for (let frame = this.#end; frame < complete; frame++) {
      const { head, page } = this.#readFrame(file, frame);
      const read = decodeWalFrameHeader(head);
      if (read.pgno === 0 || !sameSalts(read, header)) break;
      sums.update(head.subarray(0, 8)).update(page());
      if (sums.s1 !== read.checksum1 || sums.s2 !== read.checksum2) break;
      if (this.#recent.size < RECENT_FRAMES) this.#recent.set(frame, page().slice());
      open.push(read.pgno, frame);
      if (read.commit === 0) continue;
      for (let i = 0; i < open.length; i += 2) frames.set(open[i]!, open[i + 1]!);
      open = [];
      commit = read.commit;
      lowest = Math.min(lowest, commit);
      this.#end = frame + 1;
      this.#sums1 = sums.s1;
      this.#sums2 = sums.s2;
    }
    // Behind the last commit nothing is settled.
    for (const frame of this.#recent.keys()) if (frame >= this.#end) this.#recent.delete(frame);
    return commit === 0 ? undefined : { frames, commit, lowest };
  }

  /** A frame in one call where that is possible; its page in a second one where writes are copied piece by piece. */
  #readFrame(
    file: ParentFile,
    frame: number,
  ): { readonly head: Uint8Array; readonly page: () => Uint8Array } {
    const offset = this.offset(frame);
    const size = WAL_FRAME_HEADER_SIZE + this.pageSize;
    if (file.isPrivate || size > LARGEST_READ) {
      const head = file.read(offset, WAL_FRAME_HEADER_SIZE);
      return { head, page: () => file.read(offset + WAL_FRAME_HEADER_SIZE, this.pageSize) };
    }
    const whole = file.readPadded(offset, size);
    const page = whole.subarray(WAL_FRAME_HEADER_SIZE);
    return { head: whole, page: () => page };
  }
}

function sameSalts(
  a: { readonly salt1: number; readonly salt2: number },
  b: { readonly salt1: number; readonly salt2: number } | undefined,
): boolean {
  return b !== undefined && a.salt1 === b.salt1 && a.salt2 === b.salt2;
}

/** A power cut may leave anything at the start of a WAL: to SQLite it is empty then. */
function readHeader(file: ParentFile): WalHeader | undefined {
  const bytes = file.read(0, WAL_HEADER_SIZE);
  return isWalMagic(bytes) ? decodeWalHeader(bytes) : undefined;
}
