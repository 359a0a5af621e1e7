/**
 * The holds: a transaction commits only after the store has confirmed the file that holds it.
 *
 * `prepare` cuts the file at once, together with whatever the open group holds, and keeps the transaction back until the
 * file is confirmed. When that takes too long, or the transaction does not commit although the file is confirmed, the
 * store may be ahead of the database. Then the next file brings the database's own images of the pages concerned: under
 * the same TXID where the outcome is unknown, so that creating it proves that the first never landed; one later where
 * the first is found there. A database without such pages, as while it is empty, has nothing to create: then the first is
 * uploaded to the end.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction } from "../core/commit-source.ts";
import type { Clock } from "../core/platform.ts";
import type { CommitCollector, HeldCut } from "./commit-collector.ts";
import { notStarted, OutcomeUnknownError } from "./errors.ts";
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";
import type { Uploader } from "./uploader.ts";

/** What {@linkcode HeldCommits} works with. */
export interface HeldCommitsOptions {
  readonly collector: CommitCollector;
  readonly uploader: Uploader;
  readonly state: LocalState;
  readonly clock: Clock;
  /** What to call the database in errors. */
  readonly name: string;
  /** How long a COMMIT may wait, in milliseconds. */
  readonly deadlineMs: number;
  /** Why replication has stopped: then nothing more is let through. */
  readonly stopped: () => Error | undefined;
  /** Gives up a file that may or may not be in the store. */
  readonly withdraw: (file: StagedFile) => void;
  /** The transaction whose file is confirmed has committed. */
  readonly committed: () => void;
  /** A transaction with this sequence did not commit, and the store may hold it. */
  readonly ahead: (sequence: number) => void;
  /** Why nothing can be held at this moment. */
  readonly notReady: () => Error | undefined;
  /** Blocks the thread until a file is confirmed, in place of a promise. */
  readonly block?: BlockingUpload | undefined;
}

/** Uploads what waits and then a file; returns why it is not confirmed. */
export type BlockingUpload = (files: readonly StagedFile[]) => string | undefined;

interface Hold extends HeldCut {
  readonly sequence: number;
  /** Ends the wait, well or with an error; a second call changes nothing. */
  readonly end: (error?: Error) => void;
  /** Whether the first store has it: then it will not be withdrawn any more. */
  confirmed: boolean;
  /** Whether the transaction may commit, or has been told that it may not. */
  ended: boolean;
}

/** Keeps one transaction at a time back until its file is confirmed. */
export class HeldCommits implements CommitListener {
  readonly #options: HeldCommitsOptions;
  #hold: Hold | undefined;
  /** A file that was given up and is uploaded all the same. */
  #kept: StagedFile | undefined;

  constructor(options: HeldCommitsOptions) {
    this.#options = options;
  }

  prepare(transaction: CommittedTransaction): void | Promise<void> {
    const { collector, uploader, state, clock, name, deadlineMs, block } = this.#options;
    const { stopped, notReady } = this.#options;
    const stop =
      stopped() ?? (collector.last === undefined ? notStarted(name) : undefined) ?? notReady();
    if (stop !== undefined) throw stop;
    if (uploader.hasRival || this.#kept !== undefined) {
      throw new OutcomeUnknownError({
        operation: "commit",
        object: name,
        what: "it is not known yet whether the store has the transaction that was given up before",
        next: "Try again; once the store answers the replica is set right",
      });
    }
    const cut = collector.cutHeld(transaction);
    try {
      // After a power cut only this tells our own file, which nobody was promised, from a state that was lost.
      state.syncStaged(cut.file.name);
    } catch (error) {
      collector.withdraw(cut);
      throw error;
    }
    const { sequence } = transaction;
    if (block !== undefined) {
      const failure = block([...uploader.pending, cut.file]);
      const confirmed = failure === undefined;
      this.#hold = { ...cut, sequence, end: () => {}, confirmed, ended: confirmed };
      if (failure !== undefined) throw this.#giveUp(failure);
      uploader.confirmed(cut.file);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const cancel = clock.schedule(
        () => this.#giveUp(`the store has not confirmed it within ${deadlineMs} ms`),
        deadlineMs,
      );
      const end = (error?: Error): void => {
        cancel();
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#hold = { ...cut, sequence, end, confirmed: false, ended: false };
      uploader.add(cut.file);
    });
  }

  commit(transaction: CommittedTransaction): void {
    const hold = this.#hold;
    if (hold?.sequence !== transaction.sequence) {
      this.#options.collector.commit(transaction);
      return;
    }
    this.#hold = undefined;
    hold.end();
    this.#options.committed();
    this.#options.collector.committed(transaction);
  }

  rolledBack(): void {
    const hold = this.#hold;
    if (hold === undefined) return;
    if (!hold.ended) {
      this.#giveUp("it was rolled back before the store had confirmed it");
      return;
    }
    this.#hold = undefined;
    this.#options.ahead(hold.sequence);
    this.#options.collector.bringBack(hold.file);
  }

  needsFull(reason: string): void {
    this.#options.collector.needsFull(reason);
  }

  lost(error: Error): void {
    this.#options.collector.lost(error);
  }

  /** Whether the transaction of a file has not committed, or not yet. */
  isHeld(file: StagedFile): boolean {
    return this.#hold?.file === file || this.#kept === file;
  }

  /** A file is confirmed; where `enough` stores have it, the transaction that waits for it may commit. */
  uploaded(file: StagedFile, enough: boolean): void {
    if (this.#kept === file) this.#kept = undefined;
    if (this.#hold?.file !== file) return;
    this.#hold.confirmed = true;
    if (!enough || this.#hold.ended) return;
    this.#hold.ended = true;
    this.#hold.end();
  }

  /** Ends a wait: replication has stopped. */
  fail(error: Error): void {
    const hold = this.#hold;
    if (hold === undefined || hold.ended) return;
    this.#hold = undefined;
    hold.end(error);
  }

  /** Lets the transaction roll back with nobody knowing whether the store has it. Returns what COMMIT fails with. */
  #giveUp(what: string): OutcomeUnknownError {
    const { collector, uploader, name, ahead } = this.#options;
    const hold = this.#hold as Hold;
    const { file } = hold;
    this.#hold = undefined;
    ahead(hold.sequence);
    const error = new OutcomeUnknownError({
      operation: "commit",
      object: name,
      what,
      next: "The transaction is rolled back here; try it again",
    });
    hold.end(error);
    if (hold.confirmed) {
      collector.bringBack(file);
    } else if (collector.canReplace(file) && this.#withdraw(file)) {
      collector.withdraw(hold);
    } else {
      this.#kept = file;
      if (!uploader.pending.includes(file)) uploader.add(file);
      collector.bringBack(file);
    }
    return error;
  }

  /** False where what would tell the file in the store cannot be kept: then it is uploaded all the same. */
  #withdraw(file: StagedFile): boolean {
    try {
      this.#options.withdraw(file);
      return true;
    } catch {
      return false;
    }
  }
}
