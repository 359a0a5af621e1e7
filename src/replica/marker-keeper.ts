/**
 * Keeps the marker of a running replication: moves it with every confirmed file, syncs it within a second.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import type { LocalState } from "./local-state.ts";
import { encodeNonce, type Marker, MarkerLog } from "./marker.ts";
import { type PageDigests, PageTable } from "./page-table.ts";
import type { StagedFile } from "./staged-file.ts";

/** The marker is durable this long after a change at the latest, and about as long passes between two syncs. */
const SYNC_MS = 1_000;
/** A sync that is due so soon comes at once: where files come once a second the program need not wake up for it. */
const AWAKE_MS = 250;

/** What a {@linkcode MarkerKeeper} works with. */
export interface MarkerKeeperOptions {
  readonly state: LocalState;
  /** `description` of the replica's store. */
  readonly replica: string;
  readonly clock: Clock;
  /** Of the leases that this database's writer takes, where it takes any. */
  readonly nonce?: string | undefined;
  /** A marker that cannot be written costs a full file at the next start, and no data. */
  readonly onError: (error: unknown) => void;
}

/** The marker while replication runs; without one until a full file is confirmed. */
export class MarkerKeeper {
  readonly #options: MarkerKeeperOptions;
  #log: MarkerLog | undefined;
  #key: Uint8Array = new Uint8Array(0);
  #cancelSync: (() => void) | undefined;
  #syncedAt = Number.NEGATIVE_INFINITY;

  constructor(options: MarkerKeeperOptions) {
    this.#options = options;
  }

  /** TXID of the marker; `undefined` without one. */
  get txid(): bigint | undefined {
    return this.#log?.current.txid;
  }

  /** Starts from a proven marker, or from none; digests come under `key`. */
  begin(marker: Marker | undefined, key: Uint8Array): void {
    const { state, nonce } = this.#options;
    this.#key = key;
    this.#try(() => {
      this.#log = marker && new MarkerLog(state, { ...marker, nonce });
      if (marker !== undefined) return;
      // What is on disk speaks of a state that is no longer proven.
      if (nonce === undefined || !state.durable) state.removeMarker();
      else state.replaceMarker(encodeNonce(nonce));
    });
  }

  /**
   * Moves on to the state of an L0 file that a store has confirmed; never back. Where files before it were confirmed
   * nowhere, `all` are the digests of every page of its state.
   */
  confirm(file: StagedFile, all?: PageDigests): void {
    const { maxTxid: txid, pageSize, commit } = file.header;
    const current = this.#log?.current.txid;
    if (current !== undefined && txid <= current) return;
    const fileName = formatFileName(txid, txid);
    const { fileChecksum, mark } = file;
    const next = { txid, pageSize, commit, fileName, fileChecksum, mark };
    const whole = file.full ? file.digests : all;
    this.#try(() => {
      if (current !== undefined && (file.full || txid === current + 1n)) {
        this.#log?.advance(next, file.digests);
      } else if (whole !== undefined) {
        const { state, replica, nonce } = this.#options;
        const table = new PageTable(commit);
        table.apply(whole);
        this.#log = new MarkerLog(state, { replica, key: this.#key, state: next, table, nonce });
      } else if (current !== undefined) {
        this.forget();
      }
    });
    const { clock } = this.#options;
    const wait = this.#syncedAt + SYNC_MS - clock.monotonic();
    this.#cancelSync ??= clock.schedule(
      () => {
        this.#cancelSync = undefined;
        this.#syncedAt = clock.monotonic();
        this.#try(() => this.#log?.sync());
      },
      wait < AWAKE_MS ? 0 : wait,
    );
  }

  /** Removes the marker: another writer's history has begun. */
  forget(): void {
    this.#log = undefined;
    this.#options.state.removeMarker();
  }

  /** Makes the marker durable as it stands. */
  close(): void {
    this.#cancelSync?.();
    this.#cancelSync = undefined;
    this.#try(() => this.#log?.close());
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#log = undefined;
      this.#options.onError(error);
    }
  }
}
