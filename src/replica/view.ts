/**
 * A state of a replica that can be read.
 *
 * @module
 */
import type { Hold } from "./reader-cache.ts";
import type { ReplicaView } from "./reader-options.ts";
import type { PageMap } from "./view-map.ts";

/** What a view is of. */
export interface ViewState {
  /** TXID of the state. */
  readonly txid: bigint;
  /** When it came to be. */
  readonly time: Date;
  /** Number of the view among those of its reader. */
  readonly sequence: number;
}

/** A view with the places of its pages. */
export class View implements ReplicaView {
  readonly txid: bigint;
  readonly time: Date;
  readonly pageSize: number;
  readonly commit: number;
  readonly sequence: number;
  /** What readers keep that keep every page they read. */
  readonly holds: Set<Hold> = new Set();
  #map: PageMap;

  /** A view of the pages of `map`. */
  constructor(state: ViewState, map: PageMap) {
    this.txid = state.txid;
    this.time = state.time;
    this.sequence = state.sequence;
    this.pageSize = map.pageSize;
    this.commit = map.commit;
    this.#map = map;
  }

  /** Where the pages lie. */
  get map(): PageMap {
    return this.#map;
  }

  get fileCount(): number {
    return this.#map.files.length;
  }

  /** The same state was found in other files. */
  relocate(map: PageMap): void {
    this.#map = map;
  }
}
