/**
 * The connections by which one database file is followed: two that hold read transactions by turns, and the descriptors of
 * its files.
 *
 * @module
 */
import {
  isInWalMode,
  readWalIndexHeader,
  type FileIdentity,
  type SyncFile,
  type SyncFiles,
  type WalCommits,
  type WalIndexState,
  WalTail,
} from "pagestream";
import { errnoOf, ioError } from "./errors.ts";
import { isBusy } from "./file-lock.ts";
import type { NativeConnection, NativeDriver } from "./native-driver.ts";
import { type KeptFile, keepFile } from "./wal-descriptors.ts";

/** What a link works with. */
export interface WalLinkOptions {
  readonly driver: NativeDriver;
  readonly files: SyncFiles;
  /** Whether the process may have connections of its own to the database. */
  readonly shared: boolean;
}

/** Why a database cannot be followed now: it is not there or empty, in another journal mode, or locked. */
export type Unlinked = "empty" | "no WAL" | "locked";

/** How a step ended. */
export type StepEnd =
  /** Everything committed before it was taken. */
  | { readonly type: "done" }
  /** Another process recovers or begins the log anew: try again soon. */
  | { readonly type: "busy" }
  /** Commits may have been missed; the boundary is where the log stands now. */
  | { readonly type: "doubt"; readonly reason: string };

/** What a step does. */
export interface StepOptions {
  /** Takes what was committed; else the read transaction may move on ahead of it. @default true */
  readonly take?: boolean | undefined;
  /** Moves the read transaction; else it stays, and checkpoints wait for it. @default true */
  readonly move?: boolean | undefined;
}

const DONE: StepEnd = { type: "done" };
const BUSY: StepEnd = { type: "busy" };

/** Reads of the index in a row that may find it torn: it is written within microseconds. */
const INDEX_READS = 100;
/** Bytes of frames that are left in the log while the read transaction moves on: more of them would make a long step. */
const MOST_LEFT = 4 << 20;
/** Steps in a row that may find frames that were not all there: after that the log is damaged. */
const TORN_STEPS = 50;

/** A database file that is being followed. */
export class WalLink {
  readonly path: string;
  readonly identity: FileIdentity;
  #tail: WalTail;
  /** Whether everything is in the database file and the read transaction lets the log be begun anew. */
  #settled = false;
  readonly #options: WalLinkOptions;
  readonly #files: { readonly main: KeptFile; readonly index: KeptFile; readonly wal: SyncFile };
  #held: NativeConnection;
  #idle: NativeConnection;
  /** The index as it was right after the held read transaction had begun. */
  #heldSince: WalIndexState;
  /** Whether that transaction keeps the log from being begun anew. */
  #isPinned = false;
  /** The index as it was read last. */
  #seen: WalIndexState;
  #torn = 0;

  private constructor(path: string, options: WalLinkOptions, opened: Opened) {
    const { main, index, wal, held, idle, state } = opened;
    this.path = path;
    this.#options = options;
    this.#files = { main, index, wal };
    this.#held = held;
    this.#idle = idle;
    this.identity = main.identity();
    this.#tail = new WalTail(path, this.#files, state);
    this.#heldSince = state;
    this.#seen = state;
  }

