/**
 * The one listener that a captured path can have. Whatever it throws stays here: SQLite has committed by then.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction } from "../core/commit-source.ts";
import { type Changes, LivePages } from "./live-pages.ts";
import { lostError } from "./not-captured.ts";

/** Room for a listener; without one, nothing happens. */
export class ListenerSlot {
  listener: CommitListener | undefined;

  /** Hands over a commit; returns why it could not be taken, or undefined. */
  commit(
    { pageSize, commit, full, pgnos, read }: Changes,
    at: Pick<CommittedTransaction, "sequence" | "previousCommit">,
  ): string | undefined {
    const pages = new LivePages(pgnos, read);
    try {
      this.listener?.commit({ ...at, pageSize, commit, full, pages });
      return undefined;
    } catch (error) {
      return `the listener failed: ${reasonOf(error)}`;
    } finally {
      pages.end();
    }
  }

  /** Says that continuity is in doubt. */
  doubt(reason: string): void {
    try {
      this.listener?.needsFull(reason);
    } catch {
      // A listener that fails at this has no way left to say so.
    }
  }

  /** Says that nothing more of the database can be seen. */
  lost(name: string, what: string): void {
    try {
      this.listener?.lost?.(lostError(name, what));
    } catch {
      // Closing goes on, whatever the listener thinks of it.
    }
  }
}

/** What something thrown says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
