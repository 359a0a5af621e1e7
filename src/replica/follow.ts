/**
 * Keeps a copy of a replicated database up to date.
 *
 * The next file of level 0 is asked for by its name: where there is none, that is one cheap request. All levels are listed
 * only at the start, after an error, after many files in a row, and after a quarter of the level 0 retention without a
 * new file; then whatever files lead on from the copy's state are merged into one step. Where none do, the newest state
 * is brought as a whole, from a snapshot and what follows it.
 *
 * @module
 */
import {
  abortedError,
  ClosedError,
  InvalidArgumentError,
  IoError,
  isPagestreamError,
  type PagestreamError,
  throwIfAborted,
} from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { Aborter } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { type AskedFile, askFile } from "./ask-file.ts";
import { ReplicaBehindError } from "./errors.ts";
import { applyChain, type FollowChain } from "./follow-apply.ts";
import type { FollowEvent, Follower, FollowReplicaOptions } from "./follow-options.ts";
import type { CopyState, FollowTarget } from "./follow-target.ts";
import { FollowTimer } from "./follow-timer.ts";
import { noWayOn } from "./gap.ts";
import { continueFrom, planRestore } from "./plan.ts";
import { PointerReader } from "./pointer.ts";
import { type LtxFileInfo, type Replica, openReplica } from "./replica.ts";
import { watchFiles } from "./watch-files.ts";

/** A follower asks again anyway: it need not hold on to one request for minutes. */
const FOLLOW_RETRY: RetryPolicy = { attempts: 4, baseMs: 250, capMs: 2000, budgetMs: 15_000 };

/** Files of level 0 in a row after which a listing may show a shorter way. */
const MANY_IN_A_ROW = 30;

/** Tries of a step whose files a retention removes meanwhile. */
const TRIES = 3;

/**
 * Brings a copy to the newest state of a replica and keeps it there. Resolves when the copy can be used: a new one when
 * it holds the newest state, one that was followed into before at once.
 *
 * Throws `NoBackupError`, `GapError` and the other errors of a restore where there is no copy and none can be made, and the
 * errors of the target.
 */
export async function followReplica(
  replica: ObjectStore | Replica,
  target: FollowTarget,
  options: FollowReplicaOptions,
): Promise<Follower> {
  refuseTargets(options);
  const opened = openReplica(replica, { retry: FOLLOW_RETRY, ...options });
  const follower = new ReplicaFollower(opened, target, options);
  try {
    await follower.start();
  } catch (error) {
    await follower.close();
    throw error;
  }
  return follower;
}

class ReplicaFollower implements Follower {
  readonly events: EventStream<FollowEvent> = new EventStream();
  readonly #replica: Replica;
  readonly #target: FollowTarget;
  readonly #options: FollowReplicaOptions;
  readonly #aborter: Aborter;
  readonly #timer: FollowTimer;
  readonly #pointer: PointerReader | undefined;
  #error: PagestreamError | undefined;
  /** Whether the next look at the replica is a listing. */
  #mustList = true;
  /** Files of level 0 that were asked for by name, and were there, since the last listing. */
  #inARow = 0;
  #running: Promise<void> | undefined;
  #watching: Promise<void> | undefined;
  #rounds: Promise<unknown> = Promise.resolve();
  readonly #waiters: Set<{ readonly txid: bigint; readonly settle: (error?: unknown) => void }> =
    new Set();
  #closing: Promise<void> | undefined;

  constructor(replica: Replica, target: FollowTarget, options: FollowReplicaOptions) {
    this.#replica = replica;
    this.#target = target;
    this.#options = options;
    this.#aborter = replica.platform.newAborter();
    this.#timer = new FollowTimer(replica.platform.clock, options);
    if (options.pointer === true) this.#pointer = new PointerReader(replica);
  }

  get position(): bigint {
    return this.#target.state?.txid ?? 0n;
  }

  get error(): PagestreamError | undefined {
    return this.#error;
  }

