/**
 * A copy of a database made of nothing but an image and the commits after it.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction, DatabaseImage } from "../core/commit-source.ts";
import { lockPage } from "../core/lock-page.ts";

/** The bytes of a whole image; `between` is called after each run. */
export async function imageBytes(
  image: DatabaseImage,
  between?: () => void | Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(image.commit * image.pageSize);
  for await (const run of image.runs) {
    for (const { pgno, data } of run) bytes.set(data, (pgno - 1) * image.pageSize);
    await between?.();
  }
  return bytes;
}

/** Applies commits, and notes where one breaks the contract. */
export class MirrorListener implements CommitListener {
  /** The database after the last commit. */
  bytes: Uint8Array<ArrayBuffer>;
  /** What was wrong with the commits, in words. */
  readonly problems: string[] = [];
  /** Sequence numbers in the order they came. */
  readonly sequences: number[] = [];
  /** Reasons given to `needsFull`. */
  readonly fullRequests: string[] = [];
  #pageSize: number;
  #commit: number;

  constructor(image: DatabaseImage, bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.#pageSize = image.pageSize;
    this.#commit = image.commit;
  }

  commit(transaction: CommittedTransaction): void {
    const { sequence, pageSize, commit, full, pages } = transaction;
    this.#check(transaction);
    this.sequences.push(sequence);
    const next = new Uint8Array(commit * pageSize);
    if (!full) next.set(this.bytes.subarray(0, next.length));
    for (const [i, pgno] of pages.pgnos.entries()) {
      const data = pages.read(i);
      if (data.length === pageSize && pgno <= commit) next.set(data, (pgno - 1) * pageSize);
      else this.#note(transaction, `page ${pgno} of ${data.length} bytes does not fit`);
    }
    this.bytes = next;
    this.#pageSize = pageSize;
    this.#commit = commit;
  }

  needsFull(reason: string): void {
    this.fullRequests.push(reason);
  }

  #check(transaction: CommittedTransaction): void {
    const { sequence, pageSize, commit, previousCommit, full, pages } = transaction;
    const last = this.sequences.at(-1);
    if (last !== undefined && sequence !== last + 1) this.#note(transaction, `follows ${last}`);
    if (previousCommit !== this.#commit) {
      this.#note(transaction, `previousCommit is ${previousCommit} instead of ${this.#commit}`);
    }
    if (!full && this.#pageSize !== 0 && pageSize !== this.#pageSize) {
      this.#note(transaction, `the page size became ${pageSize} without a full commit`);
    }
    const seen = new Set(pages.pgnos);
    for (let i = 1; i < pages.pgnos.length; i++) {
      if ((pages.pgnos[i] as number) <= (pages.pgnos[i - 1] as number)) {
        this.#note(transaction, "page numbers do not ascend");
      }
    }
    const lock = lockPage(pageSize);
    if (seen.has(lock)) this.#note(transaction, "it holds the lock page");
    for (let pgno = full ? 1 : previousCommit + 1; pgno <= commit; pgno++) {
      if (pgno !== lock && !seen.has(pgno)) this.#note(transaction, `new page ${pgno} is missing`);
    }
  }

  #note({ sequence }: CommittedTransaction, what: string): void {
    this.problems.push(`commit ${sequence}: ${what}`);
  }
}
