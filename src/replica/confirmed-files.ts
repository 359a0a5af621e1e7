/**
 * Staged files that the store has confirmed, and when they may go.
 *
 * @module
 */
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";

/** Removes staged files once nothing needs them. */
export class ConfirmedFiles {
  readonly #state: LocalState;
  readonly #onError: (error: unknown, name: string) => void;
  /** A confirmed file whose transaction has not committed: it proves that what the replica has more is ours. */
  #kept: string | undefined;

  /** A file that cannot be removed stays until the next start, which finds it confirmed. */
  constructor(state: LocalState, onError: (error: unknown, name: string) => void) {
    this.#state = state;
    this.#onError = onError;
  }

  /** A file is confirmed. `held` says that its transaction has not committed yet; a later L0 file settles that too. */
  confirmed(file: StagedFile, held: boolean): void {
    if (file.level === 0) this.committed();
    if (held) this.#kept = file.name;
    else this.#remove(file.name);
  }

  /** The transaction that was held has committed. */
  committed(): void {
    const name = this.#kept;
    this.#kept = undefined;
    if (name !== undefined) this.#remove(name);
  }

  #remove(name: string): void {
    try {
      this.#state.removeStaged(name);
    } catch (error) {
      this.#onError(error, name);
    }
  }
}
