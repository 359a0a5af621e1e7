/**
 * Keeps a WAL within its bound where nobody else does.
 *
 * Past the limit it checkpoints beside running writers. When little is left it holds them off for the few milliseconds in which
 * the rest can be brought into the database file, so that the next of them begins the log anew. It never waits for a
 * lock, and nobody waits for it but those who write just then.
 *
 * @module
 */
import { type Clock, type PagestreamError, UnsupportedError } from "pagestream";
import { ioError } from "./errors.ts";
import { isBusy, sleep } from "./file-lock.ts";
import type { NativeConnection } from "./native-driver.ts";
import type { WalLink } from "./wal-link.ts";

/** One attempt to bring the log into the database file. */
export interface WalCheckpoint {
  /** As SQLite names it. */
  readonly mode: "PASSIVE";
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
  /** Why it failed; undefined where it was only kept from its end, by a reader or another checkpoint. */
  readonly error: PagestreamError | undefined;
}

/** What a {@linkcode WalSeal} works with. */
export interface WalSealOptions {
  /** Bytes of the WAL. */
  readonly limit: number;
  readonly clock: Clock;
  readonly warn: (warning: PagestreamError) => void;
  /** Told of every attempt, after it. */
  readonly onCheckpoint: ((checkpoint: WalCheckpoint) => void) | undefined;
}

/** Frames that can be brought into the file while writers are held off. */
const FEW_FRAMES = 256;
/** Checkpoints in a row beside running writers: each finds less to do than the one before. */
const ROUNDS = 4;
/** How far past the limit the log may grow before writers are held off for longer than a few milliseconds. */
const FAR = 1.25;
/** How long writers are held off, near the limit and far past it; a checkpoint that was begun is brought to its end. */
const HOLD_MS = 5;
const LONG_HOLD_MS = 100;
/** How long the write lock is tried for while writers pass it on to each other. */
const TRY_MS = 3;
const TRIES = 1000;
const SHORTEST_WAIT_MS = 5;
const LONGEST_WAIT_MS = 5_000;
/** Before it, a checkpoint beside the writer that begins the log anew could lose what that one wrote. */
const SAFE_SQLITE = [3, 51, 3];

/** Checkpoints one database past a limit. */
export class WalSeal {
  readonly #options: WalSealOptions;
  /** One that checkpoints; a connection cannot do so within a transaction of its own, which is the other one's part. */
  #connection: NativeConnection | undefined;
  #writer: NativeConnection | undefined;
  #notBefore = -Infinity;
  #wait = SHORTEST_WAIT_MS;
  #isSafe: boolean | undefined;
  /** Whether the log was past the limit at the last attempt. */
  #isDue = false;

  constructor(options: WalSealOptions) {
    this.#options = options;
  }

  /** Milliseconds to the next attempt that may help; `undefined` while the log is short. */
  get dueMs(): number | undefined {
    if (!this.#isDue || this.#isSafe === false) return undefined;
    return this.#notBefore - this.#options.clock.monotonic();
  }

  /** Does what the size of the log asks for; `step` moves the follower's read transaction to now. */
  attempt(link: WalLink | undefined, step: () => void): void {
    const { limit, clock, warn, onCheckpoint } = this.#options;
    this.#isDue = link !== undefined && link.walBytes > limit && !link.settled;
    if (link === undefined || !this.#isDue) {
      this.#wait = SHORTEST_WAIT_MS;
      return;
    }
    const start = clock.monotonic();
    if (start < this.#notBefore || this.#isSafe === false) return;
    let failure: PagestreamError | undefined;
    try {
      const connection = (this.#connection ??= open(link));
      if (!this.#checkSafety(connection, link)) return;
      const before = link.unsaved;
      for (let i = 0; i < ROUNDS && link.unsaved >= (i === 0 ? 1 : FEW_FRAMES); i++) {
        checkpoint(connection);
        step();
      }
      const isFar = link.walBytes > limit * FAR;
      const isNear = link.unsaved < FEW_FRAMES || isFar;
      const holdMs = isFar ? LONG_HOLD_MS : HOLD_MS;
      const sealed = isNear && this.#sealNow(link, { connection, step, holdMs });
      // Where a reader is in the way, there is no use in trying again at once.
      const progress = link.unsaved < before || sealed;
      this.#wait = progress ? SHORTEST_WAIT_MS : Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    } catch (error) {
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
      if (!isBusy(error)) {
        failure = ioError(error, "checkpoint", link.path) as PagestreamError;
        warn(failure);
      }
    }
    const end = clock.monotonic();
    this.#notBefore = end + this.#wait;
    onCheckpoint?.({ mode: "PASSIVE", durationMs: end - start, error: failure });
  }

  /** Lets go of its connection. */
  close(): void {
    this.#connection?.close();
    this.#writer?.close();
    this.#connection = undefined;
    this.#writer = undefined;
  }

  /** Holds writers off, if none is at work, and brings the rest into the file. */
  #sealNow(
    link: WalLink,
    by: {
      readonly connection: NativeConnection;
      readonly step: () => void;
      readonly holdMs: number;
    },
  ): boolean {
    const { connection, step, holdMs } = by;
    const { clock } = this.#options;
    const writer = (this.#writer ??= open(link));
    if (!this.#lock(writer)) return false;
    try {
      const end = clock.monotonic() + holdMs;
      step();
      for (let i = 0; i < holdMs; i++) {
        const ran = checkpoint(connection);
        step();
        // What is left after a checkpoint, a reader keeps there.
        if (ran || link.settled || clock.monotonic() >= end) break;
        // A writer that has committed checkpoints by itself now, and nobody else can: it is done soon.
        sleep(1);
      }
    } finally {
      writer.get("ROLLBACK");
    }
    return link.settled;
  }

  /** Takes the write lock in a gap between two transactions, if there is one soon. */
  #lock(writer: NativeConnection): boolean {
    const { clock } = this.#options;
    const end = clock.monotonic() + TRY_MS;
    for (let i = 0; i < TRIES; i++) {
      try {
        writer.get("BEGIN IMMEDIATE");
        return true;
      } catch (error) {
        if (!isBusy(error)) throw error;
      }
      if (clock.monotonic() >= end) break;
    }
    return false;
  }

  #checkSafety(connection: NativeConnection, link: WalLink): boolean {
    if (this.#isSafe !== undefined) return this.#isSafe;
    const row = connection.get("SELECT sqlite_version() AS version");
    const version = String(row?.["version"]);
    this.#isSafe = isAtLeast(version.split(".").map(Number), SAFE_SQLITE);
    if (!this.#isSafe) {
      this.#options.warn(
        new UnsupportedError({
          operation: "checkpoint",
          object: link.path,
          what: `SQLite ${version} may lose commits when the WAL is begun anew beside a checkpoint`,
          next: "Use SQLite 3.51.3 or newer; until then the WAL grows unless the application checkpoints it",
        }),
      );
    }
    return this.#isSafe;
  }
}

function open(link: WalLink): NativeConnection {
  const connection = link.connect();
  connection.exec("PRAGMA wal_autocheckpoint = 0");
  return connection;
}

/** False where somebody else checkpoints now. */
function checkpoint(connection: NativeConnection): boolean {
  return connection.get("PRAGMA wal_checkpoint(PASSIVE)")?.["busy"] === 0;
}

function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (const [i, part] of least.entries()) {
    const own = version[i] ?? 0;
    if (own !== part) return own > part;
  }
  return true;
}
