/**
 * A replica with a random history, and every state of it, for whatever reads replicas.
 *
 * @module
 */
import { lockPage } from "../../src/core/lock-page.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { buildLtx, seededRandom, type SeededRandom } from "../../src/testing/index.ts";

/** A state: the images by page number, and how many pages there are. */
export interface HistoryState {
  readonly commit: number;
  readonly pages: ReadonlyMap<number, Uint8Array>;
  /** Pages that the transaction wrote. */
  readonly changed: ReadonlySet<number>;
}

/** Writes transactions into a store, and the files of higher levels. */
export class RandomHistory {
  readonly store: ObjectStore;
  readonly pageSize: number;
  /** State of each TXID; the first stands for nothing. */
  readonly states: HistoryState[] = [{ commit: 0, pages: new Map(), changed: new Set() }];
  readonly #random: SeededRandom;

  constructor(store: ObjectStore, seed: number, pageSize = 512) {
    this.store = store;
    this.pageSize = pageSize;
    this.#random = seededRandom(seed);
  }

  /** TXID of the newest state. */
  get txid(): number {
    return this.states.length - 1;
  }

  /** A transaction that writes some pages, and grows or shrinks the database at times. */
  async commit(most = 40): Promise<void> {
    const random = this.#random;
    const last = this.states.at(-1) as HistoryState;
    let { commit } = last;
    if (commit === 0 || random.chance(0.3)) commit += 1 + random.int(most / 4);
    else if (random.chance(0.2)) commit = Math.max(1, commit - random.int(most / 2));
    const changed = new Set<number>();
    for (let pgno = last.commit + 1; pgno <= commit; pgno++) changed.add(pgno);
    for (let i = random.int(4); i > 0; i--) changed.add(1 + random.int(commit));
    changed.delete(lockPage(this.pageSize));
    const pages = new Map([...last.pages].filter(([pgno]) => pgno <= commit));
    for (const pgno of changed) pages.set(pgno, this.#image());
    this.states.push({ commit, pages, changed });
    await this.write(0, this.txid, this.txid);
  }

  /** A file of a level over some TXIDs. */
  async write(level: number, from: number, to: number): Promise<string> {
    const { commit, pages } = this.states[to] as HistoryState;
    const held: Record<number, Uint8Array> = {};
    for (const [pgno, image] of pages) {
      const wasWritten = this.states.slice(from, to + 1).some(({ changed }) => changed.has(pgno));
      if (from === 1 || wasWritten) held[pgno] = image;
    }
    const { bytes, name } = buildLtx({
      pageSize: this.pageSize,
      minTxid: BigInt(from),
      maxTxid: BigInt(to),
      pages: held,
      commit,
    });
    const key = `ltx/${level}/${name}`;
    await this.store.put(key, bytes);
    return key;
  }

  /** Removes the files of a level that end with a TXID up to `upTo`. */
  async remove(level: number, upTo: number): Promise<void> {
    const keys: string[] = [];
    for await (const { key } of this.store.list({ prefix: `ltx/${level}/` })) {
      if (Number.parseInt(key.slice(-20, -4), 16) <= upTo) keys.push(key);
    }
    await this.store.delete(keys);
  }

  /** The bytes of the page at a TXID. */
  page(txid: number, pgno: number): Uint8Array {
    return this.states[txid]?.pages.get(pgno) ?? new Uint8Array(this.pageSize);
  }

  /** Half of it repeats, so that pages compress. */
  #image(): Uint8Array {
    const image = new Uint8Array(this.pageSize).fill(16 + this.#random.int(200));
    image.set(this.#random.bytes(this.pageSize / 2));
    // No page looks like one of a b-tree by chance.
    image[0] = 13;
    return image;
  }
}
