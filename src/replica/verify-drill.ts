/**
 * The drill: the newest state is restored, and SQLite and the caller look at what came out.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { InvalidArgumentError, isPagestreamError } from "../core/errors.ts";
import type { Replica } from "./replica.ts";
import type { RestoreResult } from "./restore-options.ts";
import type { RestoreSink } from "./restore-sink.ts";
import { restoreReplica } from "./restore.ts";
import { type DrillResult, faultOf, type VerifyFault } from "./verify-report.ts";

/** A row of a query: values by the names of its columns. */
export type DrillRow = Readonly<Record<string, unknown>>;

/** A restored database, open for reading. */
export interface DrillDatabase {
  /** All rows of one statement; SQLite's own errors are thrown. */
  query(sql: string): readonly DrillRow[] | Promise<readonly DrillRow[]>;
}

/** Where a drill restores to, and the SQLite that opens it: `memoryDrill` and `fileDrill` make one. */
export interface DrillTarget {
  /** Receives the database; after a restore that failed, a second time. */
  readonly sink: RestoreSink;
  /** Opens what the sink has received. */
  open(): DrillDatabase | Promise<DrillDatabase>;
  /** Closes the database, where it was opened, and removes it. Called once, at the end, whatever happened. */
  dispose(): void | Promise<void>;
}

/** A query and the value that the first column of its first row must have; undefined where there must be no row. */
export interface SqlProbe {
  /** One statement that returns rows. */
  readonly sql: string;
  /** Numbers and bigints of the same value are equal, and bytes of the same content. */
  readonly expected: unknown;
}

/** What a caller knows about the database: a query and its answer, or a function that throws where something is wrong. */
export type Probe = SqlProbe | ((database: DrillDatabase) => void | Promise<void>);

/** How to drill. */
export interface DrillOptions {
  /** Where to; true restores nowhere, which proves the pages and asks no SQLite. */
  readonly restore: DrillTarget | true;
  /** Run on the restored database. @default [] */
  readonly probes?: readonly Probe[] | undefined;
  /** Whether references to rows that are not there are faults. @default true */
  readonly foreignKeys?: boolean | undefined;
  /** Ends the drill with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What came of it; `result` is undefined where nothing could be restored. */
export interface Drilled {
  readonly result: DrillResult | undefined;
  readonly faults: readonly VerifyFault[];
}

/** Restores until a failure is believed. */
const ATTEMPTS = 2;

/** Faults of SQLite's check that are told. */
const ROWS = 10;

/** Restores the newest state and looks at it. Errors that say nothing about the replica are thrown. */
export async function drill(replica: Replica, options: DrillOptions): Promise<Drilled> {
  const { restore, probes = [], signal } = options;
  const sink = restore === true ? nowhere() : restore.sink;
  const request = { platform: replica.platform, position: false, signal };
  for (let turn = 1; ; turn++) {
    try {
      const restored = await restoreReplica(replica, sink, request);
      const faults = restore === true ? [] : await look(restore, options);
      return { result: toResult(restored, restore === true ? undefined : probes.length), faults };
    } catch (error) {
      const fault = restoreFault(error);
      if (fault === undefined) throw error;
      // Files may have been moved under the first attempt.
      if (turn === ATTEMPTS) return { result: undefined, faults: [fault] };
    }
  }
}

/** What a failed restore says about the replica; undefined for what says nothing about it. */
function restoreFault(error: unknown): VerifyFault | undefined {
  if (!isPagestreamError(error)) return undefined;
  const message = `the newest state cannot be restored: ${error.message}`;
  if (error.code === "GAP") return { code: "RESTORE", file: undefined, message };
  const file = (error as { readonly file?: string }).file ?? error.object;
  return faultOf(error, file) && { code: "RESTORE", file, message };
}

/** Refuses probes where nobody could run them. */
export function checkProbes(
  restore: DrillTarget | true | undefined,
  probes: readonly Probe[] = [],
): void {
  if (probes.length === 0 || (restore !== undefined && restore !== true)) return;
  throw new InvalidArgumentError({
    operation: "run",
    object: "the probes",
    what: "there is no SQLite to run them",
    next: "Give a target as restore, such as memoryDrill(sqlite3) or fileDrill()",
  });
}

async function look(target: DrillTarget, options: DrillOptions): Promise<VerifyFault[]> {
  const { probes = [], foreignKeys = true } = options;
  const faults: VerifyFault[] = [];
  const add = (code: VerifyFault["code"], message: string): void => {
    faults.push({ code, file: undefined, message });
  };
  let database: DrillDatabase;
  try {
    database = await target.open();
    for (const row of await database.query(`PRAGMA integrity_check(${ROWS})`)) {
      const [text] = Object.values(row);
      if (text !== "ok") add("INTEGRITY", String(text));
    }
  } catch (error) {
    if (isPagestreamError(error)) throw error;
    // SQLite refuses a database whose first page is damaged before it can be checked.
    add("INTEGRITY", textOf(error));
    return faults;
  }
  try {
    for (const { table, parent, rows } of foreignKeys ? await database.query(FOREIGN_KEYS) : []) {
      const what = `${rows} ${rows === 1 ? "row" : "rows"} of ${table} refer to none of ${parent}`;
      add("FOREIGN_KEY", what);
    }
  } catch (error) {
    // What a table declares may not fit the one it refers to.
    add("FOREIGN_KEY", textOf(error));
  }
  for (const [i, probe] of probes.entries()) {
    const wrong = await run(probe, database);
    if (wrong !== undefined) add("PROBE", `${nameOf(probe, i)}: ${wrong}`);
  }
  return faults;
}

const FOREIGN_KEYS = `SELECT "table", parent, count(*) AS rows FROM pragma_foreign_key_check GROUP BY 1, 2 LIMIT ${ROWS}`;

/** What is wrong by a probe. */
async function run(probe: Probe, database: DrillDatabase): Promise<string | undefined> {
  try {
    if (typeof probe === "function") {
      await probe(database);
      return undefined;
    }
    const [row] = await database.query(probe.sql);
    const found = row === undefined ? undefined : Object.values(row)[0];
    if (isSame(found, probe.expected)) return undefined;
    return `found ${show(found)}, expected ${show(probe.expected)}`;
  } catch (error) {
    return textOf(error);
  }
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return equalBytes(a, b);
  // Whether an integer comes as a bigint is the driver's choice.
  const isNumber = (value: unknown): boolean => ["number", "bigint"].includes(typeof value);
  return isNumber(a) && isNumber(b) ? String(a) === String(b) : a === b;
}

function show(value: unknown): string {
  if (value === undefined) return "no row";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
}

function nameOf(probe: Probe, index: number): string {
  const text = typeof probe === "function" ? probe.name : probe.sql;
  return text === "" ? `probe ${index + 1}` : text;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function toResult(restored: RestoreResult, probes: number | undefined): DrillResult {
  const { txid, time, pageSize, commit } = restored;
  return { txid, time, pageSize, commit, checked: probes !== undefined, probes: probes ?? 0 };
}

/** Takes every page, and keeps none. */
function nowhere(): RestoreSink {
  return {
    name: "nowhere",
    journalHeader: "keep",
    start() {},
    write() {},
    truncate() {},
    finish() {},
    abort() {},
  };
}
