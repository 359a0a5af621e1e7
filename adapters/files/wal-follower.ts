/**
 * Follows the WAL of a database that any processes write, through a native SQLite.
 *
 * The follower holds a read transaction at all times, and begins the next one before it ends the last, so that no commit can
 * leave the log unseen and no checkpoint has to wait for long. It writes nothing into the database.
 *
 * @module
 */
import { dirname } from "node:path";
import {
  ClosedError,
  type CommitListener,
  type CommitSource,
  type DatabaseImage,
  type ImageOptions,
  InvalidArgumentError,
  IoError,
  isPagestreamError,
  type ListenOptions,
  type PagestreamError,
  type Platform,
  type SyncFile,
  type SyncFiles,
  UnsupportedError,
  type WalCommits,
  webPlatform,
} from "pagestream";
import { DatabaseLockedError } from "pagestream/vfs";
import { ExclusiveLockError, ioError, NotWalError } from "./errors.ts";
import { isSameFile } from "./file-identity.ts";
import { isBusy, sleep } from "./file-lock.ts";
import type { NativeDriver } from "./native-driver.ts";
import { type Unlinked, WalLink, type WalLinkOptions } from "./wal-link.ts";
import { type Due, WalPace } from "./wal-pace.ts";
import { type WalCheckpoint, WalSeal } from "./wal-seal.ts";
import { type Look, Wakeups, watchFile, type WatchFile } from "./wal-wakeups.ts";

/** Options of `openWalFollower`. */
export interface WalFollowerOptions {
  /** The SQLite to open the database with: the application's own where this process has it open, too. */
  readonly driver: NativeDriver;
  /** The runtime's file calls. */
  readonly files: SyncFiles;
  /** Bytes of the WAL past which the follower checkpoints by itself. @default 64 MiB */
  readonly walLimit?: number | undefined;
  /** Milliseconds between looks that nothing has called for. @default 60000 */
  readonly safetyTickMs?: number | undefined;
  /**
   * Shortest time in milliseconds between two files that are made of the commits: those that follow each other need not be
   * taken sooner. @default they are taken within 8 ms
   */
  readonly groupMs?: number | undefined;
  /** Switches a database to WAL that is in another journal mode, instead of refusing it. @default false */
  readonly enforceWal?: boolean | undefined;
  /**
   * Whether this process may have other connections to the database. Then descriptors of it stay open for as long as the file
   * has a name: to close one would drop SQLite's locks. @default true
   */
  readonly shared?: boolean | undefined;
  /** Whether the follower may checkpoint now: not inside a transaction of the application. @default always */
  readonly maySeal?: (() => boolean) | undefined;
  /** Time and timers. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** What tells of writes. @default the runtime's `fs.watch` */
  readonly watch?: WatchFile | undefined;
  /** Told of what goes wrong while the follower goes on by itself. */
  readonly onWarning?: ((warning: PagestreamError) => void) | undefined;
  /** Told of each checkpoint that the follower makes past `walLimit`. */
  readonly onCheckpoint?: ((checkpoint: WalCheckpoint) => void) | undefined;
}

/** A followed database: what `replicate` reads from. It keeps no process alive. */
export interface WalFollower extends CommitSource, AsyncDisposable {
  /** The database file, as an absolute path. */
  readonly path: string;
  /** Bytes of the WAL that hold committed frames. */
  readonly walBytes: number;
  /** Delivers every commit that was made before the call. Throws where that cannot be known. */
  check(): void;
  /** Lets go of all locks, so that the application may leave WAL mode; nothing is delivered until {@linkcode resume}. */
  pause(): void;
  /**
   * Goes on: with the next commit where nothing can have been missed, else with `needsFull`. Throws, and stays paused, where the
   * database cannot be followed.
   */
  resume(): void;
  /** Takes what is committed now, and lets go of the database. */
  close(): Promise<void>;
}

/** How long an exclusively locked database is waited for. */
const LOCKED_MS = 5_000;
const LOCKED_RETRY_MS = 50;
/** How often a look that must succeed is tried again, a millisecond apart, while another process recovers the log. */
const BUSY_TRIES = 100;
/** The same warning is not repeated within this time. */
const WARNING_MS = 60_000;
const DEFAULT_LIMIT = 64 << 20;
const DEFAULT_TICK_MS = 60_000;

