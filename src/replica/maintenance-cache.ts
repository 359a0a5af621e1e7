/**
 * Bytes of files that were written a moment ago, for the compaction that reads them next.
 *
 * What was just written may not be readable everywhere yet, and reading it back costs a request a file. Many replicas
 * share one bound; what does not fit, or was displaced, is read from the replica.
 *
 * @module
 */
import type { Replica } from "./replica.ts";

/** Most bytes kept. */
const MAX_BYTES = 32 << 20;

/** The newest files of some replicas, as far as they fit. */
export class RecentFiles {
  readonly #maxBytes: number;
  /** The oldest first. */
  readonly #files = new Map<string, Uint8Array>();
  readonly #ids = new WeakMap<Replica, number>();
  #nextId = 0;
  #bytes = 0;

  /** Keeps no more than `maxBytes`. @default 32 MiB */
  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a file of this size is worth keeping: one that would displace most others is not. */
  takes(size: number): boolean {
    return size <= this.#maxBytes / 8;
  }

  /** Keeps `bytes`, which the caller leaves alone from now on. */
  add(replica: Replica, key: string, bytes: Uint8Array): void {
    if (!this.takes(bytes.length)) return;
    this.delete(replica, key);
    this.#files.set(this.#name(replica, key), bytes);
    this.#bytes += bytes.length;
    for (const [name, { length }] of this.#files) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#files.delete(name);
      this.#bytes -= length;
    }
  }

  /** The bytes of a file, which stay the cache's; `undefined` where they are not kept. */
  get(replica: Replica, key: string): Uint8Array | undefined {
    return this.#files.get(this.#name(replica, key));
  }

  /** Forgets a file. */
  delete(replica: Replica, key: string): void {
    const name = this.#name(replica, key);
    this.#bytes -= this.#files.get(name)?.length ?? 0;
    this.#files.delete(name);
  }

  /** Forgets all files of a replica. */
  clear(replica: Replica): void {
    const prefix = this.#name(replica, "");
    for (const [name, { length }] of this.#files) {
      if (!name.startsWith(prefix)) continue;
      this.#files.delete(name);
      this.#bytes -= length;
    }
  }

  /** A description may be that of two replicas. */
  #name(replica: Replica, key: string): string {
    let id = this.#ids.get(replica);
    if (id === undefined) this.#ids.set(replica, (id = this.#nextId++));
    return `${id} ${key}`;
  }
}
