/**
 * What one connection to a replica looks at: which view, for how long, and what it had to do without.
 *
 * SQLite cannot be told to wait. A read that cannot be answered is noted here and fails; whoever runs the statement fetches
 * what was noted and runs it again. The note counts, not SQLite's result code: some statements (`quick_check`) take a
 * failed read for an answer.
 *
 * @module
 */
import type { PageSource, PageView, PinOptions } from "../core/page-source.ts";
import type { Platform } from "../core/platform.ts";
import { VfsError } from "./errors.ts";

/** How a page that is not in memory is waited for. */
export type ReplicaDriver = "retry" | "jspi" | "block";

/** A state as SQL names it. */
export type SessionTarget =
  | { readonly txid: string }
  | { readonly timestamp: string }
  | { readonly latest: true };

/** A local copy in the making. */
export interface SessionHydration {
  /** Percentage of its pages that are there. */
  readonly percent: number;
  /** Path of the copy; undefined where it has none. */
  readonly path: string | undefined;
}

/** What a session needs of its surroundings. */
export interface SessionContext<V extends PageView> {
  readonly source: PageSource<V>;
  readonly driver: ReplicaDriver;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Tells how long a statement has kept the thread, and lets others have it. */
  readonly platform: Platform;
  /** How far a local copy has come; undefined where there is none. */
  readonly hydration?: (() => SessionHydration | undefined) | undefined;
  /** Whether SQL may choose another state. */
  readonly mayTravel: boolean;
}

/** What a session knows of an open file. */
export interface SessionFile<V extends PageView> {
  /** The view of its open read transaction. */
  readonly pinned: V | undefined;
  /** The one view that it shows, where it was attached at a state of its own. */
  readonly own: V | undefined;
}

/** Milliseconds that a statement keeps the thread, where it can suspend and its pages come at once. */
const TURN_MS = 20;
/** The same of one that must begin anew to be suspended. */
const FIRST_TURN_MS = 5;

/** A connection's view of a replica. */
export class ReplicaSession<V extends PageView = PageView> {
  readonly source: PageSource<V>;
  readonly driver: ReplicaDriver;
  readonly now: () => number;
  readonly hydration: () => SessionHydration | undefined;
  readonly mayTravel: boolean;
  /** Open files, the main one first. */
  readonly files: Set<SessionFile<V>> = new Set();
  /** Pages that reads could not be given since the last `takeMissed`, by view. */
  readonly #missed: Map<V, Set<number>> = new Map();
  /** States that SQL asked for and that must be planned first, by their JSON. */
  readonly #wanted: Map<string, SessionTarget> = new Map();
  /** What became of them; undefined stands for the newest. */
  readonly #planned: Map<string, V | undefined> = new Map();
  /** Why a read or an open failed since it was last cleared. */
  failure: unknown;
  /** A statement is under way, whose hold ends with it. */
  isRunning = false;
  /** A call is under way that can be suspended. */
  canSuspend = false;
  /** Whether a transaction is open that SQL began; told by the connection. */
  isInTransaction: () => boolean = () => false;
  readonly #platform: Platform;
  #turnEnds = 0;
  /** The signal of the statement that runs. */
  signal: AbortSignal | undefined;
  #fixed: { readonly view: V; readonly label: string | undefined; release(): void } | undefined;
  #hold: { readonly view: V; readonly releases: (() => void)[] } | undefined;
  #keep: { readonly kept: Set<number>; readonly releases: (() => void)[] } | undefined;

  constructor(context: SessionContext<V>) {
    this.source = context.source;
    this.driver = context.driver;
    this.now = context.now;
    this.#platform = context.platform;
    this.hydration = context.hydration ?? ((): undefined => undefined);
    this.mayTravel = context.mayTravel;
  }

  /** What a read transaction that begins now sees. */
  get next(): V {
    this.releaseIfIdle();
    return this.#hold?.view ?? this.#fixed?.view ?? this.source.latest;
  }

  /** What is seen: by an open read transaction, else by the next. */
  get view(): V {
    const [main] = this.files;
    return main?.pinned ?? this.next;
  }

  /** The time that was asked for, as it was asked for; undefined where the newest state is followed. */
  get label(): string | undefined {
    return this.#fixed?.label;
  }

  /** Pages that the statement has read so far; undefined where nothing is to be noted. */
  get kept(): Set<number> | undefined {
    return this.#keep?.kept;
  }

  /** Whether a page that is not in memory is read while the thread blocks. */
  get mayReadNow(): boolean {
    const { source, driver } = this;
    if (source.fetchSync === undefined || driver === "retry") return false;
    if (driver === "block" || !this.isRunning) return true;
    return source.isLocal === true && this.#platform.clock.monotonic() < this.#turnEnds;
  }