  /** Connects to the database at `path`. Throws what the files or SQLite fail with. */
  static open(path: string, options: WalLinkOptions): WalLink | Unlinked {
    const { files, shared } = options;
    if ((files.identity(path)?.size ?? 0) === 0) return "empty";
    const main = keepFile(files, path);
    const undo: (() => void)[] = [() => main.release(shared)];
    const fail = (why: Unlinked): Unlinked => {
      for (const step of undo.toReversed()) step();
      return why;
    };
    try {
      const isWal = isInWalMode(main, path);
      if (isWal !== true) return fail(isWal === undefined ? "empty" : "no WAL");
      const connect = (): NativeConnection => {
        // One that cannot write leaves the log where it is when it is closed last.
        const connection = options.driver.open(path, { timeoutMs: 0, readOnly: true });
        undo.push(() => connection.close());
        return connection;
      };
      const held = connect();
      begin(held);
      const idle = connect();
      const index = keepFile(files, `${path}-shm`);
      // Behind the connections: it is let go of when they are closed.
      undo.unshift(() => index.release(shared));
      const wal = files.open(`${path}-wal`, { mode: "read" });
      undo.push(() => wal.close());
      const state = readIndex(index);
      if (state === undefined) return fail("locked");
      return new WalLink(path, options, { main, index, wal, held, idle, state });
    } catch (error) {
      fail("locked");
      // The file or its log went between two calls, or somebody else is at it.
      if (isBusy(error) || errnoOf(error) === "ENOENT") return "locked";
      throw ioError(error, "follow", path);
    }
  }

  get tail(): WalTail {
    return this.#tail;
  }

  /** Whether a step would change nothing until somebody writes. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Raised by each commit that was seen, taken or not. */
  get change(): number {
    return this.#seen.change;
  }

  /** Bytes of the log as of the last step; 0 where it holds no frame. */
  get walBytes(): number {
    return this.#tail.bytesTo(this.#seen);
  }

  /** Whether commits were seen that no step has taken. */
  get isAhead(): boolean {
    return !this.#tail.isAt(this.#seen);
  }

  /** Frames that are not in the database file yet, as of the last step. */
  get unsaved(): number {
    const { frames, backfilled } = this.#seen;
    return frames - backfilled;
  }