const EVERYTHING: Due = { take: true, move: true, patient: false };

const OPERATION = "follow";

/**
 * Starts following the database at `path`, which may be empty or not there yet.
 *
 * @throws {NotWalError} where it is not in WAL mode, and is not to be switched.
 * @throws {ExclusiveLockError} where somebody keeps it locked for five seconds.
 */
export async function openWalFollower(
  path: string,
  options: WalFollowerOptions,
): Promise<WalFollower> {
  const follower = new FollowedDatabase(path, options);
  await follower.open();
  return follower;
}

class FollowedDatabase implements WalFollower {
  readonly path: string;
  #sequence = 0;
  #pageSize = 0;
  #commit = 0;
  readonly #options: WalFollowerOptions;
  readonly #platform: Platform;
  readonly #linkOptions: WalLinkOptions;
  readonly #seal: WalSeal;
  readonly #pace: WalPace;
  #wakeups: Wakeups | undefined;
  #link: WalLink | undefined;
  #listener: CommitListener | undefined;
  #paused: { readonly mark: string | undefined } | undefined;
  #closed = false;
  #stepping = false;
  readonly #warned = new Map<string, number>();

  constructor(path: string, options: WalFollowerOptions) {
    const { files, driver, shared = true, platform = webPlatform, walLimit } = options;
    this.path = files.fullPath(path);
    this.#options = options;
    this.#platform = platform;
    this.#linkOptions = { files, driver, shared };
    this.#pace = new WalPace(platform.clock, options.groupMs);
    this.#seal = new WalSeal({
      limit: walLimit ?? DEFAULT_LIMIT,
      clock: platform.clock,
      warn: (warning) => this.#warn(warning),
      onCheckpoint: options.onCheckpoint,
    });
  }

  get name(): string {
    return this.path;
  }

  get pageSize(): number {
    return this.#pageSize;
  }

  get commit(): number {
    return this.#commit;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get walBytes(): number {
    return this.#link?.walBytes ?? 0;
  }

  /** Connects. */
  async open(): Promise<void> {
    const { clock } = this.#platform;
    const end = clock.monotonic() + LOCKED_MS;
    for (;;) {
      const why = this.#connect();
      if (why === undefined || why === "empty") break;
      if (why === "no WAL") throw this.#notWal();
      if (clock.monotonic() >= end) throw this.#locked();
      await new Promise<void>((resolve) => void clock.schedule(resolve, LOCKED_RETRY_MS));
    }
    if (this.#link !== undefined) this.#measure(this.#link);
    const { watch = watchFile, safetyTickMs: tickMs = DEFAULT_TICK_MS } = this.#options;
    const look = (isBusy: boolean): Look => this.#look(isBusy);
    this.#wakeups = new Wakeups({ clock, watch, tickMs, look });
    this.#watch();
    // Before the watches began somebody may have written.
    this.#wakeups.wake();
  }

  listen(listener: CommitListener, options: ListenOptions = {}): () => void {
    if (options.prepare !== undefined) {
      throw new UnsupportedError({
        operation: "hold the commits of",
        object: this.path,
        what: "a follower sees them when they are made",
        next: "Await durable() after the commit, or open the database with openReplicated",
      });
    }
    if (this.#listener !== undefined) {
      throw new InvalidArgumentError({
        operation: "listen to",
        object: this.path,
        what: "it has a listener already",
        next: "End the other replication of it first",
      });
    }
    this.#throwIfClosed();
    this.#tryStep();
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  check(): void {
    if (this.#stepping) return;
    this.#throwIfClosed();
    if (this.#paused !== undefined) {
      throw new ClosedError({
        operation: OPERATION,
        object: this.path,
        what: "the follower is paused",
        next: "Resume it first",
      });
    }
    for (let i = 0; i < BUSY_TRIES; i++) {
      if (this.#step()) return;
      sleep(1);
    }
    throw new DatabaseLockedError({
      operation: "read",
      object: `the WAL of ${this.path}`,
      what: "another process has locked it",
      next: "Try again later",
    });
  }

  catchUp(): void {
    if (!this.#closed && this.#paused === undefined) this.#tryStep();
  }

  async image(options: ImageOptions = {}): Promise<DatabaseImage> {
    this.check();
    const tail = this.#link?.tail;
    if (tail !== undefined) {
      return tail.image(this.#sequence, { ...options, spill: () => this.#openSpill() });
    }
    return {
      sequence: this.#sequence,
      pageSize: 0,
      commit: 0,
      runs: {
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: true, value: undefined }),
        }),
      },
      runsAtOnce: () => [],
    };
  }

  mark(sequence: number): string | undefined {
    const link = this.#link;
    if (link === undefined || sequence !== this.#sequence) return undefined;
    const mark = link.tail.mark();
    return mark && `${link.identity.inode} ${mark}`;
  }

  proves(mark: string): number | undefined {
    this.#tryStep();
    const sequence = this.#sequence;
    return this.#prove(mark) ? sequence : undefined;
  }

  pause(): void {
    this.#throwIfClosed();
    if (this.#paused !== undefined) return;
    this.check();
    this.#paused = { mark: this.mark(this.#sequence) };
    this.#disconnect();
    this.#wakeups?.watch([]);
  }

  resume(): void {
    this.#throwIfClosed();
    const paused = this.#paused;
    if (paused === undefined) return;
    const why = this.#connect();
    if (why === "no WAL") throw this.#notWal();
    if (why === "locked") throw this.#locked();
    this.#paused = undefined;
    const { mark } = paused;
    if (mark === undefined || !this.#prove(mark)) {
      this.#resumeWith("the database may have changed while following was paused");
    }
    this.#watch();
    this.#wakeups?.wake();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#wakeups?.end();
    if (this.#paused === undefined) this.#tryStep();
    this.#closed = true;
    this.#disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Looking.

  #look(isBusy: boolean): Look {
    if (this.#closed || this.#paused !== undefined) return { changed: false, settled: true };
    const pace = this.#pace;
    const { sequence } = this;
    const seen = this.#link?.change;
    const done = this.#tryStep(pace.due(isBusy));
    const { maySeal } = this.#options;
    if (maySeal?.() !== false) this.#seal.attempt(this.#link, () => this.#tryStep());
    const link = this.#link;
    const changed = this.#sequence !== sequence || link?.change !== seen;
    if (link === undefined) return { changed, settled: !changed };
    const settled = done && link.settled;
    if (!isBusy) return { changed, settled, againMs: link.isAhead ? pace.takeMs : undefined };
    const againMs = done ? Math.min(pace.nextMs, this.#seal.dueMs ?? Infinity) : 0;
    return { changed, settled, againMs };
  }

  /** Looks, and keeps what fails as a warning; returns whether everything committed was seen. */
  #tryStep(due?: Due): boolean {
    try {
      return this.#step(due);
    } catch (error) {
      this.#warn(
        isPagestreamError(error)
          ? error
          : (ioError(error, OPERATION, this.path) as PagestreamError),
      );
      return false;
    }
  }

  /** Takes what was committed; false where another process keeps it from that for a moment. */
  #step(due?: Due): boolean {
    if (this.#stepping) return true;
    this.#stepping = true;
    try {
      return this.#link === undefined ? this.#reconnect() : this.#follow(this.#link, due);
    } finally {
      this.#stepping = false;
    }
  }

  #follow(link: WalLink, due: Due = EVERYTHING): boolean {
    const { take, patient } = due;
    const isPassing = due.move && patient && link.isPassing();
    if (isPassing) this.#pace.stayed();
    const move = due.move && !isPassing;
    if (!take && !move) return true;
    // Another file at the path has time until the next step that does everything.
    if (take && move && !isSameFile(this.#options.files.identity(this.path), link.identity)) {
      this.#disconnect();
      return this.#reconnect();
    }
    if (link.isQuiet()) {
      if (move) this.#pace.stayed();
      return true;
    }
    const { change } = link;
    const end = link.step((commits) => this.#deliver(link, commits), { take, move });
    if (end.type === "busy") return false;
    if (move) this.#pace.moved(link.change === change);
    this.#measure(link);
    if (end.type === "doubt") this.#interrupted(end.reason);
    return true;
  }

  /** Connects to what is at the path now. */
  #reconnect(): boolean {
    const why = this.#connect();
    if (why === "no WAL") this.#warn(this.#notWal());
    if (why === "locked") this.#warn(this.#locked());
    this.#watch();
    this.#resumeWith("the database was replaced");
    return why === undefined || why === "empty";
  }

  // Connecting.

  #connect(): Unlinked | undefined {
    let link = WalLink.open(this.path, this.#linkOptions);
    if (link === "no WAL" && this.#options.enforceWal === true) {
      if (!this.#switchToWal()) return "locked";
      link = WalLink.open(this.path, this.#linkOptions);
    }
    if (typeof link === "string") return link;
    this.#link = link;
    return undefined;
  }

  /** Goes on after nothing was followed for a while: with a first commit, where there was nothing before it. */
  #resumeWith(reason: string): void {
    const link = this.#link;
    if (link === undefined) return;
    if (this.#pageSize > 0) {
      this.#measure(link);
      this.#interrupted(reason);
      return;
    }
    link.tail.whole((commits) => this.#deliver(link, commits));
  }

  #disconnect(): void {
    this.#seal.close();
    this.#link?.close();
    this.#link = undefined;
  }

  /** False where other connections are in the way. */
  #switchToWal(): boolean {
    try {
      const connection = this.#options.driver.open(this.path, { timeoutMs: 0 });
      try {
        connection.get("PRAGMA journal_mode = WAL");
      } finally {
        connection.close();
      }
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw ioError(error, OPERATION, this.path);
    }
  }

  #watch(): void {
    const { path } = this;
    const wakeups = this.#wakeups;
    wakeups?.watch(this.#link === undefined ? [dirname(path)] : [`${path}-wal`, path]);
    if (wakeups === undefined || wakeups.isWatching || this.#link === undefined) return;
    this.#warn(
      new IoError({
        operation: "watch",
        object: path,
        what: "the system tells of no writes to it; it is looked at every second",
        next: "On Linux raise fs.inotify.max_user_watches and max_user_instances",
      }),
    );
  }

  #measure({ tail }: WalLink): void {
    this.#pageSize = tail.pageSize;
    this.#commit = tail.commit;
  }

  /** A file for what an image must keep: nobody else needs to see it. */
  #openSpill(): SyncFile {
    const { files } = this.#options;
    const name = `${this.path}-pagestream-image-${hex(this.#platform.randomBytes(6))}`;
    const file = files.open(name, { mode: "exclusive" });
    files.remove(name);
    return file;
  }

  // Telling.

  #prove(mark: string): boolean {
    const link = this.#link;
    const [inode = "", ...rest] = mark.split(" ");
    if (link === undefined || inode !== String(link.identity.inode)) return false;
    const proven = link.tail.prove(rest.join(" "), (commits) => this.#deliver(link, commits));
    this.#measure(link);
    return proven;
  }

  /** Hands commits to the listener; a full file makes good what it could not take. */
  #deliver({ tail }: WalLink, { commits, previousCommit, commit, pages }: WalCommits): void {
    const { pageSize } = tail;
    this.#pageSize = pageSize;
    this.#commit = commit;
    this.#pace.taken();
    const sequence = (this.#sequence += commits);
    try {
      this.#listener?.commit({ sequence, pageSize, commit, previousCommit, full: false, pages });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#doubt(`the listener failed: ${reason}`);
    }
  }

  /** Continuity is in doubt after an interruption. That makes a state of its own: no mark of the one before stands for it. */
  #interrupted(reason: string): void {
    this.#sequence++;
    this.#doubt(reason);
  }

  #doubt(reason: string): void {
    try {
      this.#listener?.needsFull(reason);
    } catch {
      // A listener that fails at this has no way left to say so.
    }
  }

  #warn(warning: PagestreamError): void {
    const now = this.#platform.clock.monotonic();
    const last = this.#warned.get(warning.message) ?? -Infinity;
    if (now - last < WARNING_MS) return;
    this.#warned.set(warning.message, now);
    this.#options.onWarning?.(warning);
  }

  #notWal(): NotWalError {
    return new NotWalError({
      operation: OPERATION,
      object: this.path,
      what: "its journal mode is not WAL",
      next: "Set PRAGMA journal_mode = WAL, or let the follower do so with enforceWal",
    });
  }

  #locked(): ExclusiveLockError {
    return new ExclusiveLockError({
      operation: OPERATION,
      object: this.path,
      what: "another connection has locked it exclusively",
      next: "Open it there with locking_mode = NORMAL",
    });
  }

  #throwIfClosed(): void {
    if (!this.#closed) return;
    const what = "the follower is closed";
    throw new ClosedError({ operation: OPERATION, object: this.path, what });
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
