/**
 * Computes the position token of a restored state while its pages go by.
 *
 * @module
 */
import { toHex } from "../core/bytes.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName } from "../ltx/file-name.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";
import { PageTable } from "./page-table.ts";
import { encodeMarker } from "./marker.ts";
import { type PositionToken, tableDigest } from "./position-token.ts";

/** What a token says beside the digests. */
export type RestoredState = Omit<PositionToken, "key" | "digest">;

/** Digests the pages of one restored state. */
export class PositionRecorder {
  readonly #key: Uint8Array;
  readonly #digest: PageDigest;
  readonly #table = new PageTable();

  constructor(platform: Platform) {
    this.#key = platform.randomBytes(DIGEST_KEY_LENGTH);
    this.#digest = new PageDigest(this.#key);
  }

  /** Notes a page; keeps nothing of `data`. */
  add(pgno: number, data: Uint8Array): void {
    // Grows with the pages seen: the size announced may be anything.
    if (pgno > this.#table.size) this.#table.resize(pgno * 2);
    this.#digest.update(pgno, data);
    this.#table.set(pgno, this.#digest.hi, this.#digest.lo);
  }

  /** The marker of a state that was chosen, after the last page. `fileChecksum` is that of its L0 file, or 0 without one. */
  chosenMarker(
    state: Pick<RestoredState, "replica" | "pageSize" | "commit">,
    file: { readonly txid: bigint; readonly fileChecksum: bigint },
  ): Uint8Array {
    const { replica, pageSize, commit } = state;
    const { txid, fileChecksum } = file;
    this.#table.resize(commit);
    return encodeMarker({
      replica,
      key: this.#key,
      state: { txid, pageSize, commit, fileName: formatFileName(txid, txid), fileChecksum },
      table: this.#table,
      chosen: true,
    });
  }

  /** The token, after the last page. */
  finish(state: RestoredState): PositionToken {
    this.#table.resize(state.commit);
    return { ...state, key: toHex(this.#key), digest: tableDigest(this.#table, this.#key) };
  }
}
