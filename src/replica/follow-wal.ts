/**
 * A followed copy on disk, kept as a database in WAL mode, whose only writer is the follower.
 *
 * Each step is one transaction of the copy's WAL, written by our own hands, since no runtime's SQLite takes page images:
 * frames first, then the entries in shared memory that publish them. That is what makes a step atomic for readers in any
 * process: a reader sees the state it began with as long as it likes, the next transaction sees the newest, and neither
 * ever waits for the other. A connection of the runtime's SQLite (the guard) holds SQLite's locks in our name, and
 * checkpoints.
 *
 * Crashes: frames without their commit frame are nothing, and SQLite's own recovery drops them. The position file is
 * written after a step, so it may be one step behind the copy. A step of one TXID can simply be repeated. Before a longer
 * one its TXID is kept beside the copy (`<copy>-txid-next`), because to repeat it by shorter steps would show readers a
 * mixture.
 *
 * A copy of another page size cannot be reached by frames. It is written beside and put in place, which needs all
 * connections to the copy closed.
 *
 * @module
 */
import { DATABASE_HEADER_SIZE, decodeDatabaseHeader } from "../core/database-header.ts";
import { parentDirectory } from "../core/paths.ts";
import type { FileLock, SyncFile, SyncFiles } from "../core/sync-files.ts";
import {
  INTENT_SUFFIX,
  POSITION_SUFFIX,
  readIntent,
  readPosition,
  writePosition,
} from "./follow-position.ts";
import type { CopyState, FollowStep, FollowTarget, NextState } from "./follow-target.ts";
import { FreshCopy } from "./fresh-copy.ts";
import { recoverFiles, swapIn, temporaryPath } from "./target-files.ts";
import { type CopyFiles, WalStep } from "./wal-step.ts";

/** A connection of a native SQLite to the copy: it has the locks that JavaScript lacks. */
export interface CopyGuard {
  /** Connects to the copy, in WAL mode from now on, so that `-wal` and `-shm` exist and agree. */
  open(): void;
  /** Takes the write lock; `DatabaseLockedError` where another connection has it. */
  lock(): void;
  /** Gives the write lock back, and nothing else. */
  unlock(): void;
  /** Moves what it can from the WAL to the database, and empties the WAL where no reader needs it. Never waits. */
  checkpoint(): void;
  /** Ends WAL mode, with everything in the database; `DatabaseLockedError` while others are connected. */
  leaveWal(): void;
  /** Disconnects; the last connection checkpoints and removes `-wal` and `-shm`. */
  close(): void;
}

/** Options of {@linkcode walFollowTarget}. */
export interface WalTargetOptions {
  /** Draws salts and names. */
  readonly randomBytes: (length: number) => Uint8Array<ArrayBuffer>;
  /** Locks and checkpoints the copy in our name. */
  readonly guard: CopyGuard;
}

/** Frames after which the WAL is checkpointed, as SQLite's own default. */
const CHECKPOINT_FRAMES = 1000;

/** Makes the target of a database file. `files` must not let go of SQLite's locks when it closes a file. */
export function walFollowTarget(
  files: SyncFiles,
  path: string,
  options: WalTargetOptions,
): FollowTarget {
  return new WalTarget(files, path, options);
}

class WalTarget implements FollowTarget {
  readonly name: string;
  readonly #files: SyncFiles;
  readonly #path: string;
  readonly #options: WalTargetOptions;
  #lock: FileLock | undefined;
  #state: CopyState | undefined;
  #open: CopyFiles | undefined;

  constructor(files: SyncFiles, path: string, options: WalTargetOptions) {
    this.name = path;
    this.#files = files;
    this.#path = files.fullPath(path);
    this.#options = options;
  }

  get state(): CopyState | undefined {
    return this.#state;
  }

  open(): void {
    const files = this.#files;
    const path = this.#path;
    files.makeDirectory(parentDirectory(path));
    // Not on the copy itself: readers may have that open.
    this.#lock = files.lock(path + POSITION_SUFFIX);
    recoverFiles(files, path);
    if ((files.identity(path)?.size ?? 0) === 0) return;
    const txid = readPosition(files, path);
    const intent = readIntent(files, path) ?? 0n;
    this.#connect();
    this.#state = { ...this.#size(), txid, atMost: intent > txid ? intent : txid };
  }