  /** Opens the copy, makes it where there is none, and begins to follow. */
  async start(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#aborter.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      throwIfAborted(signal, "follow into", this.#target.name);
      await this.#target.open();
      if (this.#target.state === undefined) await this.#first();
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    this.#running = this.#run();
    this.#watching = watchFiles(this.#replica, {
      name: this.#target.name,
      timer: this.#timer,
      position: () => this.position,
      mustList: () => void (this.#mustList = true),
      signal: this.#aborter.signal,
    });
  }

  poll(): Promise<bigint> {
    return this.#round().then(() => {
      if (this.#error !== undefined) throw this.#error;
      return this.position;
    });
  }

  waitFor(
    txid: bigint,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const { signal } = options;
    const object = this.#target.name;
    return new Promise((resolve, reject) => {
      if (this.position >= txid) return resolve();
      if (this.#closing !== undefined) return reject(closed(object));
      const waiter = {
        txid,
        settle: (error?: unknown) => {
          this.#waiters.delete(waiter);
          signal?.removeEventListener("abort", onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const onAbort = (): void =>
        waiter.settle(abortedError({ operation: "wait for", object, signal }));
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#aborter.abort();
    this.#timer.close();
    await this.#running;
    await this.#watching;
    await this.#rounds;
    try {
      await this.#target.close();
    } finally {
      for (const waiter of this.#waiters) waiter.settle(closed(this.#target.name));
      this.events.announce({ type: "closed", position: this.position });
      this.events.close();
    }
  }

  async #first(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#rebase(await this.#list());
        return;
      } catch (error) {
        // Files move up and away while they are listed and read: a later listing shows where they are now.
        const mayPass = isPagestreamError(error, "NOT_FOUND") || isPagestreamError(error, "GAP");
        if (!mayPass || tries === TRIES) throw error;
      }
    }
  }

  async #run(): Promise<void> {
    while (!this.#aborter.signal.aborted) {
      await this.#round();
      await this.#timer.pause(this.#error !== undefined);
    }
  }

  /** Looks once, after a look that is under way. */
  #round(): Promise<void> {
    const round = this.#rounds.then(() => this.#look());
    this.#rounds = round;
    return round;
  }

  async #look(): Promise<void> {
    if (this.#aborter.signal.aborted) return;
    try {
      await this.#advanceAgain();
      if (this.#error === undefined) return;
      this.#error = undefined;
      this.#emit({ type: "recovered" });
    } catch (error) {
      if (this.#aborter.signal.aborted) return;
      this.#mustList = true;
      const typed = asPagestreamError(error, this.#target.name);
      const isNews = this.#error?.message !== typed.message;
      this.#error = typed;
      if (isNews) this.#emit({ type: "stalled", error: typed });
    }
  }

  /** A file that was listed and then removed has moved up: a new listing shows where to. */
  async #advanceAgain(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#advance();
        return;
      } catch (error) {
        if (!isPagestreamError(error, "NOT_FOUND") || tries === TRIES) throw error;
        this.#mustList = true;
      }
    }
  }

  /** Applies what there is, until there is nothing more. */
  async #advance(): Promise<void> {
    for (;;) {
      const state = this.#target.state as CopyState;
      const isOpen = state.atMost > state.txid;
      if (this.#mustList || isOpen || this.#timer.isListingDue) {
        if (!(await this.#catchUp(state))) return;
      } else {
        if (!(await this.#askNext(state))) return;
        if (++this.#inARow === MANY_IN_A_ROW) this.#mustList = true;
      }
    }
  }

  /** Asks for the next file of level 0 by its name, and applies it. False where there is none. */
  async #askNext(state: CopyState): Promise<boolean> {
    const txid = state.txid + 1n;
    const asked = await askFile(
      this.#replica,
      { level: 0, minTxid: txid, maxTxid: txid },
      this.#aborter.signal,
    );
    if (asked === undefined) return false;
    // A file of another page size needs the snapshot that came before it.
    if (!(await this.#apply(oneFile(asked)))) this.#mustList = true;
    return true;
  }

  /** Lists all levels and applies what leads on. False where the copy is as new as the replica. */
  async #catchUp(state: CopyState): Promise<boolean> {
    if (state.atMost === state.txid && (await this.#skipAhead(state.txid))) {
      this.#mustList = false;
      this.#inARow = 0;
      return true;
    }
    const levels = await this.#list();
    const newest = newestOf(levels);
    if (newest < state.atMost) {
      throw new ReplicaBehindError(this.#target.name, { txid: state.atMost, newestTxid: newest });
    }
    if (newest === state.txid) return false;
    const files = continueFrom(levels, state.txid);
    const reached = files.at(-1)?.maxTxid ?? 0n;
    if (reached > state.txid && reached >= state.atMost) {
      if (await this.#apply({ files, isWhole: false })) return true;
    }
    await this.#rebase(levels);
    return true;
  }

  /**
   * Applies a file that the pointer names and that leads over several TXIDs at once. Whatever is wrong with the pointer or
   * that file, a listing comes after it.
   */
  async #skipAhead(txid: bigint): Promise<boolean> {
    const { signal } = this.#aborter;
    try {
      const file = (await this.#pointer?.read(signal))?.fileAfter(txid);
      if (file === undefined) return false;
      const asked = await askFile(this.#replica, file, signal);
      return asked !== undefined && (await this.#apply(oneFile(asked)));
    } catch {
      return false;
    }
  }

  /** Brings the newest state as a whole. */
  async #rebase(levels: readonly (readonly LtxFileInfo[])[]): Promise<void> {
    const { description } = this.#replica;
    const { files, txid } = planRestore(levels, {}, { operation: "follow", object: description });
    const { state } = this.#target;
    if (state !== undefined && (txid <= state.txid || txid < state.atMost)) {
      throw noWayOn(description, state.txid, levels);
    }
    await this.#apply({ files, isWhole: true });
  }

  async #list(): Promise<LtxFileInfo[][]> {
    const levels = await this.#replica.levels({ signal: this.#aborter.signal });
    this.#timer.listed();
    this.#mustList = false;
    this.#inARow = 0;
    return levels;
  }

  /** One step of the copy. False where the files are of another page size and do not bring every page. */
  async #apply(chain: FollowChain): Promise<boolean> {
    const context = { replica: this.#replica, target: this.#target, signal: this.#aborter.signal };
    const applied = await applyChain(context, chain);
    if (applied === undefined) return false;
    this.#timer.found();
    this.#emit({ type: "applied", ...applied, files: chain.files.length, rebased: chain.isWhole });
    for (const waiter of this.#waiters) if (this.position >= waiter.txid) waiter.settle();
    return true;
  }

  #emit(event: EventOf<FollowEvent>): void {
    this.events.announce({ ...event, position: this.position });
  }
}

/** An event without the position, which is added when it is emitted. */
type EventOf<E> = E extends unknown ? Omit<E, "position"> : never;

function oneFile({ info, bytes }: AskedFile): FollowChain {
  return { files: [info], isWhole: false, bytes };
}

function newestOf(levels: readonly (readonly LtxFileInfo[])[]): bigint {
  return levels.flat().reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
}

function asPagestreamError(error: unknown, object: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new IoError({ operation: "follow into", object, what, cause: error });
}

/** A follower has no target state: it follows the newest. */
function refuseTargets(options: object): void {
  const key = ["txid", "timestamp"].find((name) => (options as Record<string, unknown>)[name]);
  if (key === undefined) return;
  throw new InvalidArgumentError({
    operation: "follow",
    object: "the replica",
    what: `a follower keeps up with the newest state, and ${key} names one state`,
    next: "Leave it out, or restore instead",
  });
}

function closed(object: string): ClosedError {
  return new ClosedError({ operation: "wait for", object, what: "the follower is closed" });
}
