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

/** One file that is kept. */
interface Kept {
  readonly bytes: Uint8Array;
  /** The kept files of its replica, by their keys. */
  readonly siblings: Map<string, Kept>;
  readonly key: string;
}

/** The newest files of some replicas, as far as they fit. */
export class RecentFiles {
  readonly #maxBytes: number;
  /** The oldest first. */
  readonly #files = new Set<Kept>();
  /** By replica and not by name: thousands share the bound, and each ends by itself. */
  readonly #byReplica = new WeakMap<Replica, Map<string, Kept>>();
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
    let siblings = this.#byReplica.get(replica);
    if (siblings === undefined) this.#byReplica.set(replica, (siblings = new Map()));
    const kept = { bytes, siblings, key };
    siblings.set(key, kept);
    this.#files.add(kept);
    this.#bytes += bytes.length;
    for (const oldest of this.#files) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#drop(oldest);
    }
  }

  /** The bytes of a file, which stay the cache's; `undefined` where they are not kept. */
  get(replica: Replica, key: string): Uint8Array | undefined {
    return this.#byReplica.get(replica)?.get(key)?.bytes;
  }

  /** Forgets a file. */
  delete(replica: Replica, key: string): void {
    const kept = this.#byReplica.get(replica)?.get(key);
    if (kept !== undefined) this.#drop(kept);
  }

  /** Forgets all files of a replica. */
  clear(replica: Replica): void {
    for (const kept of this.#byReplica.get(replica)?.values() ?? []) this.#drop(kept);
    this.#byReplica.delete(replica);
  }

  #drop(kept: Kept): void {
    kept.siblings.delete(kept.key);
    this.#files.delete(kept);
    this.#bytes -= kept.bytes.length;
  }
}
