/**
 * Pages in memory, whatever views they belong to.
 *
 * A page is known by its origin, a file and a position in it, so that all views that read it from there share it, those of
 * the past too. What goes first is what was not used for a turn of the clock; what a reader keeps stays.
 *
 * @module
 */
import type { IndexedFile } from "./view-file.ts";

/** Memory that is taken at once: a system call and a finalizer for each page would cost more than to fill it. */
const SLAB_BYTES = 256 * 1024;

/** Slots of the pages that somebody keeps, each once. Changed by the cache alone. */
export type Hold = Set<number>;

/** A cache with a bound in bytes. */
export class PageCache {
  readonly #budget: number;
  /** By slot, from 1. */
  readonly #pages: (Uint8Array | undefined)[] = [undefined];
  readonly #files: (IndexedFile | undefined)[] = [undefined];
  readonly #positions: number[] = [0];
  #used: Uint8Array = new Uint8Array(256);
  /** By slot: how many holds the page is in. */
  #held: Uint32Array = new Uint32Array(256);
  readonly #free: number[] = [];
  /** Memory for pages of one size that no page is in. */
  readonly #spare: Uint8Array[] = [];
  /** Those that have not ended. */
  readonly #holds: Set<Hold> = new Set();
  #bytes = 0;
  #hand = 0;
  /** No page can go before a hold ends: saves looking at all of them for each that comes. */
  #isStuck = false;

  /** @param budget bytes that pages may take. */
  constructor(budget: number) {
    this.#budget = budget;
  }

  /** The page in a slot, which is used by that. */
  read(slot: number): Uint8Array {
    this.#used[slot] = 1;
    return this.#pages[slot] as Uint8Array;
  }

  /** Whether the page in a slot was read since it came, or since the clock last came by. */
  wasRead(slot: number): boolean {
    return this.#used[slot] === 1;
  }

  /** Begins to keep pages: those that are given to `keep` do not go before `release`. */
  hold(): Hold {
    const hold: Hold = new Set();
    this.#holds.add(hold);
    return hold;
  }

  /** Ends a hold. */
  release(hold: Hold): void {
    if (!this.#holds.delete(hold)) return;
    for (const slot of hold) this.#held[slot]!--;
    hold.clear();
    this.#isStuck = false;
  }

  /** Keeps the page in a slot until all of these holds have ended. */
  keep(slot: number, holds: Iterable<Hold>): void {
    for (const hold of holds) {
      if (hold.has(slot) || !this.#holds.has(hold)) continue;
      hold.add(slot);
      this.#held[slot]!++;
    }
  }

  /**
   * Copies a page. False where it is not there afterwards: all others are held. With `force` it is taken all the same,
   * past the budget.
   */
  insert(file: IndexedFile, position: number, page: Uint8Array, force: boolean): boolean {
    if (file.slots[position] !== 0) return true;
    this.#makeRoom(page.length);
    if (this.#bytes + page.length > this.#budget && !force) return false;
    const slot = this.#free.pop() ?? this.#pages.length;
    if (slot === this.#used.length) this.#grow();
    const own = this.#room(page.length);
    own.set(page);
    this.#pages[slot] = own;
    this.#files[slot] = file;
    this.#positions[slot] = position;
    this.#used[slot] = 0;
    this.#bytes += page.length;
    file.slots[position] = slot;
    this.#isStuck = false;
    return true;
  }

  /** Gives the page in a slot to a second origin, which is kept as long as the first. */
  share(slot: number, file: IndexedFile, position: number): void {
    const page = this.#pages[slot];
    if (page === undefined || !this.insert(file, position, page, this.#held[slot]! > 0)) return;
    for (const hold of this.#holds) if (hold.has(slot)) this.keep(file.slots[position]!, [hold]);
  }

  /** Forgets everything. */
  clear(): void {
    for (let slot = 1; slot < this.#pages.length; slot++) this.#evict(slot);
    this.#spare.length = 0;
  }

  #makeRoom(length: number): void {
    if (this.#bytes + length <= this.#budget || this.#isStuck) return;
    // Two turns: the first may only take the marks of use away.
    for (let left = 2 * this.#pages.length; this.#bytes + length > this.#budget; left--) {
      if (left <= 0) {
        this.#isStuck = true;
        return;
      }
      this.#hand = this.#hand + 1 < this.#pages.length ? this.#hand + 1 : 1;
      if (this.#held[this.#hand]! > 0) continue;
      if (this.#used[this.#hand] === 1) this.#used[this.#hand] = 0;
      else this.#evict(this.#hand);
    }
  }

  #evict(slot: number): void {
    const page = this.#pages[slot];
    const file = this.#files[slot];
    if (page === undefined || file === undefined) return;
    file.slots[this.#positions[slot] as number] = 0;
    this.#pages[slot] = undefined;
    this.#files[slot] = undefined;
    this.#bytes -= page.length;
    this.#free.push(slot);
    const { length, 0: spare = page } = this.#spare;
    const isRoom = this.#bytes + (length + 1) * page.length <= this.#budget;
    if (isRoom && spare.length === page.length) this.#spare.push(page);
  }

  /** Memory for a page: that of one that has gone, or a part of a new slab. */
  #room(length: number): Uint8Array {
    if (this.#spare.length > 0 && this.#spare[0]!.length !== length) this.#spare.length = 0;
    const room = this.#spare.pop();
    if (room !== undefined) return room;
    const most = Math.min(SLAB_BYTES, this.#budget - this.#bytes);
    const slab = new Uint8Array(Math.max(1, Math.floor(most / length)) * length);
    for (let at = length; at < slab.length; at += length) {
      this.#spare.push(slab.subarray(at, at + length));
    }
    return slab.subarray(0, length);
  }

  #grow(): void {
    const used = new Uint8Array(2 * this.#used.length);
    used.set(this.#used);
    this.#used = used;
    const held = new Uint32Array(used.length);
    held.set(this.#held);
    this.#held = held;
  }
}
