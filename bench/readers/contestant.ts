/**
 * What is measured: a program that opens a replica and asks it.
 *
 * @module
 */

/** A program in a process of its own, started, with the replica not opened yet. */
export interface Contestant {
  /** Opens the replica. */
  open(): Promise<unknown>;
  /** Runs one statement; resolves when all rows of it are there. The answer, for comparison. */
  query(sql: string): Promise<string>;
  /** Asks for rows by their keys, one after another; resolves to the milliseconds that took. */
  points(ids: readonly number[]): Promise<number>;
  /** Largest resident set so far in MB (10^6 bytes). */
  memory(): Promise<number>;
  close(): Promise<void>;
}

/** The query of `points`, with `?` for the key. */
export const POINT = "SELECT title FROM note WHERE id = ?";
