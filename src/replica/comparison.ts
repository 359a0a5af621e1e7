/**
 * The comparison of a database with a replica, once staged files are settled.
 *
 * The digests of the replica's newest state come from the marker, brought forward by reading the files after it, or
 * without a marker from reading the whole replica once. Then the database is
 *
 * - equal: replication goes on with increments,
 * - *behind*, when it differs and equals an earlier state: the caller's rule decides,
 * - ahead, or on a way of its own: the next file brings the pages that differ. All pages, where the replica contradicts
 *   the marker, cannot be read, or has another page size.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { findEarlierState, isDamage } from "./behind.ts";
import { DatabaseBehindError } from "./errors.ts";

import { type KnownMarker, markerOf } from "./known-marker.ts";
import { stageMissingL0 } from "./level-repair.ts";
import type { ComparedState, LocalPages } from "./local-pages.ts";
import type { LocalState } from "./local-state.ts";
import type { Marker } from "./marker.ts";
import type { PageDigest } from "./page-digest.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { replayStates, stepsBetween } from "./replica-states.ts";
import { type SettledFiles, survivors } from "./settle-staged.ts";
import { type StagedFile, withSnapshots } from "./staged-file.ts";

/** What a start has to tell; see `ReplicationEvent`. */
export type StartEvent =
  | { readonly type: "evicted"; readonly restored: bigint | undefined }
  | { readonly type: "behind"; readonly txid: bigint; readonly newestTxid: bigint }
  | { readonly type: "forked"; readonly txid: bigint };

/** What came of a comparison. */
export interface Findings {
  /** The replica's newest state, where it is known. Its table does not yet hold `promoted`. */
  readonly marker: Marker | undefined;
  /** Files that have to be uploaded before any other, in order. */
  readonly promoted: readonly StagedFile[];
  /** Why the next file must hold every page; `undefined` when it need not. */
  readonly needsFull: string | undefined;
  /** Whether that file makes an earlier state the new truth. */
  readonly adopts: boolean;
  /** The pages that the next file must hold: all that differ from the replica's newest state. */
  readonly differing: Uint32Array<ArrayBuffer>;
  /** Sequence of the commit boundary at which the database was compared; -1 where it was not. */
  readonly sequence: number;
  /** What the user is told. */
  readonly events: readonly StartEvent[];
}

/** What is found when nothing was looked at. */
export const NOTHING_FOUND: Findings = {
  marker: undefined,
  promoted: [],
  needsFull: undefined,
  adopts: false,
  differing: new Uint32Array(0),
  sequence: -1,
  events: [],
};

/** What a {@linkcode Comparison} works with. */
export interface ComparisonOptions {
  readonly source: CommitSource;
  readonly replica: Replica;
  readonly state: LocalState;
  /** All files of the replica. */
  readonly files: readonly LtxFileInfo[];
  /** Those of level 0. */
  readonly l0: readonly LtxFileInfo[];
  /** Largest TXID of the replica; page size and header time of the file that ends with it. */
  readonly maxTxid: bigint;
  readonly pageSize: number;
  readonly time: bigint;
  readonly known: KnownMarker;
  readonly settled: SettledFiles;
  /** Computes digests under the key of `known`. */
  readonly digest: PageDigest;
  readonly local: LocalPages;
  readonly onBehind: "refuse" | "adopt" | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Compares one database with one replica. */
export class Comparison {
  readonly #options: ComparisonOptions;
  /** Newest state before the replica's newest that the database was seen to equal. */
  #behind: bigint | undefined;
  /** Whether it was seen to equal a state that only our own files come after. */
  #isOvertaken = false;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** Throws `DatabaseBehindError` where the database is behind and may not go on as it is. */
  async run(): Promise<Findings> {
    const { settled, known, maxTxid, local } = this.#options;
    const { marker, repair, waiting } = settled;
    const start = {
      ...NOTHING_FOUND,
      marker,
      promoted: repair === undefined ? [] : [repair],
    };
    const isNewest = marker?.state.txid === maxTxid;
    // What a restore told may be anybody's.
    const own = known.local === undefined;
    const proven = isNewest ? { ...comparable(marker), own } : undefined;
    const survived = survivors(waiting, proven, local);
    if (survived !== undefined) return this.#goOn(start, survived);
    if (maxTxid === 0n) {
      return { ...start, needsFull: known.contradiction ?? "the replica is empty" };
    }
    const newest = await this.#readNewest(start);
    if (newest === undefined) {
      return { ...NOTHING_FOUND, needsFull: "the replica cannot be read to its end" };
    }
    const state = comparable(newest.marker as Marker);
    const late = survivors(waiting, { ...state, own: false }, local);
    if (late !== undefined || local.isSame(state)) return this.#goOn(newest, late ?? []);
    return await this.#differ(newest, state);
  }

  /** TXID from which on no state is an earlier one: what came after was staged here, and is known to be ours. */
  get #notBehindFrom(): bigint {
    return this.#options.settled.ownFrom - 1n;
  }

