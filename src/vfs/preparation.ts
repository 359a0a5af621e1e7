/**
 * What happens to a transaction between the moment it could commit and the moment it does: the listener prepares it,
 * and may keep it back or refuse it.
 *
 * @module
 */
import type { CommitListener, CommittedTransaction, PrepareMode } from "../core/commit-source.ts";
import { WalChecksum } from "../core/wal.ts";
import { VfsError } from "./errors.ts";
import type { Changes } from "./live-pages.ts";

/** The transaction that was prepared last, as long as it neither committed nor was rolled back. */
interface Prepared {
  readonly sequence: number;
  state: "ready" | "waiting" | "refused";
  /** Why it is refused. */
  error: unknown;
  readonly promise: Promise<void> | undefined;
  /** Checksum of its pages, where SQLite will ask again. */
  readonly pages: string;
}

/** What one wasm instance shares: whether our own wrapper is running a COMMIT at this very moment. */
export interface CommitWrapper {
  committing: boolean;
}

/** The answer to SQLite at the point where a transaction could commit; what is thrown refuses it. */
export type Verdict = "commit" | "busy" | Promise<void>;

/** The preparations of one path. */
export class Preparation {
  readonly #name: string;
  readonly #wrapper: CommitWrapper;
  #mode: PrepareMode | undefined;
  #prepared: Prepared | undefined;

  constructor(name: string, wrapper: CommitWrapper) {
    this.#name = name;
    this.#wrapper = wrapper;
  }

  get mode(): PrepareMode | undefined {
    return this.#mode;
  }

  set mode(mode: PrepareMode | undefined) {
    this.#mode = mode;
    this.#prepared = undefined;
  }

  /** Whether a COMMIT is to be repeated and this is not it: nothing may be written now but by a ROLLBACK. */
  get frozen(): boolean {
    return this.#prepared?.promise !== undefined && !this.#wrapper.committing;
  }

  /** What the COMMIT that was answered with "busy" waits for. */
  get waiting(): Promise<void> | undefined {
    return this.#prepared?.promise;
  }

  /** Whether a transaction was prepared already, so that it need not be described again. */
  knows(sequence: number): boolean {
    return this.#prepared?.sequence === sequence;
  }

  /** Asks the listener, or repeats its answer for a transaction it was asked about before. */
  decide(listener: CommitListener, transaction: CommittedTransaction, changes: Changes): Verdict {
    if (this.#mode !== "sync" && !this.#wrapper.committing) throw this.#bareCommit();
    this.rolledBack(listener);
    const { sequence } = transaction;
    const pages = this.#mode === "retry" ? checksum(changes) : "";
    const result = listener.prepare?.(transaction);
    if (!(result instanceof Promise)) {
      this.#prepared = { sequence, state: "ready", error: undefined, promise: undefined, pages };
      return "commit";
    }
    const prepared: Prepared = {
      sequence,
      state: "waiting",
      error: undefined,
      promise: result,
      pages,
    };
    this.#prepared = prepared;
    result.then(
      () => {
        prepared.state = "ready";
      },
      (error: unknown) => {
        prepared.state = "refused";
        prepared.error = error;
      },
    );
    if (this.#mode === "sync") throw this.#promiseRefused();
    if (this.#mode === "retry") return "busy";
    // The COMMIT goes on then, and may come to another database that holds its part back too.
    this.#wrapper.committing = false;
    return result.then(() => {
      this.#wrapper.committing = true;
    });
  }

  /** The answer for the transaction prepared last, if it is still what it was. */
  repeat(changes: Changes): Verdict {
    const { state, error, pages } = this.#prepared as Prepared;
    if (state === "waiting") return "busy";
    if (state === "refused") throw error;
    if (this.#mode !== "retry" || checksum(changes) === pages) return "commit";
    throw new VfsError({
      operation: "commit to",
      object: this.#name,
      what: "other SQL ran on the connection while its COMMIT waited",
      next: "Run nothing on it until transaction() has ended, then try again",
    });
  }

  /** The transaction committed. */
  committed(): void {
    this.#prepared = undefined;
  }

  /** Whatever was prepared did not commit. */
  rolledBack(listener: CommitListener | undefined): void {
    if (this.#prepared === undefined) return;
    this.#prepared = undefined;
    listener?.rolledBack?.();
  }

  #bareCommit(): VfsError {
    return new VfsError({
      operation: "commit to",
      object: this.#name,
      what: "every COMMIT waits for the store here, and this one did not come through transaction()",
      next: "Run what writes inside transaction(), which commits by itself",
    });
  }

  #promiseRefused(): VfsError {
    return new VfsError({
      operation: "commit to",
      object: this.#name,
      what: "its listener answered with a promise, which nobody waits for",
    });
  }
}

/** Two 32-bit sums over the pages and their numbers. */
function checksum({ pgnos, read }: Changes): string {
  const sums = new WalChecksum(false);
  const number = new Uint32Array(2);
  for (const pgno of pgnos) {
    sums.update(read(pgno));
    number[0] = pgno;
    sums.update(new Uint8Array(number.buffer));
  }
  return `${sums.s1} ${sums.s2}`;
}
