/**
 * One replica of a primary: what reaches it, how far it has come, and how it is doing.
 *
 * @module
 */
import type { PagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { ConflictError } from "./errors.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import type { SnapshotResult, WaitOptions } from "./replication.ts";
import { SnapshotWriter, type SnapshotWriterOptions } from "./snapshot.ts";
import type { StagedFile } from "./staged-file.ts";
import { Uploader } from "./uploader.ts";
import { type ReplicaWriter, replicaWriter } from "./writer.ts";

/** Who is told what happens at a {@linkcode Destination}. */
export interface DestinationEvents {
  /** A file is in the store, confirmed; it is still staged. */
  uploaded(destination: Destination, file: StagedFile): void;
  /** Under the name of `file` the store holds `landed`, which was withdrawn. */
  superseded(destination: Destination, landed: StagedFile, file: StagedFile): void;
  /** The store failed beyond the retry policy; attempts continue. */
  stalled(destination: Destination, error: PagestreamError): void;
  /** The store answers again after it was reported stalled. */
  recovered(destination: Destination): void;
  /** Another writer owns the next name; nothing more is uploaded. */
  conflict(destination: Destination, error: ConflictError): void;
}

/** What a {@linkcode Destination} works with. */
export interface DestinationOptions extends Pick<
  SnapshotWriterOptions,
  "source" | "collector" | "flush" | "waitFor" | "stopped"
> {
  readonly replica: Replica;
  readonly state: LocalState;
  readonly platform: Platform;
  readonly events: DestinationEvents;
}

/** A full file that ends doubts about continuity once it is confirmed. */
export interface DoubtsEnd {
  readonly txid: bigint;
  /** How many of the source's doubts it ends. */
  readonly doubts: number;
}

/** One replica, its queue of files and its cursor. */
export class Destination {
  /** What it writes to. */
  readonly replica: Replica;
  /** The only way a file, or its removal, reaches the replica. */
  readonly writer: ReplicaWriter;
  /** The L0 files on their way. */
  readonly uploader: Uploader;
  readonly #snapshots: SnapshotWriter;
  #replicated = 0n;
  /** Sequence of the last commit that the store has; -1 before the database is known to be there at all. */
  #sequence = -1;
  /** How many of the source's doubts about continuity have ended with a full file in the store. */
  #settledDoubts = 0;

  constructor(options: DestinationOptions) {
    const { replica, state, platform, events } = options;
    this.replica = replica;
    this.writer = replicaWriter(replica);
    this.uploader = new Uploader({
      writer: this.writer,
      state,
      platform,
      events: {
        uploaded: (file) => events.uploaded(this, file),
        superseded: (landed, file) => events.superseded(this, landed, file),
        stalled: (error) => events.stalled(this, error),
        recovered: () => events.recovered(this),
        conflict: (error) => events.conflict(this, error),
      },
    });
    const { source, collector, flush, waitFor, stopped } = options;
    this.#snapshots = new SnapshotWriter({
      source,
      writer: this.writer,
      state,
      platform,
      collector,
      flush,
      waitFor,
      uploaded: (file) => events.uploaded(this, file),
      stopped,
    });
  }

  /** What the store calls itself. */
  get name(): string {
    return this.replica.description;
  }

  /** Last TXID confirmed by the store. */
  get replicated(): bigint {
    return this.#replicated;
  }

  /** The store has the state `txid`; which commits that holds is known where `sequence` is given. */
  begin(txid: bigint, sequence: number | undefined): void {
    this.#replicated = txid;
    this.#sequence = sequence ?? -1;
  }

  /** Whether the store has all commits up to `sequence`, and whatever ends `doubts` doubts. */
  has(sequence: number, doubts: number): boolean {
    return this.#sequence >= sequence && this.#settledDoubts >= doubts;
  }

  /** An L0 file is confirmed: moves the cursor. */
  confirm(file: StagedFile, doubtsEnd: DoubtsEnd | undefined): void {
    const { maxTxid } = file.header;
    this.#replicated = maxTxid;
    this.#sequence = Math.max(this.#sequence, file.sequence);
    if (doubtsEnd !== undefined && maxTxid >= doubtsEnd.txid) {
      this.#settledDoubts = doubtsEnd.doubts;
    }
  }

  /** As of commit `sequence` there is nothing to upload. */
  nothingUpTo(sequence: number, doubts: number): void {
    this.#sequence = sequence;
    this.#settledDoubts = doubts;
  }

  /** The store may hold a transaction with this sequence that was rolled back: the next file sets that right. */
  ahead(sequence: number): void {
    this.#sequence = Math.min(this.#sequence, sequence - 2);
  }

  /** Uploads what is committed, and then the whole database as a file of level 9. */
  snapshot(options: WaitOptions): Promise<SnapshotResult> {
    return this.#snapshots.write(options);
  }

  /** Ends all work; what is not confirmed stays staged. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    await Promise.all([this.#snapshots.end(), this.uploader.stop()]);
  }
}