  /** Whether nobody has written, or checkpointed, since the last step, and there is nothing to let go of. */
  isQuiet(): boolean {
    if (!this.#settled) return false;
    const state = readWalIndexHeader(this.#files.index);
    return state !== undefined && this.#tail.isAt(state);
  }

  /**
   * Whether commits were made since the last look that may be left where they are, kept by the held transaction: nothing needs
   * to be done, and nobody who holds writers off waits for that.
   */
  isPassing(): boolean {
    if (!this.#isPinned) return false;
    const state = readWalIndexHeader(this.#files.index);
    if (state === undefined || state.change === this.#seen.change) return false;
    if (!this.#mayLeave(state)) return false;
    this.#seen = state;
    return true;
  }

  /**
   * Moves the read transaction to now, and hands what was committed up to then to `deliver`, which must not throw. Does both
   * wherever one without the other could miss a commit.
   */
  step(deliver: (commits: WalCommits) => void, options: StepOptions = {}): StepEnd {
    const { take = true, move = true } = options;
    const { index } = this.#files;
    // To leave frames where they are an older look will do.
    const before = take ? readWalIndexHeader(index) : this.#seen;
    if (take && !move && before !== undefined && this.#takeHere(before, deliver)) return DONE;
    const next = this.#idle;
    try {
      begin(next);
    } catch (error) {
      if (isBusy(error)) return BUSY;
      throw ioError(error, "follow", this.path);
    }
    let end: StepEnd = BUSY;
    try {
      const state = readIndex(index);
      if (state !== undefined) end = this.#stepTo(state, { before, take, deliver });
    } finally {
      // Whatever failed, one of the two goes on holding.
      finish(end === BUSY ? next : this.#held);
      if (end !== BUSY) [this.#held, this.#idle] = [next, this.#held];
    }
    return end;
  }

  /** Another connection, which can write; close it before the link. */
  connect(): NativeConnection {
    return this.#options.driver.open(this.path, { timeoutMs: 0 });
  }

  /** Lets go of the database. */
  close(): void {
    const { main, index, wal } = this.#files;
    const { shared } = this.#options;
    this.#tail.overrun("the database is not followed any more");
    this.#idle.close();
    this.#held.close();
    wal.close();
    index.release(shared);
    main.release(shared);
  }

  /** Takes what was committed while the read transaction stays; false where that is not enough. */
  #takeHere(state: WalIndexState, deliver: (commits: WalCommits) => void): boolean {
    const held = this.#heldSince;
    if (!this.#isPinned || !isSameLog(state, held) || isOvertaken(held, state)) return false;
    if (this.#tail.advance(state, deliver) !== undefined) return false;
    this.#torn = 0;
    this.#seen = state;
    return true;
  }

  /** Both transactions are held, of which one began between `before` and `state`. */
  #stepTo(
    state: WalIndexState,
    step: {
      readonly before: WalIndexState | undefined;
      readonly take: boolean;
      readonly deliver: (commits: WalCommits) => void;
    },
  ): StepEnd {
    const { before, take, deliver } = step;
    const isSame = before !== undefined && isSameLog(before, state);
    const isPinned = isSame && state.backfilled < before.frames;
    const end = !take && isPinned && this.#mayLeave(state) ? DONE : this.#advance(state, deliver);
    if (end === BUSY) return end;
    this.#settled = isSame && before.backfilled === state.frames;
    this.#isPinned = isPinned;
    this.#heldSince = state;
    this.#seen = state;
    return end;
  }

  /** Whether nothing is lost when the frames that are new in `state` are taken later, by a transaction that keeps the log. */
  #mayLeave(state: WalIndexState): boolean {
    const tail = this.#tail;
    const left = state.frames - tail.state.frames;
    return (
      !tail.hasImages &&
      isSameLog(state, tail.state) &&
      !isOvertaken(this.#heldSince, state) &&
      left >= 0 &&
      left * tail.pageSize <= MOST_LEFT
    );
  }

  #advance(state: WalIndexState, deliver: (commits: WalCommits) => void): StepEnd {
    const tail = this.#tail;
    if (isOvertaken(this.#heldSince, state)) {
      return this.#restart(
        state,
        "its locks were lost: a second SQLite library in this process, or a file call, has dropped them",
      );
    }
    const result = tail.advance(state, deliver);
    if (result === undefined) {
      this.#torn = 0;
      return DONE;
    }
    if (result !== "again") return this.#restart(state, result.doubt);
    if (++this.#torn <= TORN_STEPS) return BUSY;
    return this.#restart(state, "the WAL holds frames that do not follow each other");
  }

  #restart(state: WalIndexState, reason: string): StepEnd {
    this.#torn = 0;
    this.#tail.overrun(reason);
    this.#tail = new WalTail(this.path, this.#files, state);
    return { type: "doubt", reason };
  }
}

interface Opened {
  readonly main: KeptFile;
  readonly index: KeptFile;
  readonly wal: SyncFile;
  readonly held: NativeConnection;
  readonly idle: NativeConnection;
  readonly state: WalIndexState;
}

/** Begins a read transaction. What is read is page 1, so that no schema is in the way. */
function begin(connection: NativeConnection): void {
  connection.get("BEGIN");
  try {
    connection.get("PRAGMA schema_version");
  } catch (error) {
    finish(connection);
    throw error;
  }
}

function finish(connection: NativeConnection): void {
  connection.get("COMMIT");
}

/** Reads until the writer of the index is done; `undefined` where it died over it. */
function readIndex(index: KeptFile): WalIndexState | undefined {
  for (let i = 0; i < INDEX_READS; i++) {
    const state = readWalIndexHeader(index);
    if (state !== undefined) return state;
  }
  return undefined;
}

/** Whether a checkpoint has gone past what a read transaction allows that was held `since` then: then no lock holds. */
function isOvertaken(since: WalIndexState, state: WalIndexState): boolean {
  if (isSameLog(since, state)) return state.backfilled > since.frames;
  // The number is set back a moment after the log is begun anew.
  return state.frames > 0 && state.backfilled > 0;
}

function isSameLog(a: WalIndexState, b: WalIndexState): boolean {
  return a.salts.every((byte, i) => byte === b.salts[i]);
}
