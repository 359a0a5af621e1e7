/**
 * Staged files that a store has confirmed, and when they may go.
 *
 * @module
 */
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";

/** What {@linkcode ConfirmedFiles} works with. */
export interface ConfirmedFilesOptions {
  readonly state: LocalState;
  /** Whether a destination still has to upload the staged file of this name. */
  readonly isNeeded: (name: string) => boolean;
  /** A file that cannot be removed stays until the next start, which finds it confirmed. */
  readonly onError: (error: unknown, name: string) => void;
}

/** Removes staged files once nothing needs them. */
export class ConfirmedFiles {
  readonly #options: ConfirmedFilesOptions;
  /** A confirmed file whose transaction has not committed: it proves that what the replica has more is ours. */
  #kept: string | undefined;

  constructor(options: ConfirmedFilesOptions) {
    this.#options = options;
  }

  /** A file is confirmed. `held` says that its transaction has not committed yet; a later L0 file settles that too. */
  confirmed(file: StagedFile, held: boolean): void {
    if (file.level === 0 && file.name !== this.#kept) this.committed();
    if (held) this.#kept = file.name;
    else this.release(file.name);
  }

  /** The transaction that was held has committed. */
  committed(): void {
    const name = this.#kept;
    this.#kept = undefined;
    if (name !== undefined) this.release(name);
  }

  /** Removes a file that was confirmed somewhere, unless it is needed. */
  release(name: string): void {
    const { state, isNeeded, onError } = this.#options;
    if (name === this.#kept || isNeeded(name)) return;
    try {
      state.removeStaged(name);
    } catch (error) {
      onError(error, name);
    }
  }
}
