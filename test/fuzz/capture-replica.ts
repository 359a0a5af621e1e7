/**
 * A replica that knows nothing but commit events, and the comparison with the file itself.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction } from "../../src/core/commit-source.ts";

/** What a page that was never delivered looks like: nothing that SQLite would write by chance. */
const UNSEEN = 0xee;

/** A copy of a database, kept only from what a capture delivers. */
export class EventReplica implements CommitListener {
  pageSize = 0;
  commitSize = 0;
  /** Commits and pages applied. */
  commits = 0;
  pages = 0;
  /** The first thing that went wrong. */
  problem: string | undefined;
  #bytes = new Uint8Array(0);
  readonly #readFile: () => Uint8Array | undefined;

  /** @param readFile the bytes of the database file at this moment, not by way of SQLite */
  constructor(readFile: () => Uint8Array | undefined) {
    this.#readFile = readFile;
  }

  commit(transaction: CommittedTransaction): void {
    const { pageSize, commit, previousCommit, full, pages } = transaction;
    if (previousCommit !== this.commitSize) {
      this.#fail(`previousCommit is ${previousCommit}, the replica has ${this.commitSize} pages`);
    }
    if (full !== (this.pageSize !== 0 && this.pageSize !== pageSize)) this.#fail("full is wrong");
    const bytes = new Uint8Array(pageSize * commit);
    if (full) bytes.fill(UNSEEN);
    else {
      const kept = this.#bytes.subarray(0, Math.min(this.#bytes.length, bytes.length));
      bytes.set(kept);
      bytes.fill(UNSEEN, kept.length);
    }
    const lock = 0x4000_0000 / pageSize + 1;
    let last = 0;
    for (const [index, pgno] of pages.pgnos.entries()) {
      if (pgno <= last || pgno > commit || pgno === lock) this.#fail(`page ${pgno} after ${last}`);
      bytes.set(pages.read(index), (pgno - 1) * pageSize);
      last = pgno;
    }
    this.#bytes = bytes;
    this.pageSize = pageSize;
    this.commitSize = commit;
    this.commits++;
    this.pages += pages.pgnos.length;
    this.compare(`commit ${transaction.sequence}`);
  }

  needsFull(reason: string): void {
    if (!reason.includes("while it was not open")) {
      this.#fail(`needsFull: ${reason}`);
      return;
    }
    // In WAL mode nothing in the header proves that nobody wrote meanwhile.
    const file = this.#readFile() ?? new Uint8Array(0);
    this.#bytes = file.slice();
    this.commitSize = this.pageSize === 0 ? 0 : file.length / this.pageSize;
  }

  /** Compares the replica with the file, byte for byte. */
  compare(when: string): void {
    const file = this.#readFile() ?? new Uint8Array(0);
    if (Buffer.compare(file, this.#bytes) === 0) return;
    if (file.length !== this.#bytes.length) {
      return this.#fail(`${when}: ${file.length} bytes in the file, ${this.#bytes.length} here`);
    }
    const at = file.findIndex((byte, i) => byte !== this.#bytes[i]);
    this.#fail(`${when}: page ${Math.floor(at / this.pageSize) + 1} differs`);
  }

  /** The replica's bytes. */
  bytes(): Uint8Array {
    return this.#bytes;
  }

  #fail(problem: string): void {
    this.problem ??= problem;
  }
}
