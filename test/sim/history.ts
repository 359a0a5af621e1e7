/**
 * What the applications of a simulation committed, whatever became of it afterwards.
 *
 * Every transaction writes a value that is used once, and what it leaves behind can be checked without knowing it, so
 * that a state whose COMMIT was cut off by a crash is recognised as well.
 *
 * @module
 */
import { setJournalHeader } from "../../src/core/database-header.ts";
import { bytesOf, fingerprint, type PageState } from "./fingerprint.ts";
import type { SimSqlite } from "./sqlite.ts";
import { valueOf } from "./workload.ts";

/** Thrown where something does not hold that must. */
export class Violation extends Error {
  readonly isViolation = true;

  constructor(what: string) {
    super(what);
    this.name = "Violation";
  }
}

/** Committed states of all writers. */
export class History {
  /** Value of each committed state, by its fingerprint. */
  readonly #states = new Map<string, number>([["empty", 0]]);
  /** Values whose COMMIT may or may not have come about. */
  readonly #open = new Set<number>();
  readonly #sqlite: SimSqlite;
  #lastValue = 0;

  constructor(sqlite: SimSqlite) {
    this.#sqlite = sqlite;
  }

  /** A value that was never used. */
  nextValue(): number {
    return ++this.#lastValue;
  }

  /** A transaction has committed, or a database was opened: this is what it is now. */
  committed(state: PageState, value: number): void {
    this.#states.set(fingerprint(state), value);
  }

  /** Nobody knows whether this value was committed, or what else of the state that has it. */
  doubtful(value: number): void {
    this.#open.add(value);
  }

  /** The value of a committed state; undefined for one that nobody is known to have committed. */
  find(print: string): number | undefined {
    return this.#states.get(print);
  }

  /** The value of a state; throws unless somebody committed it, or may have. */
  explain(state: PageState, what: string): number {
    const print = fingerprint(state);
    const known = this.#states.get(print);
    if (known !== undefined) return known;
    const bytes = bytesOf(state);
    setJournalHeader(bytes, "rollback");
    const value = this.#sqlite.inspect(bytes, valueOf);
    if (typeof value === "string") throw new Violation(`${what} is no sound state: ${value}`);
    if (!this.#open.has(value)) {
      throw new Violation(`${what}, with value ${value}, was never committed`);
    }
    this.#states.set(print, value);
    return value;
  }
}
