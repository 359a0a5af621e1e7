/**
 * A followed copy in memory.
 *
 * @module
 */
import { setJournalHeader } from "../core/database-header.ts";
import type { CopyState, FollowStep, FollowTarget, NextState } from "./follow-target.ts";

/** Holds a copy as bytes. */
export interface BytesFollowTarget extends FollowTarget {
  /**
   * The database of the newest step, marked for a rollback journal, since a database in memory has no WAL. Each step
   * makes a new array and leaves the ones before it as they are: who reads one has its state for good.
   */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Makes a target in memory, empty at first. Every step copies the whole database: meant for small ones; a follower of a
 * large one belongs on disk.
 */
export function bytesFollowTarget(): BytesFollowTarget {
  let state: CopyState | undefined;
  let bytes = new Uint8Array(0);
  return {
    name: "memory",
    get state() {
      return state;
    },
    get bytes() {
      return bytes;
    },
    open() {},
    begin(next: NextState): FollowStep {
      const { txid, pageSize, commit } = next;
      // Grows with what arrives rather than with what was announced: a header may announce terabytes.
      const pages = new Map<number, Uint8Array>();
      return {
        write(pgno, page) {
          const copy = page.slice();
          if (pgno === 1) setJournalHeader(copy, "rollback");
          pages.set(pgno, copy);
        },
        commit() {
          const result = new Uint8Array(commit * pageSize);
          if (!next.isWhole) result.set(bytes.subarray(0, result.length));
          for (const [pgno, page] of pages) result.set(page, (pgno - 1) * pageSize);
          bytes = result;
          state = { txid, atMost: txid, pageSize, commit };
        },
        abort() {},
      };
    },
    close() {},
  };
}