  begin(next: NextState): FollowStep {
    const state = this.#state;
    if (state === undefined || state.pageSize !== next.pageSize) return this.#fresh(next);
    // Where an earlier step failed on its way to a new copy.
    if (this.#open === undefined) this.#connect();
    const { guard, randomBytes } = this.#options;
    guard.lock();
    try {
      const step = new WalStep(this.#open as CopyFiles, next, {
        name: this.name,
        newSalts: () => randomBytes(8),
      });
      const isLong = next.txid !== state.txid + 1n || state.atMost !== state.txid;
      return {
        write: (pgno, page) => step.write(pgno, page),
        commit: () => {
          if (isLong) writePosition(this.#files, this.#path + INTENT_SUFFIX, next.txid);
          // Should anything from here on fail, readers may or may not see the step.
          this.#state = { ...state, atMost: next.txid };
          step.commit();
          guard.unlock();
          this.#reached(next);
          if (step.frames > CHECKPOINT_FRAMES) guard.checkpoint();
        },
        abort: () => guard.unlock(),
      };
    } catch (error) {
      guard.unlock();
      throw error;
    }
  }

  close(): void {
    if (this.#open !== undefined) this.#options.guard.checkpoint();
    this.#disconnect();
    this.#lock?.release();
    this.#lock = undefined;
  }

  #fresh(next: NextState): FollowStep {
    const files = this.#files;
    const path = this.#path;
    const temporary = temporaryPath(path, this.#options.randomBytes(8));
    const copy = new FreshCopy(files.open(temporary, { mode: "exclusive" }), next.pageSize);
    return {
      write: (pgno, page) => copy.write(pgno, page),
      commit: () => {
        copy.finish(next.commit);
        this.#replace(temporary, next);
        this.#reached(next);
      },
      abort: () => {
        copy.abort();
        files.remove(temporary);
      },
    };
  }

  /** Puts a complete copy in the place of the one before, which nobody else may have open. */
  #replace(temporary: string, next: NextState): void {
    const files = this.#files;
    const path = this.#path;
    const { guard } = this.#options;
    if (this.#open !== undefined) guard.leaveWal();
    this.#disconnect();
    try {
      // Without a copy, its position comes first: a copy without one could not be gone on with.
      const suffix = this.#state === undefined ? POSITION_SUFFIX : INTENT_SUFFIX;
      writePosition(files, path + suffix, next.txid);
      if (this.#state !== undefined) this.#state = { ...this.#state, atMost: next.txid };
      swapIn(files, path, { temporary, force: true });
    } finally {
      recoverFiles(files, path);
      if ((files.identity(path)?.size ?? 0) > 0) this.#connect();
    }
  }

  /** Keeps the position of the step that has become visible. */
  #reached(next: NextState): void {
    const { txid, pageSize, commit } = next;
    const files = this.#files;
    writePosition(files, this.#path + POSITION_SUFFIX, txid);
    this.#state = { txid, atMost: txid, pageSize, commit };
    files.remove(this.#path + INTENT_SUFFIX);
  }

  #connect(): void {
    const { guard } = this.#options;
    guard.open();
    const opened: SyncFile[] = [];
    const open = (suffix: string, mode: "create" | "write"): SyncFile => {
      const file = this.#files.open(this.#path + suffix, { mode });
      opened.push(file);
      return file;
    };
    try {
      const main = open("", "write");
      this.#open = { main, wal: open("-wal", "create"), index: open("-shm", "write") };
    } catch (error) {
      guard.close();
      for (const file of opened) file.close();
      throw error;
    }
  }

  /** The guard goes first: closing a file of a connected database could let go of its locks. */
  #disconnect(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    this.#options.guard.close();
    for (const file of [open.wal, open.index, open.main]) file.close();
  }

  #size(): { readonly pageSize: number; readonly commit: number } {
    const { main } = this.#open as CopyFiles;
    const bytes = new Uint8Array(DATABASE_HEADER_SIZE);
    main.read(bytes, 0);
    const header = decodeDatabaseHeader(bytes, this.name);
    const { pageSize } = header;
    const frames = WalStep.committed(this.#open as CopyFiles);
    return { pageSize, commit: frames?.commit || Math.floor(main.size() / pageSize) };
  }
}
