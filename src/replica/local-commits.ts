/**
 * Durability `local`: a transaction is on stable storage of this machine, beside the database, before it commits.
 *
 * It is logged in `prepare`; when its group is cut, the file is synced before the log is emptied. So every acknowledged
 * commit is in the log, in a staged file, or in the replica, whatever becomes of the database file.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction } from "../core/commit-source.ts";
import type { CommitCollector } from "./commit-collector.ts";
import { CommitLog } from "./commit-log.ts";
import { notStarted, StagingFullError } from "./errors.ts";
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";

/** What {@linkcode LocalCommits} works with. */
export interface LocalCommitsOptions {
  readonly collector: CommitCollector;
  readonly state: LocalState;
  /** What to call the database in errors. */
  readonly name: string;
  /** Bytes of the log after which its group is cut. */
  readonly groupBytes: number;
  /** Bytes that may wait for the store. */
  readonly stagingBytes: number;
  /** Bytes of staged files that wait for the store. */
  readonly staged: () => number;
  /** Why replication has stopped: then nothing more is let through. */
  readonly stopped: () => Error | undefined;
}

/** Logs each transaction before the collector takes it in. */
export class LocalCommits implements CommitListener {
  readonly #options: LocalCommitsOptions;
  readonly #log: CommitLog;
  /** Names of files whose bytes may not be on stable storage yet. */
  readonly #unsynced = new Set<string>();
  /** Whether the last record is of a transaction that has not ended yet. */
  #prepared = false;
  #committing = false;

  constructor(options: LocalCommitsOptions) {
    this.#options = options;
    this.#log = new CommitLog(options.state);
  }

  /** Bytes in the log. */
  get bytes(): number {
    return this.#log.bytes;
  }

  prepare(transaction: CommittedTransaction): void {
    const { collector, name, stagingBytes, staged, stopped } = this.#options;
    const stop = stopped() ?? (collector.last === undefined ? notStarted(name) : undefined);
    if (stop !== undefined) throw stop;
    if (this.#log.bytes > stagingBytes / 2) this.#shorten();
    if (staged() + this.#log.bytes >= stagingBytes) {
      throw new StagingFullError({
        operation: "commit",
        object: name,
        what: `the store does not answer and ${stagingBytes} bytes wait for it already`,
        next: "Bring the store back, or allow more stagingBytes",
      });
    }
    this.#log.append(transaction, collector.next);
    this.#prepared = true;
  }

  commit(transaction: CommittedTransaction): void {
    const { collector, groupBytes } = this.#options;
    this.#prepared = false;
    this.#committing = true;
    try {
      collector.commit(transaction);
      if (this.#log.bytes > groupBytes) collector.cut();
    } finally {
      this.#committing = false;
    }
    this.#clear();
  }

  rolledBack(): void {
    if (this.#prepared) this.#log.rollBack();
    this.#prepared = false;
  }

  needsFull(reason: string): void {
    this.#options.collector.needsFull(reason);
  }

  lost(error: Error): void {
    this.#options.collector.lost(error);
  }

  /** Makes cut files last, after which the log is not needed for what they hold. Throws what local storage throws. */
  staged(files: readonly StagedFile[]): void {
    for (const { name } of files) this.#unsynced.add(name);
    for (const name of this.#unsynced) {
      this.#options.state.syncStaged(name);
      this.#unsynced.delete(name);
    }
    this.#clear();
  }

  /** Forgets the log: another writer's history has begun. */
  forget(): void {
    this.#log.clear();
  }

  /** Empties the log once files hold all of it; not while the transaction logged last is on its way into the group. */
  #clear(): void {
    if (this.#committing || this.#unsynced.size > 0 || this.#log.bytes === 0) return;
    if (this.#options.collector.isEmpty) this.#log.clear();
  }

  /** Keeps only the newest image of each page, where that halves the log at least. */
  #shorten(): void {
    const { collector } = this.#options;
    const { group } = collector;
    const isAll = group.complete && group.content === "images" && !collector.isReading;
    if (isAll && group.bytes < this.#log.bytes / 2) this.#log.fold(group, collector.next);
  }
}
