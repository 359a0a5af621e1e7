/**
 * What must hold of a replica at every moment, whoever writes to it.
 *
 * Every file is decoded when it arrives and applied to the state that it says it continues, so the state of every TXID
 * is known from the files alone. A TXID means one state for ever, and that is one that somebody committed.
 *
 * @module
 */
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import {
  type FileSpan,
  type Layout,
  parseAnyFileKey,
  SNAPSHOT_LEVEL,
} from "../../src/replica/layout.ts";
import { restoreReplica } from "../../src/replica/restore.ts";
import type { Platform } from "../../src/core/platform.ts";
import { equalBytes } from "../../src/core/bytes.ts";
import { type DecodedLtx, decodeLtx } from "../../src/ltx/decode-ltx.ts";
import { openReplica } from "../../src/replica/replica.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { fingerprint, type PageState, pagesOf } from "./fingerprint.ts";
import { type History, Violation } from "./history.ts";
import type { ServerWatch } from "./network.ts";

/** What a {@linkcode ReplicaWatch} works with. */
export interface ReplicaWatchOptions {
  readonly name: string;
  readonly history: History;
  readonly layout: Layout;
}

/** A file that is there. */
interface WatchedFile extends FileSpan {
  readonly file: DecodedLtx;
}

const EMPTY: PageState = { pageSize: 0, pages: [] };

/** Follows one replica. */
export class ReplicaWatch implements ServerWatch {
  readonly #options: ReplicaWatchOptions;
  readonly #files = new Map<string, WatchedFile>();
  readonly #states = new Map<bigint, PageState>([[0n, EMPTY]]);
  /** TXIDs whose state nobody is known to have committed yet. */
  readonly #unexplained = new Set<bigint>();
  #max = 0n;
  /** Newest TXID that somebody was told of. */
  #confirmed = 0n;
  /** What has to be reachable: the newest TXID, until a bridge to it is taken back, and then all that is left. */
  #least = 0n;

  constructor(options: ReplicaWatchOptions) {
    this.#options = options;
  }

  /** Largest TXID of any file there ever was. */
  get maxTxid(): bigint {
    return this.#max;
  }

