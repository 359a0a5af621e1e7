/**
 * A database as of the last commit read from its WAL, and the way on from there.
 *
 * Whoever has a tail holds a read transaction of SQLite at all times, and begins the next before it ends the last one: then the
 * log can be begun anew once at most between two looks, and what it held before is in the database file. Pages are
 * read from the newest frame at or before the boundary, or from the file, which no checkpoint brings past the boundary.
 *
 * @module
 */
import { equalBytes, toHex } from "./bytes.ts";
import type { CommittedPages, DatabaseImage, ImageOptions } from "./commit-source.ts";
import { decodeDatabaseHeader, DATABASE_HEADER_SIZE, storedPageCount } from "./database-header.ts";
import { allPages, lockPage } from "./lock-page.ts";
import type { SyncFile } from "./sync-files.ts";
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  isWalMagic,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
} from "./wal.ts";
import {
  type WalChain,
  walFrameOffset,
  type WalRun,
  WalWindow,
  walkWalFrames,
} from "./wal-frames.ts";
import { WalImage } from "./wal-image.ts";
import { readFramePages, type WalIndexState } from "./wal-index.ts";

/** The files of a database. */
export interface WalFiles {
  /** The database file. */
  readonly main: Pick<SyncFile, "read" | "size">;
  /** Its WAL. */
  readonly wal: Pick<SyncFile, "read">;
  /** The index of the WAL, `-shm`. */
  readonly index: Pick<SyncFile, "read">;
}

/** What was committed since the last look. */
export interface WalCommits {
  /** Number of commits. */
  readonly commits: number;
  /** Size in pages before them. */
  readonly previousCommit: number;
  /** Size in pages after them. */
  readonly commit: number;
  /** What they changed; readable until the tail is asked for something else. */
  readonly pages: CommittedPages;
}

/** Why commits may have been missed. */
export interface WalDoubt {
  /** The reason, in words. */
  readonly doubt: string;
}

/** Where a log stands, as text that a later tail can prove to lie on its own way. */
const MARK = /^wal1 ([0-9a-f]{16}) (\d{1,10}) ([0-9a-f]{16})$/;

/** Follows one WAL. */
export class WalTail {
  /** What to call the database in errors. */
  readonly name: string;
  /** Page size in bytes; another one needs another tail. */
  readonly pageSize: number;
  /** Size in pages at the boundary. */
  commit: number;
  readonly #files: WalFiles;
  readonly #images = new Set<WalImage>();
  /** The newest frame of each page that has one at or before the boundary. */
  readonly #frames = new Map<number, number>();
  readonly #page: Uint8Array<ArrayBuffer>;
  #state: WalIndexState;
  #bigEndian = false;

  /** Stands at `state`, which was read while a read transaction was held. */
  constructor(name: string, files: WalFiles, state: WalIndexState) {
    this.name = name;
    this.#files = files;
    this.#state = state;
    const size = sizeOf(files.main, state, name);
    this.pageSize = size.pageSize;
    this.commit = size.commit;
    this.#page = new Uint8Array(this.pageSize);
    this.#bigEndian = state.bigEndian;
    const pgnos = readFramePages(files.index, state.frames);
    for (const [i, pgno] of pgnos.entries()) this.#frames.set(pgno, i + 1);
  }

  /** Where the log stood at the boundary. */
  get state(): WalIndexState {
    return this.#state;
  }

  /** Bytes of the log up to the last frame of `state`; 0 where it has none. */
  bytesTo({ frames }: WalIndexState): number {
    return frames === 0 ? 0 : walFrameOffset(this.pageSize, frames + 1);
  }

  /** Whether an image needs the database file as it is: no checkpoint may bring it past the boundary. */
  get hasImages(): boolean {
    return this.#images.size > 0;
  }

