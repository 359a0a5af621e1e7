/**
 * A replica that knows nothing but what a capture delivers, and the comparison with the file itself.
 *
 * @module
 */
import type {
  CommitListener,
  CommittedTransaction,
  DatabaseImage,
} from "../../src/core/commit-source.ts";
import { firstDifference } from "./free-pages.ts";

/** What a page that was never delivered looks like: nothing that SQLite would write by chance. */
const UNSEEN = 0xee;
/** Commits whose states are remembered, to compare images with. */
const REMEMBERED = 50;

/** A commit with its own copies of the pages. */
interface Commit {
  readonly sequence: number;
  readonly pageSize: number;
  readonly commit: number;
  readonly previousCommit: number;
  readonly full: boolean;
  readonly pages: readonly (readonly [pgno: number, data: Uint8Array])[];
}

/** The states of one database, kept only from what a capture delivers. */
export class EventReplica implements CommitListener {
  pageSize = 0;
  commitSize = 0;
  sequence = 0;
  /** Commits and pages that were delivered, and transactions that were prepared. */
  commits = 0;
  pages = 0;
  prepared = 0;
  /** Times that continuity was in doubt. */
  doubts = 0;
  /** Why continuity is in doubt now; an image ends it. */
  doubt: string | undefined;
  /** Set once the capture has said that it sees no more. */
  lostBecause: Error | undefined;
  /** The first thing that went wrong. */
  problem: string | undefined;
  /** How often something was done beside the capture that it may answer with doubt. */
  excuses = 0;
  /** A transaction of somebody else was rolled back: free pages may have changed and nobody was told. */
  looseFreePages = false;
  /** What `prepare` answers. */
  answer: () => void | Promise<void> = () => {};
  #bytes = new Uint8Array(0);
  /** Excuses that came before the last image. */
  #settled = 0;
  /** Pages of the transaction that was prepared last. */
  #held: Commit | undefined;
  /** Commits since the doubt began: which of them the image includes is not known yet. */
  #waiting: Commit[] = [];
  readonly #states = new Map<number, Uint8Array>();
  readonly #readFile: () => Uint8Array | undefined;

  /** @param readFile the bytes of the database at this moment, not by way of SQLite */
  constructor(readFile: () => Uint8Array | undefined) {
    this.#readFile = readFile;
  }

