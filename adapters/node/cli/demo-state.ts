/**
 * States of the demonstration's database: taken while it is open, compared with what was restored.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Sqlite from "node:sqlite";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { ReplicatedDatabase } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import type { DemoScreen } from "./demo-screen.ts";
import { CONTENT_SQL } from "./demo-workload.ts";
import { CommandError, EXIT } from "./failure.ts";
import { formatTime, plural } from "./format.ts";

/** What a state of the database was, taken while it was there. */
export interface State {
  readonly txid: bigint;
  /** Of the file's bytes. */
  readonly sha256: string;
  readonly rows: number;
  /** Of the rows' content, read by SQLite. */
  readonly content: string;
}

/** Waits until everything is replicated and notes what the database is now. */
export async function takeState(
  app: ReplicatedDatabase<Sqlite3Static>,
  path: string,
): Promise<State> {
  await app.replication.durable();
  const content = createHash("sha256");
  let rows = 0;
  app.db.exec({
    sql: CONTENT_SQL,
    rowMode: "array",
    callback: ([row]) => {
      content.update(`${String(row)}\n`);
      rows++;
    },
  });
  const txid = app.replication.position.replicated;
  return { txid, sha256: hashFile(path), rows, content: content.digest("hex") };
}

/** Compares a restored file with what was noted: its bytes, and its rows as another SQLite, Node's own, reads them. */
export async function compare(path: string, state: State, screen: DemoScreen): Promise<void> {
  const sha256 = hashFile(path);
  if (sha256 !== state.sha256) {
    throw mismatch(`the SHA-256 of ${path} is ${sha256}, it was ${state.sha256}`);
  }
  screen.done(`byte for byte the same: SHA-256 ${sha256.slice(0, 16)}…`);
  const { DatabaseSync } = createRequire(import.meta.url)("node:sqlite") as typeof Sqlite;
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const content = createHash("sha256");
    let rows = 0;
    for (const { row } of database.prepare(CONTENT_SQL).iterate()) {
      content.update(`${String(row)}\n`);
      rows++;
    }
    if (rows !== state.rows || content.digest("hex") !== state.content) {
      throw mismatch(`${path} has ${rows} rows of other content, there were ${state.rows}`);
    }
    screen.done(`${plural(rows, "row")} with the same content, read by Node's own SQLite`);
  } finally {
    database.close();
  }
}

/** A claim of the demonstration that does not hold. */
export function mismatch(what: string): CommandError {
  return new CommandError(`The demonstration failed: ${what}`, {
    code: "INTEGRITY",
    exitCode: EXIT.integrity,
  });
}

function hashFile(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** A state in the JSON of the results. */
export function stateJson(state: State, time: Date): object {
  return {
    txid: formatTxid(state.txid),
    time: formatTime(time),
    sha256: state.sha256,
    rows: state.rows,
    content_sha256: state.content,
  };
}
