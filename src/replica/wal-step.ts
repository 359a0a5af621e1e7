/**
 * One transaction of a followed copy's WAL.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { setJournalHeader } from "../core/database-header.ts";
import { InvalidDatabaseError } from "../core/errors.ts";
import type { SyncFile } from "../core/sync-files.ts";
import {
  appendFramePages,
  readFramePages,
  readWalIndexHeader,
  type WalIndexHeader,
  writeWalIndexHeader,
} from "../core/wal-index.ts";
import { newWal, type WalEnd, WalWriter } from "../core/wal-writer.ts";
import { WAL_FRAME_HEADER_SIZE, WAL_HEADER_SIZE } from "../core/wal.ts";
import type { NextState } from "./follow-target.ts";

/** The files of an open copy. */
export interface CopyFiles {
  readonly main: SyncFile;
  readonly wal: SyncFile;
  readonly index: SyncFile;
}

/** Options of {@linkcode WalStep}. */
export interface WalStepOptions {
  /** What to call the copy in errors. */
  readonly name: string;
  /** Salts of a WAL that is begun anew. */
  readonly newSalts: () => Uint8Array;
}

/** Appends pages to the WAL and publishes them together. The caller holds the write lock. */
export class WalStep {
  readonly #files: CopyFiles;
  readonly #next: NextState;
  readonly #header: WalIndexHeader;
  readonly #tail: WalEnd;
  readonly #writer: WalWriter;
  /** Where a whole step finds the newest image of a page: its frame, counted from 0. */
  readonly #frameOf: ReadonlyMap<number, number> | undefined;
  readonly #pgnos: number[] = [];
  /** The page to be appended next: the last one carries the size, and which that is shows only at the end. */
  readonly #held: Uint8Array;
  #heldPgno = 0;
  readonly #old: Uint8Array;

  constructor(files: CopyFiles, next: NextState, options: WalStepOptions) {
    this.#files = files;
    this.#next = next;
    const header = WalStep.committed(files);
    if (header === undefined) throw unreadable(options.name);
    this.#header = header;
    if (header.frames === 0) {
      const wal = newWal(next.pageSize, options.newSalts());
      files.wal.write(wal.header, 0);
      this.#tail = wal.tail;
    } else {
      this.#tail = header;
    }
    this.#writer = new WalWriter((bytes, offset) => files.wal.write(bytes, offset), this.#tail);
    this.#held = new Uint8Array(next.pageSize);
    this.#old = new Uint8Array(next.pageSize);
    this.#frameOf = next.isWhole ? newestFrames(files, header.frames) : undefined;
  }

  /** What is committed now; `undefined` in the middle of a recovery by another connection. */
  static committed(files: CopyFiles): WalIndexHeader | undefined {
    return readWalIndexHeader(files.index);
  }

  /** Frames of the WAL with those of this step. */
  get frames(): number {
    return this.#tail.frames + this.#pgnos.length;
  }

  /** Takes a copy of a page; a whole step passes over those that are the same already. */
  write(pgno: number, page: Uint8Array): void {
    const data = pgno === 1 ? asWal(page) : page;
    if (this.#frameOf !== undefined && this.#isSame(pgno, data)) return;
    this.#append(0);
    this.#held.set(data);
    this.#heldPgno = pgno;
  }

  /** Completes the transaction, syncs it, and lets readers see it. */
  commit(): void {
    const { commit } = this.#next;
    if (this.#heldPgno === 0) {
      // Nothing differs but, perhaps, the size: a transaction needs a frame to say so.
      this.#read(1, this.#held);
      this.#heldPgno = 1;
    }
    this.#append(commit);
    this.#writer.flush();
    this.#files.wal.sync();
    const { index } = this.#files;
    appendFramePages(index, this.#tail.frames, this.#pgnos);
    writeWalIndexHeader(index, {
      ...this.#tail,
      ...this.#writer.checksum,
      change: (this.#header.change + 1) >>> 0,
      frames: this.frames,
      commit,
    });
  }

  #append(commit: number): void {
    if (this.#heldPgno === 0) return;
    this.#writer.append(this.#heldPgno, this.#held, commit);
    this.#pgnos.push(this.#heldPgno);
    this.#heldPgno = 0;
  }

  #isSame(pgno: number, page: Uint8Array): boolean {
    const size = this.#header.commit || Math.floor(this.#files.main.size() / page.length);
    return pgno <= size && this.#read(pgno, this.#old) && equalBytes(this.#old, page);
  }

  /** Reads the newest image of a page; false where there is none. */
  #read(pgno: number, into: Uint8Array): boolean {
    const { wal, main } = this.#files;
    const frame = (this.#frameOf ?? newestFrames(this.#files, this.#header.frames)).get(pgno);
    if (frame === undefined) return main.read(into, (pgno - 1) * into.length) === into.length;
    const offset = WAL_HEADER_SIZE + frame * (WAL_FRAME_HEADER_SIZE + into.length);
    return wal.read(into, offset + WAL_FRAME_HEADER_SIZE) === into.length;
  }
}

function newestFrames(files: CopyFiles, frames: number): Map<number, number> {
  return new Map(Array.from(readFramePages(files.index, frames), (pgno, frame) => [pgno, frame]));
}

/** Page 1 as it must be in a copy in WAL mode; the replica's may be marked for rollback journals. */
function asWal(page: Uint8Array): Uint8Array {
  const copy = page.slice();
  setJournalHeader(copy, "wal");
  return copy;
}

function unreadable(name: string): InvalidDatabaseError {
  return new InvalidDatabaseError({
    operation: "follow into",
    object: name,
    what: "the index of its WAL, in the file -shm, is being rebuilt or damaged",
    next: "Wait for the other connection, or close all connections to the copy",
  });
}
