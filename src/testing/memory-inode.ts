/**
 * A file in memory that knows which of its bytes would survive a power cut.
 *
 * @module
 */
import type { SeededRandom } from "./seeded-random.ts";

/** Disks write these whole or not at all. */
export const SECTOR_SIZE = 512;

/** The content of one file: as programs see it, and as it is on stable storage. */
export class MemoryInode {
  readonly id: bigint;
  /** Directory entries that name the file. */
  links = 0;
  size = 0;
  #data = new Uint8Array(0);
  #durable = new Uint8Array(0);
  #durableSize = 0;
  /** Sectors that differ, or may, from stable storage. */
  readonly #dirty = new Set<number>();

  constructor(id: bigint) {
    this.id = id;
  }

  read(into: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(into.length, this.size - offset));
    into.set(this.#data.subarray(offset, offset + length));
    return length;
  }

  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return;
    const end = offset + bytes.length;
    this.#data = grown(this.#data, end);
    this.#data.set(bytes, offset);
    this.size = Math.max(this.size, end);
    this.#touch(offset, end);
  }

  truncate(size: number): void {
    // What lies past the end must read as zeros when the file grows again.
    if (size < this.size) {
      this.#data.fill(0, size, this.size);
      this.#touch(size, this.size);
    } else {
      this.#data = grown(this.#data, size);
    }
    this.size = size;
  }

  sync(): void {
    this.#durable = grown(this.#durable, this.size);
    for (const sector of this.#dirty) this.#keep(sector);
    this.#dirty.clear();
    this.#durableSize = this.size;
  }

  /** A copy of the content as programs see it. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#data.slice(0, this.size);
  }

  /**
   * Cuts the power: of the sectors written since the last sync a random half is kept, and the size is the synced one,
   * the new one, or one between where the file grew. A truncation happens or it does not: where the old size is back, so
   * are the bytes past the new one.
   */
  lose(random: SeededRandom): void {
    const sizes = [this.#durableSize, this.size];
    if (this.size > this.#durableSize) {
      sizes.push(this.#durableSize + random.int(this.size - this.#durableSize));
    }
    const size = random.pick(sizes);
    this.#durable = grown(this.#durable, Math.max(this.size, this.#durableSize));
    for (const sector of this.#dirty) {
      const isCutOff = size > this.size && sector * SECTOR_SIZE >= this.size;
      if (!isCutOff && random.chance(0.5)) this.#keep(sector);
    }
    this.#durableSize = size;
    this.#durable.fill(0, size);
    this.#dirty.clear();
    this.size = size;
    this.#data = this.#durable.slice();
  }

  #touch(start: number, end: number): void {
    for (let sector = Math.floor(start / SECTOR_SIZE); sector * SECTOR_SIZE < end; sector++) {
      this.#dirty.add(sector);
    }
  }

  #keep(sector: number): void {
    const start = sector * SECTOR_SIZE;
    if (start >= this.#durable.length) return;
    const end = Math.min(start + SECTOR_SIZE, this.#durable.length);
    this.#durable.fill(0, start, end);
    this.#durable.set(this.#data.subarray(start, end), start);
  }
}

/** The array itself, or a larger copy with room for `size` bytes; new bytes are zero. */
function grown(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  if (size <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.max(size, bytes.length * 2));
  larger.set(bytes);
  return larger;
}