  /** Begins a turn of the statement that runs, in calls that can be suspended or not. */
  beginTurn(suspends: boolean): void {
    this.#turnEnds = this.#platform.clock.monotonic() + (suspends ? TURN_MS : FIRST_TURN_MS);
  }

  /** Lets others have the thread where pages come without a wait. */
  async rest(): Promise<void> {
    if (this.source.isLocal !== true) return;
    await new Promise<void>((resolve) => this.#platform.clock.schedule(resolve, 0));
    this.beginTurn(true);
  }

  /** Whether a view is held for a statement or a transaction. */
  get isHeld(): boolean {
    return this.#hold !== undefined;
  }

  /** Looks at one view from the next read transaction on, or with undefined at the newest. */
  fix(view: V | undefined, label?: string): void {
    this.#fixed?.release();
    this.#fixed = view === undefined ? undefined : { view, label, release: this.source.pin(view) };
  }

  /** Keeps to one view until `release`, over all read transactions. A second call changes nothing. */
  hold(): void {
    if (this.#hold !== undefined) return;
    const { view } = this;
    this.#hold = { view, releases: this.#pinAll(view) };
  }

  /**
   * Keeps every page in memory that is read from now on, until the returned function is called: a statement that begins anew
   * needs all of its pages again, unless SQLite has them. Its view is held.
   */
  keep(): () => void {
    const releases = this.#pinAll(this.next, { keepPages: true });
    this.#keep = { kept: new Set(), releases };
    return () => {
      for (const release of releases) release();
      this.#keep = undefined;
    };
  }

  /** Whether no read and no open had to do without something since the last `clear`. */
  get isComplete(): boolean {
    return this.#missed.size === 0 && this.#wanted.size === 0;
  }

  /** Whether a state was asked for that had not been planned. */
  get lacksState(): boolean {
    return this.#wanted.size > 0;
  }

  /** Ends a hold that is left of a transaction which was ended on the database itself. */
  releaseIfIdle(): void {
    if (this.#hold !== undefined && !this.isRunning && !this.isInTransaction()) this.release();
  }

  /** Ends the hold. */
  release(): void {
    for (const release of this.#hold?.releases ?? []) release();
    this.#hold = undefined;
    this.#planned.clear();
  }

  /** Notes pages that were not in memory. */
  miss(view: V, pgnos: readonly number[]): void {
    let pages = this.#missed.get(view);
    if (pages === undefined) this.#missed.set(view, (pages = new Set()));
    for (const pgno of pgnos) pages.add(pgno);
  }

  /** The pages that were missed, and forgets them. */
  takeMissed(): ReadonlyMap<V, ReadonlySet<number>> {
    const missed = new Map(this.#missed);
    this.#missed.clear();
    return missed;
  }

  /** Forgets what an earlier try left. */
  clear(): void {
    this.#missed.clear();
    this.#wanted.clear();
    this.failure = undefined;
  }

  /** The view of a state that was planned; one that was not is noted as wanted, and `found` is false. */
  planned(target: SessionTarget): { readonly found: boolean; readonly view: V | undefined } {
    const key = JSON.stringify(target);
    if (this.#planned.has(key)) return { found: true, view: this.#planned.get(key) };
    this.#wanted.set(key, target);
    return { found: false, view: undefined };
  }

  /** States that are to be planned before the statement can run. */
  takeWanted(): readonly SessionTarget[] {
    const wanted = [...this.#wanted.values()];
    this.#wanted.clear();
    return wanted;
  }

  /** Says what became of a wanted state, until the hold ends. */
  plan(target: SessionTarget, view: V | undefined): void {
    this.#planned.set(JSON.stringify(target), view);
    if (view === undefined) return;
    this.#hold?.releases.push(this.source.pin(view));
    this.#keep?.releases.push(this.source.pin(view, { keepPages: true }));
  }

  /** Runs what SQLite asks for, and notes why it failed. */
  noting<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      // A state that is only to be planned first is no failure.
      if (this.#wanted.size === 0) this.failure = error;
      throw error;
    }
  }

  /** Ends everything. */
  close(): void {
    this.release();
    this.fix(undefined);
  }

  /** Pins a view, and those that were attached at a state of their own. */
  #pinAll(view: V, options?: PinOptions): (() => void)[] {
    const attached = [...this.files].flatMap(({ own }) => own ?? []);
    return [view, ...attached].map((each) => this.source.pin(each, options));
  }
}

/** Says that a state must be planned before it can be looked at. */
export function unplanned(object: string): VfsError {
  return new VfsError({
    operation: "look at",
    object,
    what: "the state must be planned first, and SQLite cannot wait",
    next: "Use query() or setTime() of the replica database",
  });
}
