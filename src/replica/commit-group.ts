/**
 * The open group: committed transactions that will become one L0 file.
 *
 * @module
 */
import type { CommittedTransaction } from "../core/commit-source.ts";
import { PageSet } from "./page-set.ts";

/** The newest image of a page in the group, and the commit it belongs to. */
interface GroupPage {
  readonly data: Uint8Array;
  sequence: number;
}

/**
 * What the group remembers: `images` of its pages; past the bound only their `numbers`, to be read from the database
 * later; or nothing at all, because the next file will hold every page (`full`).
 */
export type GroupContent = "images" | "numbers" | "full";

/** Collects commits, the latest image of a page winning. */
export class CommitGroup {
  /** Images by page number; made with the first one, since an idle database has an open group too. */
  #pages: Map<number, GroupPage> | undefined;
  /** Page numbers without images. */
  readonly #numbers = new PageSet();
  #content: GroupContent = "images";
  #complete = true;
  #bytes = 0;
  #transactions = 0;
  #pageSize = 0;
  #commit = 0;
  #lastSequence = 0;
  #since: number | undefined;

  get content(): GroupContent {
    return this.#content;
  }

  /** Bytes of page images held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of memory that grow with what is collected: images, or the set of numbers. */
  get heldBytes(): number {
    return this.#bytes + this.#numbers.bytes;
  }

  /** Whether all its pages came with its commits: none is to be read only because of what happened before. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether there is nothing to cut: neither pages nor the need for every page. */
  get isEmpty(): boolean {
    return this.#transactions === 0 && this.#numbers.size === 0 && this.#content !== "full";
  }

  /** Number of commits in the group. */
  get transactions(): number {
    return this.#transactions;
  }

  get pageSize(): number {
    return this.#pageSize;
  }

  /** Database size in pages after the last commit. */
  get commit(): number {
    return this.#commit;
  }

  /** Sequence of the last commit; 0 while empty. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Monotonic time of the first commit, or `undefined` while empty. */
  get since(): number | undefined {
    return this.#since;
  }

  /** Takes a commit in. `now` is monotonic time. */
  add(transaction: CommittedTransaction, now: number): void {
    this.#transactions++;
    this.#since ??= now;
    this.#lastSequence = transaction.sequence;
    this.#commit = transaction.commit;
    this.#pageSize = transaction.pageSize;
    const { pgnos } = transaction.pages;
    if (this.#content === "full") return;
    for (let i = 0; i < pgnos.length; i++) {
      const pgno = pgnos[i] as number;
      if (this.#content === "numbers") {
        this.#numbers.add(pgno);
        continue;
      }
      const image = transaction.pages.read(i);
      this.#pages ??= new Map();
      const known = this.#pages.get(pgno);
      if (known === undefined) {
        this.#pages.set(pgno, { data: image.slice(), sequence: transaction.sequence });
        this.#bytes += image.length;
      } else {
        known.data.set(image);
        known.sequence = transaction.sequence;
      }
    }
  }

  /** Says that the commits in it are not all there is to it. */
  setIncomplete(): void {
    this.#complete = false;
  }

  /** Lets go of the images and keeps the numbers: the images will be read when the file is cut. */
  dropImages(): void {
    if (this.#content !== "images") return;
    this.#content = "numbers";
    for (const pgno of this.#pages?.keys() ?? []) this.#numbers.add(pgno);
    this.#pages = undefined;
    this.#bytes = 0;
  }

  /** Makes the next file hold every page; what was collected is no longer needed. */
  makeFull(): void {
    this.dropImages();
    this.#numbers.clear();
    this.#content = "full";
    this.#complete = false;
  }

  /** Takes in what a group before this one had collected, as numbers. */
  prepend(earlier: CommitGroup): void {
    if (this.#transactions === 0) {
      this.#lastSequence = earlier.lastSequence;
      this.#commit = earlier.commit;
      this.#pageSize = earlier.pageSize;
    }
    this.#transactions += earlier.transactions;
    this.#since = earlier.since ?? this.#since;
    if (earlier.content === "full") this.makeFull();
    else this.addNumbers(earlier.sortedNumbers());
  }

  /** Adds pages whose images must be read from the database. */
  addNumbers(pgnos: Iterable<number>): void {
    this.#complete = false;
    if (this.#content === "full") return;
    this.dropImages();
    for (const pgno of pgnos) this.#numbers.add(pgno);
  }

  /**
   * Forgets the pages whose newest image is not after commit `sequence`: a file that covers that commit holds them.
   * Returns true when nothing after it is left. The need for every page stays: it may have arisen after that commit.
   */
  forgetUpTo(sequence: number): boolean {
    if (this.#content === "full") return false;
    if (this.#lastSequence <= sequence) {
      this.#pages = undefined;
      this.#numbers.clear();
      this.#bytes = 0;
      this.#transactions = 0;
      this.#since = undefined;
      this.#content = "images";
      this.#complete = true;
      return true;
    }
    for (const [pgno, page] of this.#pages ?? []) {
      if (page.sequence > sequence) continue;
      this.#pages?.delete(pgno);
      this.#bytes -= page.data.length;
    }
    return false;
  }

  /** The image of a page, while images are held; valid until the next commit. */
  image(pgno: number): Uint8Array {
    const page = this.#pages?.get(pgno) as GroupPage;
    return page.data;
  }

  /** Page numbers in ascending order, whether with images or without. */
  sortedNumbers(): Uint32Array<ArrayBuffer> {
    if (this.#content !== "images") return this.#numbers.toArray();
    return Uint32Array.from(this.#pages?.keys() ?? []).sort();
  }
}