  put(key: string, bytes: Uint8Array, replaced: Uint8Array | undefined): void {
    const span = parseAnyFileKey(this.#options.layout, key);
    if (span === undefined) return;
    // Above level 0 it is enough that the state is the same.
    const isOther = replaced !== undefined && !equalBytes(bytes, replaced);
    if (isOther && span.level === 0) this.#fail(`${key} was replaced`);
    const { minTxid, maxTxid } = span;
    const file = this.#decode(key, bytes);
    this.#files.set(key, { ...span, file });
    if (file.header.minTxid !== minTxid || file.header.maxTxid !== maxTxid) {
      this.#fail(`${key} holds other TXIDs`);
    }
    const base = this.#states.get(minTxid - 1n);
    const isWhole = isWholeFile(file);
    if (base !== undefined && base.pageSize > 0 && base.pageSize !== file.header.pageSize) {
      const snapshots = [...this.#files.values()].filter((each) => each.minTxid === 1n);
      if (!snapshots.some((each) => each.maxTxid >= minTxid)) {
        this.#fail(`${key} changes the page size, and no snapshot came before it`);
      }
    }
    const isAhead = base === undefined && !isWhole && this.#states.has(maxTxid);
    // The level 0 file of a bridge: nobody restores through it.
    if (isAhead && span.level === 0) return this.#checkReachable(key);
    const state = this.#apply(key, isWhole ? EMPTY : base, file);
    this.#arrived(key, { ...span, file }, state);
    this.#checkLevel(span.level);
    this.#checkReachable(key);
  }

  /**
   * Whether this is a bridge, or the snapshot before another page size, that leads where this replica has not gone. No name
   * of level 0 stands in the way of one that arrives when its writer has given it up: nothing can protect from that.
   */
  leadsAstray(key: string, bytes: Uint8Array): boolean {
    const span = parseAnyFileKey(this.#options.layout, key);
    if (span === undefined || span.level === 0) return false;
    const file = this.#decode(key, bytes);
    const known = this.#states.get(span.maxTxid);
    if (known === undefined) return true;
    return isWholeFile(file) && fingerprint(known) !== fingerprint(this.#apply(key, EMPTY, file));
  }

  removed(key: string): void {
    const span = this.#files.get(key);
    if (span === undefined) return;
    this.#files.delete(key);
    if (this.#isTakenBack(span)) this.#least = this.#newestReachable();
    this.#checkReachable(`the removal of ${key}`);
  }

  /**
   * Whether a bridge goes that another writer came below: its own writer takes it back, and nobody was told that what it led to
   * is there. Its TXIDs keep their states, and whoever goes on has to lead there or past them.
   */
  #isTakenBack({ level, minTxid, maxTxid, file }: WatchedFile): boolean {
    if (level === 0 || level === SNAPSHOT_LEVEL || !isWholeFile(file)) return false;
    if (maxTxid !== this.#least || maxTxid <= this.#confirmed) return false;
    return [...this.#files.values()].some(
      (each) => each.level === 0 && each.minTxid >= minTxid && each.maxTxid < maxTxid,
    );
  }

  /** Somebody was told that `txid` is in the store, and that it holds `value` or what came after it. */
  confirmed(txid: bigint, value: number): void {
    if (txid === 0n && value === 0) return;
    const state = this.#states.get(txid);
    if (state === undefined || txid === 0n)
      return this.#fail(`${txid} was confirmed, and never written`);
    if (!this.#reachable().has(txid)) this.#fail(`${txid} was confirmed and cannot be restored`);
    if (txid > this.#confirmed) this.#confirmed = txid;
    const found = this.#options.history.explain(state, `${this.#options.name} at ${txid}`);
    if (found < value) this.#fail(`${txid} was confirmed with value ${value} and holds ${found}`);
  }

  /** The state of a TXID. */
  state(txid: bigint): PageState | undefined {
    return this.#states.get(txid);
  }

  /** TXIDs that can be restored now. */
  restorable(): bigint[] {
    return [...this.#reachable()].filter((txid) => txid > 0n).sort((a, b) => (a < b ? -1 : 1));
  }

  /** Restores a TXID with the library, and compares. */
  async checkRestore(
    store: ObjectStore,
    txid: bigint | undefined,
    platform: Platform,
  ): Promise<PageState> {
    const sink = bytesSink();
    const replica = openReplica(store, { platform });
    const result = await restoreReplica(replica, sink, { platform, txid, position: false });
    const state = pagesOf(sink.bytes);
    const expected = this.#states.get(result.txid);
    if (txid !== undefined && txid !== result.txid)
      this.#fail(`${txid} restored to ${result.txid}`);
    if (expected === undefined || fingerprint(expected) !== fingerprint(state)) {
      this.#fail(`${result.txid} restored to something else`);
    }
    return state;
  }

  /** Nothing is under way any more: every state is one that somebody committed, and level 0 is in front. */
  settled(): void {
    const { history, name } = this.#options;
    for (const txid of this.#unexplained) {
      history.explain(this.#states.get(txid)!, `${name} at ${txid}`);
    }
    this.#unexplained.clear();
    const spans = [...this.#files.values()];
    const newest = spans.filter(({ level }) => level === 0).map(({ maxTxid }) => maxTxid);
    const max = spans.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
    if (max > 0n && !newest.includes(max)) this.#fail(`a level rests at ${max}, above level 0`);
    if (this.#least < this.#max)
      this.#fail(`a bridge to ${this.#max} is gone, and nothing leads there`);
    if (max !== this.#max) this.#fail(`the newest TXID was ${this.#max} and is ${max}`);
  }

  #decode(key: string, bytes: Uint8Array): DecodedLtx {
    try {
      return decodeLtx(bytes, { name: key });
    } catch (error) {
      return this.#fail(`${key} is damaged: ${String(error)}`);
    }
  }

  #apply(key: string, base: PageState | undefined, { header, pages }: DecodedLtx): PageState {
    const { pageSize, commit } = header;
    if (base === undefined) return this.#fail(`${key} continues a state that was never written`);
    if (base !== EMPTY && base.pageSize !== pageSize) this.#fail(`${key} changes the page size`);
    const next = Array.from({ length: commit }, (_, i) => base.pages[i]);
    for (const { pgno, data } of pages) {
      if (pgno > commit) this.#fail(`${key} holds page ${pgno} of ${commit}`);
      next[pgno - 1] = data;
    }
    const hole = next.findIndex((page) => page === undefined);
    if (hole >= 0) this.#fail(`${key} lacks page ${hole + 1}`);
    return { pageSize, pages: next as Uint8Array[] };
  }

  /** A state has come to be, or a file leads to one that was there. */
  #arrived(key: string, arrived: WatchedFile, state: PageState): void {
    const { level, minTxid, maxTxid: txid, file } = arrived;
    const known = this.#states.get(txid);
    if (known !== undefined) {
      if (fingerprint(known) !== fingerprint(state)) this.#fail(`${key}: ${txid} is two states`);
      return;
    }
    if (level === 0 && this.#isLeapt(txid)) return this.#arrivedBelow(key, txid, state);
    // A bridge leaps over what was lost, from where its level ends.
    const leaps = level > 0 && minTxid <= this.#max + 1n && isWholeFile(file);
    // One to another page size begins at the beginning, since no file leads from one size to the other.
    const last = this.#states.get(this.#max);
    const resizes = level === SNAPSHOT_LEVEL && minTxid === 1n && last?.pageSize !== state.pageSize;
    const follows = txid === this.#max + 1n || leaps || (resizes && txid > this.#max);
    if (!follows) this.#fail(`${key} does not follow ${this.#max}`);
    this.#states.set(txid, state);
    if (this.#least === this.#max) this.#least = txid;
    this.#max = txid;
    if (this.#options.history.find(fingerprint(state)) === undefined) this.#unexplained.add(txid);
  }

  /** Whether a bridge leads over a TXID: its name is free, for whoever had looked before. */
  #isLeapt(txid: bigint): boolean {
    return [...this.#files.values()].some(
      ({ level, minTxid, maxTxid, file }) =>
        level > 0 && minTxid <= txid && maxTxid > txid && isWholeFile(file),
    );
  }

  /** A state has come to be below a bridge: nothing that was there may become what continues it. */
  #arrivedBelow(key: string, txid: bigint, state: PageState): void {
    this.#states.set(txid, state);
    for (const [name, { minTxid, maxTxid, file }] of this.#files) {
      if (minTxid !== txid + 1n || isWholeFile(file)) continue;
      const next = this.#states.get(maxTxid);
      if (next === undefined || fingerprint(next) === fingerprint(this.#apply(name, state, file))) {
        continue;
      }
      this.#fail(`${key} came below a bridge, and ${name} continues it`);
    }
    if (this.#options.history.find(fingerprint(state)) === undefined) this.#unexplained.add(txid);
  }

  /** The files of a level above 0 leave no gap but what a snapshot covers, which a late request may bring about. */
  #checkLevel(level: number): void {
    if (level === 0 || level === SNAPSHOT_LEVEL) return;
    const files = [...this.#files.values()];
    const snapshots = files.filter((span) => span.level === SNAPSHOT_LEVEL);
    const covered = snapshots.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
    const spans = files.filter((span) => span.level === level);
    spans.sort((a, b) => Number(a.minTxid - b.minTxid));
    let max = spans[0]?.maxTxid ?? 0n;
    for (const { minTxid, maxTxid } of spans) {
      if (minTxid > max + 1n && minTxid > covered + 1n) {
        this.#fail(`level ${level} has ${max} and then ${minTxid}`);
      }
      if (maxTxid > max) max = maxTxid;
    }
  }

  #checkReachable(what: string): void {
    const newest = this.#newestReachable();
    if (newest < this.#least) this.#fail(`${what} leaves ${this.#least} without its files`);
    if (newest < this.#confirmed) this.#fail(`${what} leaves nothing of ${this.#confirmed}`);
    this.#least = newest;
  }

  #newestReachable(): bigint {
    return [...this.#reachable()].reduce((newest, txid) => (txid > newest ? txid : newest), 0n);
  }

  /** TXIDs that some chain of files, beginning with one from TXID 1 on, leads to. */
  #reachable(): Set<bigint> {
    const spans = [...this.#files.values()];
    spans.sort((a, b) => (a.maxTxid < b.maxTxid ? -1 : a.maxTxid > b.maxTxid ? 1 : 0));
    const reached = new Set<bigint>([0n]);
    for (const { minTxid, maxTxid } of spans) {
      if (reached.has(maxTxid)) continue;
      for (const txid of reached) {
        if (txid >= minTxid - 1n && txid < maxTxid) {
          reached.add(maxTxid);
          break;
        }
      }
    }
    return reached;
  }

  #fail(what: string): never {
    throw new Violation(`${this.#options.name}: ${what}`);
  }
}

function isWholeFile({ header, pages }: DecodedLtx): boolean {
  return header.minTxid === 1n || pages.length === header.commit;
}
