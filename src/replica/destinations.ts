/**
 * All replicas of one primary: which of them a wait needs, what may be cut, which files are still needed.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { Destination } from "./destination.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import type { DestinationStatus, WaitOptions } from "./replication.ts";
import { copyStaged, type StagedFile } from "./staged-file.ts";

/** Files on their way to a store beyond which groups grow instead. */
const ENOUGH_PENDING = 4;

/** How files are handed to {@linkcode Destinations}. */
export interface DestinationsOptions {
  /** Bytes of staged files that may wait for the slowest of them. */
  readonly stagingBytes: number;
  /** With a hold the first decides what a TXID is: the others get a file once that one has it. */
  readonly inTurn: boolean;
  /** Where requests are counted more files would only wait for them: one is cut when the one before is there. */
  readonly oneAtATime: boolean;
  readonly state: LocalState;
}

/** The destinations of one primary, in the order they were given. */
export class Destinations {
  readonly list: readonly Destination[];
  readonly #options: DestinationsOptions;
  /** A copy of the file that the first gave up and may have. */
  #withdrawn: StagedFile | undefined;

  constructor(list: readonly Destination[], options: DestinationsOptions) {
    this.list = list;
    this.#options = options;
  }

  get first(): Destination {
    return this.list[0] as Destination;
  }

  /** Last TXID that every destination has confirmed. */
  get replicated(): bigint {
    return this.list.reduce(
      (min, { replicated }) => (replicated < min ? replicated : min),
      this.first.replicated,
    );
  }

  /** Bytes of staged files: the queue of the slowest, of which every other is a part. */
  get pendingBytes(): number {
    return Math.max(...this.list.map(({ pendingBytes }) => pendingBytes));
  }

  /** Monotonic time of the oldest commit in a file that some destination lacks. */
  get since(): number | undefined {
    let since: number | undefined;
    for (const { since: first } of this.list) {
      if (first !== undefined && (since === undefined || first < since)) since = first;
    }
    return since;
  }

  /** How many destinations a wait needs. */
  needed({ at = "all" }: WaitOptions): number {
    const count = this.list.length;
    if (at === "all") return count;
    if (at === "any") return 1;
    if (Number.isInteger(at) && at >= 1 && at <= count) return at;
    throw new InvalidArgumentError({
      operation: "wait for",
      object: "destinations",
      what: `at is ${at}, there are ${count}`,
      next: "Say any, all, or a number up to theirs",
    });
  }

  /** Whether a file may be cut: one of them takes it in time, and it is known which TXID comes next. */
  get mayCut(): boolean {
    const { uploader } = this.first;
    if (uploader.hasRival && uploader.pending.length > 0) return false;
    const { inTurn, oneAtATime, stagingBytes } = this.#options;
    return (inTurn ? [this.first] : this.list).some(
      (destination) =>
        destination.wantsCut ||
        (!destination.isFailing &&
          destination.pendingBytes < stagingBytes &&
          !(oneAtATime && destination.pending.length > 0)),
    );
  }

  /** Whether every one that follows has files enough on their way: one more would only wait behind them. */
  get isBusy(): boolean {
    const { inTurn } = this.#options;
    return (inTurn ? [this.first] : this.list).every(
      ({ pending, wantsCut }) => pending.length >= ENOUGH_PENDING && !wantsCut,
    );
  }

  /** Hands over files that have been cut. */
  take(files: readonly StagedFile[]): void {
    if (this.#options.inTurn) this.first.take(files);
    else for (const destination of this.list) destination.take(files);
    this.relieve();
  }

  /** With a hold: the first gives its newest file up. Its bytes are kept for the others, should it turn out to be there. */
  withdraw(file: StagedFile): void {
    if (this.list.length > 1) this.#withdrawn = copyStaged(this.#options.state, file);
    this.first.uploader.withdraw(file);
  }

  /**
   * With a hold: it is settled that the first has a file, which is what its TXID is from now on, or the one that was
   * withdrawn before `instead` took its name. The others get the same.
   */
  settled(destination: Destination, file: StagedFile, instead?: StagedFile): void {
    if (!this.#options.inTurn || destination !== this.first) return;
    const withdrawn = this.#withdrawn;
    const isIts = withdrawn?.header.maxTxid === file.header.maxTxid;
    if (isIts) this.#withdrawn = undefined;
    const landed = isIts && instead !== undefined ? withdrawn : file;
    for (const other of this.list.slice(1)) other.take([landed]);
    if (isIts && !this.needs(withdrawn.name)) this.#options.state.removeStaged(withdrawn.name);
    this.relieve();
  }

  /** Gives up the queues that are too long, as long as one destination keeps up. */
  relieve(): void {
    const { inTurn, stagingBytes } = this.#options;
    const isLong = ({ pendingBytes }: Destination): boolean => pendingBytes >= stagingBytes;
    const keepsUp = (each: Destination): boolean => !each.isFailing && !isLong(each);
    if (!this.list.some(keepsUp)) return;
    for (const destination of this.list) {
      const isLeader = inTurn && destination === this.first;
      if (isLong(destination) && !isLeader && !destination.wantsCut) destination.dropPending();
    }
  }

  /** Whether a staged file is kept for any of them. */
  needs(name: string): boolean {
    return this.list.some((destination) => destination.needs(name));
  }

  /** The replicas beside one that have a TXID of the same history. */
  others(replica: Replica, txid: bigint): Replica[] {
    return this.list
      .filter((other) => other.replica !== replica && other.hasOurs(txid))
      .map((other) => other.replica);
  }

  /** What the user sees, as of the monotonic time `now`. */
  status(now: number): DestinationStatus[] {
    return this.list.map((destination) => {
      const { name, state, replicated, since, pendingBytes, error } = destination;
      const lagMs = since === undefined ? 0 : now - since;
      return { name, state, replicated, lagMs, pendingBytes, error };
    });
  }
}