  /** Whether a look at the log finds nothing to take. */
  isAt(state: WalIndexState): boolean {
    const at = this.#state;
    return (
      state.frames === at.frames && state.change === at.change && equalBytes(state.salts, at.salts)
    );
  }

  /**
   * Goes on to `state` and hands what was committed to `deliver`; a read transaction that began before `state` was read must
   * be held, and one that began at or after the old boundary, so that the log was begun anew once at most. Returns `again` where the log is just being begun anew, and a doubt
   * where commits may have been missed.
   */
  advance(
    state: WalIndexState,
    deliver: (commits: WalCommits) => void,
  ): "again" | WalDoubt | undefined {
    if (this.isAt(state)) {
      this.#state = state;
      return undefined;
    }
    const same = this.#isSameLog(state);
    const from = same ? this.#state.frames : 0;
    if (state.frames < from) {
      return { doubt: `the WAL has ${state.frames} frames, of which ${from} were read` };
    }
    if (state.frames > 0 && state.pageSize !== this.pageSize) {
      return { doubt: `the page size has become ${state.pageSize}` };
    }
    const window = WalWindow.take();
    try {
      const run = this.#walk(state, from, window);
      if (run === undefined) return "again";
      const advance = (state.change - this.#state.change) >>> 0;
      // Within one log the chain of checksums proves more than the counter, which a recovery sets back.
      if (!same && advance !== run.commits) {
        return { doubt: `${advance} commits were made, of which the WAL holds ${run.commits}` };
      }
      if (!run.isClosed && run.pgnos.length > 0) {
        return { doubt: "the last frame that was published commits nothing" };
      }
      this.#take(state, run, { from, window, deliver });
      return undefined;
    } finally {
      window.giveBack();
    }
  }

  /** The state at the boundary as text, for {@linkcode prove}; `undefined` where the log holds no frame. */
  mark(): string | undefined {
    const { salts, frames, checksum1, checksum2 } = this.#state;
    if (frames === 0) return undefined;
    return `wal1 ${toHex(salts)} ${frames} ${hex32(checksum1)}${hex32(checksum2)}`;
  }

  /**
   * Whether the log goes on from a mark without a break. Hands what was committed since to `deliver`, with each page as of
   * the boundary.
   */
  prove(mark: string, deliver: (commits: WalCommits) => void): boolean {
    const [, salts, count = "0", sums = ""] = MARK.exec(mark) ?? [];
    const from = Number(count);
    const at = this.#state;
    if (salts !== toHex(at.salts) || from === 0 || from > at.frames) return false;
    if (from === at.frames) return mark === this.mark();
    const header = new Uint8Array(WAL_FRAME_HEADER_SIZE);
    const { wal } = this.#files;
    if (wal.read(header, walFrameOffset(this.pageSize, from)) < header.length) return false;
    const frame = decodeWalFrameHeader(header);
    const { commit: previousCommit, checksum1: s1, checksum2: s2 } = frame;
    if (!equalBytes(header.subarray(8, 16), at.salts) || previousCommit === 0) return false;
    if (`${hex32(s1)}${hex32(s2)}` !== sums) return false;
    const { pageSize } = this;
    const chain = { bigEndian: this.#bigEndian, pageSize, salts: at.salts, from, s1, s2 };
    const window = WalWindow.take();
    try {
      const run = walkWalFrames(wal, chain, { to: at.frames, window });
      if (run === undefined) return false;
      const { commit } = this;
      const pgnos = changedPages(run, { pageSize, previousCommit, commit });
      // The log may be begun anew meanwhile: nothing of the window counts.
      const pages = new TailPages(pgnos, (pgno) => this.#readSafely(pgno));
      deliver({ commits: run.commits, previousCommit, commit, pages });
      pages.end();
      return true;
    } finally {
      window.giveBack();
    }
  }

  /** Every page, as of the boundary, as if one transaction had made them. */
  whole(deliver: (commits: WalCommits) => void): void {
    const { commit, pageSize } = this;
    const pages = new TailPages(allPages(pageSize, commit), (pgno) => this.#readSafely(pgno));
    deliver({ commits: 1, previousCommit: 0, commit, pages });
    pages.end();
  }

  /** An image at the boundary, which is commit `sequence`. */
  image(
    sequence: number,
    options: ImageOptions & { readonly spill: () => SyncFile },
  ): DatabaseImage {
    const { name, pageSize, commit } = this;
    const image = new WalImage({
      ...options,
      name,
      sequence,
      pageSize,
      commit,
      read: (pgnos, into) => this.read(pgnos, into),
      onRelease: (ended) => void this.#images.delete(ended),
    });
    this.#images.add(image);
    return image;
  }

  /** Ends all images: what they still need can be read no more. */
  overrun(what: string): void {
    for (const image of this.#images) image.overrun(what);
  }

  /**
   * Reads pages as of the boundary into `into`, one after the other; zeros where the file has a hole. While only the boundary's
   * own read transaction is held the log may be begun anew at any moment, but then the file has all it held.
   */
  read(pgnos: Uint32Array, into: Uint8Array): void {
    const { pageSize } = this;
    const { main, wal } = this.#files;
    for (;;) {
      let logged = false;
      for (let i = 0; i < pgnos.length;) {
        const frame = this.#frames.get(pgnos[i]!);
        let count = 1;
        const at = i * pageSize;
        if (frame !== undefined) {
          logged = true;
          const page = into.subarray(at, at + pageSize);
          wal.read(page, walFrameOffset(pageSize, frame) + WAL_FRAME_HEADER_SIZE);
        } else {
          while (pgnos[i + count] === pgnos[i]! + count && !this.#frames.has(pgnos[i]! + count)) {
            count++;
          }
          const part = into.subarray(at, at + count * pageSize);
          part.fill(0, main.read(part, (pgnos[i]! - 1) * pageSize));
        }
        i += count;
      }
      if (!logged || this.#isLogIntact()) return;
      this.#frames.clear();
    }
  }

  /** Whether the log still has the header of the boundary: it is written before any frame is overwritten. */
  #isLogIntact(): boolean {
    return equalBytes(this.#readLogHeader().subarray(16, 24), this.#state.salts);
  }

  #readLogHeader(): Uint8Array {
    const bytes = new Uint8Array(WAL_HEADER_SIZE);
    return bytes.subarray(0, this.#files.wal.read(bytes, 0));
  }

  #readSafely(pgno: number): Uint8Array {
    this.read(Uint32Array.of(pgno), this.#page);
    return this.#page;
  }

  #isSameLog(state: WalIndexState): boolean {
    return equalBytes(state.salts, this.#state.salts);
  }

  #walk(state: WalIndexState, from: number, window: WalWindow): WalRun | undefined {
    const { pageSize } = this;
    const { wal } = this.#files;
    const { salts, frames: to, bigEndian } = state;
    let { checksum1: s1, checksum2: s2 } = this.#state;
    if (from === 0 && to > 0) {
      const bytes = this.#readLogHeader();
      const header = isWalMagic(bytes) ? decodeWalHeader(bytes, this.name) : undefined;
      if (header === undefined || !equalBytes(bytes.subarray(16, 24), salts)) return undefined;
      ({ checksum1: s1, checksum2: s2 } = header);
    }
    const chain: WalChain = { bigEndian, pageSize, salts, from, s1, s2 };
    const run = walkWalFrames(wal, chain, { to, window });
    if (run === undefined || to === from) return run;
    return run.s1 === state.checksum1 && run.s2 === state.checksum2 ? run : undefined;
  }

  #take(
    state: WalIndexState,
    run: WalRun,
    at: {
      readonly from: number;
      readonly window: WalWindow;
      readonly deliver: (commits: WalCommits) => void;
    },
  ): void {
    const { from, window, deliver } = at;
    // A log that was begun anew: all that the one before held is in the file.
    if (from === 0) this.#frames.clear();
    if (run.pgnos.length > 0) {
      for (const image of this.#images) image.beforeChange(run.pgnos, run.lowest);
    }
    for (let i = 0; i < run.pgnos.length; i++) this.#frames.set(run.pgnos[i]!, from + i + 1);
    const previousCommit = this.commit;
    this.#state = state;
    this.#bigEndian = state.bigEndian;
    if (run.commits === 0) return;
    const { commit, commits } = run;
    const { pageSize } = this;
    this.commit = commit;
    const pgnos = changedPages(run, { pageSize, previousCommit, commit });
    const pages = new TailPages(pgnos, (pgno) => this.#readTaken(pgno, window));
    deliver({ commits, previousCommit, commit, pages });
    pages.end();
  }

  /** A page while the read transactions before and after the boundary are held: the log cannot be begun anew. */
  #readTaken(pgno: number, window: WalWindow): Uint8Array {
    const frame = this.#frames.get(pgno);
    if (frame === undefined) return this.#readSafely(pgno);
    const { pageSize } = this;
    const offset = walFrameOffset(pageSize, frame) + WAL_FRAME_HEADER_SIZE;
    const bytes = window.get(offset, pageSize);
    if (bytes !== undefined) return bytes;
    this.#files.wal.read(this.#page, offset);
    return this.#page;
  }
}

/** Pages that can be read as long as a delivery runs. */
class TailPages implements CommittedPages {
  readonly pgnos: Uint32Array;
  #read: ((pgno: number) => Uint8Array) | undefined;

  constructor(pgnos: Uint32Array, read: (pgno: number) => Uint8Array) {
    this.pgnos = pgnos;
    this.#read = read;
  }

  read(index: number): Uint8Array {
    return this.page(this.pgnos[index] as number);
  }

  page(pgno: number): Uint8Array {
    if (this.#read === undefined)
      throw new Error(`page ${pgno} of a commit whose call has returned`);
    return this.#read(pgno);
  }

  end(): void {
    this.#read = undefined;
  }
}

/** What a run changed: the pages of its frames, and those that one transaction took and another gave back. */
function changedPages(
  run: WalRun,
  size: { readonly pageSize: number; readonly previousCommit: number; readonly commit: number },
): Uint32Array {
  const { pageSize, previousCommit, commit } = size;
  const pgnos = new Set(run.pgnos);
  for (let pgno = Math.min(previousCommit, run.lowest) + 1; pgno <= commit; pgno++) pgnos.add(pgno);
  pgnos.delete(lockPage(pageSize));
  const sorted = Uint32Array.from(pgnos).sort();
  let end = sorted.length;
  while (end > 0 && sorted[end - 1]! > commit) end--;
  return sorted.subarray(0, end);
}

/** Page size and size in pages. Without frames the index may know neither. */
function sizeOf(
  main: WalFiles["main"],
  state: WalIndexState,
  name: string,
): { readonly pageSize: number; readonly commit: number } {
  const { commit, pageSize } = state;
  if (commit > 0 && pageSize > 0) return { pageSize, commit };
  const bytes = new Uint8Array(DATABASE_HEADER_SIZE);
  const header = decodeDatabaseHeader(bytes.subarray(0, main.read(bytes, 0)), name);
  const stored = storedPageCount(header) ?? Math.floor(main.size() / header.pageSize);
  return { pageSize: header.pageSize, commit: stored };
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}

/** Whether a database file says that it is in WAL mode; `undefined` where it is empty. */
export function isInWalMode(main: WalFiles["main"], name: string): boolean | undefined {
  const bytes = new Uint8Array(DATABASE_HEADER_SIZE);
  const length = main.read(bytes, 0);
  if (length === 0) return undefined;
  return decodeDatabaseHeader(bytes.subarray(0, length), name).readFormat === 2;
}