  /**
   * Finds the replica's newest state; notes on the way which earlier states the database equals. `undefined` where the
   * replica is damaged: then nobody could restore that state either.
   */
  async #readNewest(start: Findings): Promise<Findings | undefined> {
    const { replica, files, l0, maxTxid, known, digest, local, signal } = this.#options;
    const { marker } = start;
    try {
      const promoted = await this.#repaired(start);
      if (marker?.state.txid === maxTxid) return { ...start, promoted };
      const steps = stepsBetween(files, marker?.state.txid ?? 0n, maxTxid);
      if (steps === undefined) return undefined;
      const from = marker && { ...comparable(marker), txid: marker.state.txid };
      const state = await replayStates(replica, steps, {
        from,
        digest,
        signal,
        passed: async (passed) => {
          if (!(await local.equals(passed))) return;
          if (passed.txid < this.#notBehindFrom) this.#behind = passed.txid;
          else this.#isOvertaken = true;
        },
      });
      const reached = await markerOf({ ...state, txid: maxTxid }, known.key, {
        replica,
        l0,
        signal,
      });
      return { ...start, promoted, marker: reached };
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  /** The files to upload first, with the L0 file of the newest state where the replica and the staged files lack it. */
  async #repaired(start: Findings): Promise<readonly StagedFile[]> {
    const { replica, state, l0, maxTxid: txid, time, digest, signal } = this.#options;
    if (start.promoted.length > 0 || l0.some((file) => file.maxTxid === txid)) {
      return start.promoted;
    }
    return [await stageMissingL0(replica, state, { txid, time, digest, signal })];
  }

  /** Replication goes on from what the database holds, once these files are uploaded. */
  #goOn(start: Findings, survived: readonly StagedFile[]): Findings {
    const { state, pageSize, local, source } = this.#options;
    const { sequence } = local;
    let { marker } = start;
    const mark = source.mark?.(sequence);
    // Nothing lies between the state compared and the marker's: the next start may recognise it.
    if (marker !== undefined && mark !== undefined && survived.length === 0) {
      marker = { ...marker, state: { ...marker.state, mark } };
    }
    const promoted = [...start.promoted, ...withSnapshots(state, survived, pageSize)];
    // Together they lead to the state compared: before the last of them it is not in the store.
    const last = promoted.length - 1;
    const sequenced = promoted.map((file, i) => (i === last ? { ...file, sequence } : file));
    return { ...start, marker, sequence, promoted: sequenced };
  }

  /** Decides what a database is that neither the newest state nor a staged file explains. */
  async #differ(start: Findings, newest: ComparedState): Promise<Findings> {
    const { local, known, maxTxid: txid } = this.#options;
    const behind = this.#isOvertaken
      ? undefined
      : (this.#behind ?? (await this.#findEarlier(newest)));
    if (behind !== undefined) return this.#decide(start, behind);
    const events: StartEvent[] = this.#isForked ? [{ type: "forked", txid }] : [];
    const resized = local.pageSize !== newest.pageSize;
    const needsFull =
      known.contradiction ?? (resized ? "the page size is not the replica's" : undefined);
    if (needsFull !== undefined) return { ...start, needsFull, events };
    const unlike = local.table.unlike(newest.table);
    // Where only the size is smaller, a file has to say so all the same.
    const differing = unlike.length === 0 ? Uint32Array.of(1) : unlike;
    return { ...start, differing, sequence: local.sequence, events };
  }

  /** Looks for the database among the states before the marker's; those after it were passed on the way. */
  async #findEarlier(newest: ComparedState): Promise<bigint | undefined> {
    const { replica, files, maxTxid, settled, local, digest, signal } = this.#options;
    const { marker } = settled;
    // Without a marker all states were passed.
    if (marker === undefined) return undefined;
    const pgno = await local.firstUsedUnlike(newest);
    if (pgno === 0 && local.table.size === newest.table.size) return undefined;
    const steps = stepsBetween(files, 0n, maxTxid);
    if (steps === undefined) return undefined;
    const { txid } = marker.state;
    const before = txid < this.#notBehindFrom ? txid : this.#notBehindFrom;
    try {
      const options = { replica, steps, local, pgno: pgno || 1, before, digest, signal };
      return await findEarlierState(options);
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  /** Whether the replica holds files of another writer after what is known here. */
  get #isForked(): boolean {
    const { known, settled, maxTxid } = this.#options;
    const { marker, ownFrom } = settled;
    if (this.#isOvertaken) return false;
    if (marker === undefined) return known.contradiction !== undefined;
    return marker.state.txid < maxTxid && marker.state.txid + 1n < ownFrom;
  }

  /** What becomes of a database that is behind. */
  #decide(start: Findings, txid: bigint): Findings {
    const { source, known, onBehind, maxTxid: newestTxid } = this.#options;
    if (onBehind !== "adopt") {
      const { chosen } = known;
      throw new DatabaseBehindError(source.name, { txid, newestTxid, chosen });
    }
    return {
      ...start,
      needsFull: "the database is behind, and its state is adopted",
      adopts: true,
      events: [
        { type: "behind", txid, newestTxid },
        { type: "forked", txid: newestTxid },
      ],
    };
  }
}

/** What of a marker is compared. */
function comparable({ state, table }: Marker): ComparedState {
  return { pageSize: state.pageSize, table };
}