  prepare(transaction: CommittedTransaction): void | Promise<void> {
    if (this.#held !== undefined) this.fail(`prepared ${this.#held.sequence} has neither end`);
    this.prepared++;
    this.#held = copied(transaction);
    // What it throws is the end: nothing was prepared.
    try {
      return this.answer();
    } catch (error) {
      this.#held = undefined;
      throw error;
    }
  }

  rolledBack(): void {
    if (this.#held === undefined) this.fail("rolledBack() with nothing prepared");
    this.#held = undefined;
  }

  commit(transaction: CommittedTransaction): void {
    const commit = copied(transaction);
    this.commits++;
    this.pages += commit.pages.length;
    if (this.#held !== undefined) this.#compareHeld(this.#held, commit);
    this.#held = undefined;
    if (this.doubt !== undefined) {
      this.#waiting.push(commit);
      return;
    }
    if (commit.sequence !== this.sequence + 1) {
      this.fail(`commit ${commit.sequence} follows ${this.sequence}`);
    }
    this.#apply(commit);
    this.compare(`commit ${commit.sequence}`);
  }

  needsFull(reason: string): void {
    if (this.excuses === this.#settled) this.fail(`needsFull: ${reason}`);
    this.doubts++;
    this.doubt ??= reason;
  }

  lost(error: Error): void {
    this.lostBecause = error;
  }

  /** Begins anew with a source that counts from elsewhere; what lies between is unknown unless both are empty. */
  restart(sequence: number): void {
    this.sequence = sequence;
    this.lostBecause = undefined;
    this.#held = undefined;
    this.#states.clear();
    this.#waiting = [];
    this.doubts++;
    if (this.commits > 0) this.doubt = "captured anew";
  }

  /** Takes an image that was asked for after so many excuses: from here on commits continue it. */
  load(image: DatabaseImage, bytes: Uint8Array, excuses: number): void {
    const waiting = this.#waiting.filter(({ sequence }) => sequence > image.sequence);
    this.#bytes = bytes.slice();
    this.pageSize = image.pageSize;
    this.commitSize = image.commit;
    this.sequence = image.sequence;
    this.doubt = undefined;
    this.#waiting = [];
    this.#states.clear();
    for (const commit of waiting) this.#apply(commit);
    this.#settled = excuses;
    if (excuses === this.excuses) this.looseFreePages = false;
  }

  /** The state at a commit, if it is one of the last ones. */
  at(sequence: number): Uint8Array | undefined {
    return this.doubt === undefined ? this.#states.get(sequence) : undefined;
  }

  /** Compares with the file, byte for byte; `free` excuses free pages, which a rollback does not restore. */
  compare(when: string, free = false): void {
    const file = this.#readFile() ?? new Uint8Array(0);
    const { pageSize } = this;
    const different = firstDifference(file, this.#bytes, {
      pageSize,
      free: free || this.looseFreePages,
    });
    if (different !== undefined) this.fail(`${when}: ${different}`);
  }

  /** The bytes now. */
  bytes(): Uint8Array {
    return this.#bytes;
  }

  fail(problem: string): void {
    this.problem ??= problem;
  }

  #compareHeld(held: Commit, commit: Commit): void {
    const shape = ({ sequence, pageSize, commit: size, previousCommit, full, pages }: Commit) =>
      JSON.stringify([sequence, pageSize, size, previousCommit, full, pages.map(([pgno]) => pgno)]);
    // Beside somebody else's commits one more of them may come along with ours.
    if (this.excuses > this.#settled) return;
    if (shape(held) !== shape(commit)) {
      return this.fail(`prepared ${shape(held)}, committed ${shape(commit)}`);
    }
    for (const [i, [pgno, data]] of commit.pages.entries()) {
      const before = held.pages[i]![1];
      if (!same(before, data)) this.fail(`page ${pgno} was prepared otherwise`);
    }
  }

  #apply(transaction: Commit): void {
    const { sequence, pageSize, commit, previousCommit, full, pages } = transaction;
    if (previousCommit !== this.commitSize) {
      this.fail(`previousCommit is ${previousCommit}, the replica has ${this.commitSize} pages`);
    }
    if (full !== (this.pageSize !== 0 && this.pageSize !== pageSize)) this.fail("full is wrong");
    const bytes = new Uint8Array(pageSize * commit);
    if (full) bytes.fill(UNSEEN);
    else {
      bytes.set(this.#bytes.subarray(0, Math.min(this.#bytes.length, bytes.length)));
      bytes.fill(UNSEEN, this.#bytes.length);
    }
    const lock = 0x4000_0000 / pageSize + 1;
    let last = 0;
    for (const [pgno, data] of pages) {
      if (pgno <= last || pgno > commit || pgno === lock) this.fail(`page ${pgno} after ${last}`);
      else bytes.set(data, (pgno - 1) * pageSize);
      last = pgno;
    }
    this.#bytes = bytes;
    this.pageSize = pageSize;
    this.commitSize = commit;
    this.sequence = sequence;
    this.#states.set(sequence, bytes);
    this.#states.delete(sequence - REMEMBERED);
  }
}

function copied({ pages, ...rest }: CommittedTransaction): Commit {
  const images = Array.from(pages.pgnos, (pgno, i) => [pgno, pages.read(i).slice()] as const);
  return { ...rest, pages: images };
}

/** Whether two arrays hold the same bytes. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && firstDifference(a, b, { pageSize: 0, free: false }) === undefined;
}
