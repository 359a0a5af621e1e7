/**
 * All replicas of one primary: which of them a wait needs, what may be cut, which files are still needed.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { Destination } from "./destination.ts";
import type { Replica } from "./replica.ts";
import type { DestinationStatus, WaitOptions } from "./replication.ts";
import type { StagedFile } from "./staged-file.ts";

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
}

/** The destinations of one primary, in the order they were given. */
export class Destinations {
  readonly list: readonly Destination[];
  readonly #options: DestinationsOptions;

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

  /** With a hold: it is settled what the first has under the name of a file, and the others get what is staged there. */
  settled(destination: Destination, file: StagedFile): void {
    if (!this.#options.inTurn || destination !== this.first) return;
    for (const other of this.list.slice(1)) other.take([file]);
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
