/**
 * What is measured: a program that opens a replica and asks it.
 *
 * @module
 */

/** Where a database is: a server, the folder of a replica, or a database file for plain sqlite-wasm. */
export type Place =
  | { readonly origin: string }
  | { readonly folder: string }
  | { readonly file: string };

/** How a database is opened. */
export interface OpenOptions {
  /** File in which page indexes stay from one process to the next. The peer has nothing of the kind. */
  readonly indexes?: string | undefined;
}

/** A program in a process of its own, started, with nothing opened yet. */
export interface Contestant {
  /** Opens a database, after it has closed the one that was open. Nothing that was read before is used again. */
  open(place: Place, options?: OpenOptions): Promise<unknown>;
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
