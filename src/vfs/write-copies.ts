/**
 * Copies of what a transaction writes, for files that are dear to read: in OPFS every read costs 0.1 ms, whatever its
 * size.
 *
 * @module
 */

/** Copies of more than this are not worth their memory: a large transaction is read back. */
const COPIED_BYTES = 4 << 20;

/** The writes to one file since they were last forgotten, by all of its handles. */
export class WriteCopies {
  /** Size of the file in bytes, where nobody else can change it; undefined where it has to be asked for. */
  size: number | undefined;
  readonly #copies = new Map<number, Uint8Array>();
  #bytes = 0;

  /** Takes a copy of `bytes`, written at `offset`. */
  note(bytes: Uint8Array, offset: number): void {
    if (this.size !== undefined) this.size = Math.max(this.size, offset + bytes.length);
    if (this.#bytes > COPIED_BYTES) return;
    const known = this.#copies.get(offset);
    if (known?.length === bytes.length) {
      known.set(bytes);
      return;
    }
    this.#bytes += bytes.length;
    if (this.#bytes > COPIED_BYTES) this.#copies.clear();
    else this.#copies.set(offset, bytes.slice());
  }

  /** The bytes of one write from `offset` on; undefined where they were not written in one piece. */
  get(offset: number, amount: number): Uint8Array | undefined {
    const copy = this.#copies.get(offset);
    return copy === undefined || copy.length < amount ? undefined : copy.subarray(0, amount);
  }

  /** Lets go of all copies: the file is written, taken back or cut, or somebody else may write it. */
  forget(): void {
    this.#copies.clear();
    this.#bytes = 0;
  }
}
