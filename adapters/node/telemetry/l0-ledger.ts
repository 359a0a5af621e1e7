/**
 * The files of level 0 that a database has written since the start, by what retention may do with them.
 *
 * @module
 */

/** How many files there are of each kind, as Litestream counts them. */
export interface L0Counts {
  /** A level above holds them, and they are old enough: the next pass removes them. */
  readonly eligible: number;
  /** No level above holds them yet. */
  readonly not_compacted: number;
  /** A level above holds them, and they are younger than the retention. */
  readonly too_recent: number;
}

/** Files that are remembered one by one; what is older than that many counts as removed. */
const MAX_FILES = 20_000;

/** Keeps count from the events of one database. */
export class L0Ledger {
  readonly #retentionMs: number;
  /** TXIDs and times, oldest first. */
  #files: { readonly txid: bigint; readonly at: number }[] = [];
  #compacted = 0n;

  /** `retentionMs`: how long level 0 is kept; 0 for ever. */
  constructor(retentionMs: number) {
    this.#retentionMs = retentionMs;
  }

  /** A file was uploaded. */
  add(txid: bigint, at: number): void {
    if (this.#files.length >= MAX_FILES) this.#files.splice(0, MAX_FILES / 2);
    this.#files.push({ txid, at });
  }

  /** Level 1 holds everything up to a TXID. */
  compact(maxTxid: bigint): void {
    if (maxTxid > this.#compacted) this.#compacted = maxTxid;
  }

  /** A pass has removed what it may; the newest file always stays. */
  retain(now: number): void {
    const newest = this.#files.at(-1);
    this.#files = this.#files.filter(
      (file) => file === newest || this.#kindOf(file, now) !== "eligible",
    );
  }

  /** As of now. */
  counts(now: number): L0Counts {
    const counts = { eligible: 0, not_compacted: 0, too_recent: 0 };
    for (const file of this.#files) counts[this.#kindOf(file, now)]++;
    return counts;
  }

  #kindOf(file: { readonly txid: bigint; readonly at: number }, now: number): keyof L0Counts {
    if (file.txid > this.#compacted) return "not_compacted";
    const isKept = this.#retentionMs === 0 || now - file.at < this.#retentionMs;
    return isKept ? "too_recent" : "eligible";
  }
}
