/**
 * `pagestream query`: SQL on a replica, without restoring it.
 *
 * @module
 */
import { once } from "node:events";
import { openReplicaDatabase } from "pagestream/vfs";
import { formatTxid } from "pagestream/ltx";
import type { ConfigFlags } from "./configuration.ts";
import { EXIT, usageError } from "./failure.ts";
import { formatBytes, formatTime, plural } from "./format.ts";
import { openTarget } from "./location.ts";
import { formatJson, formatRows } from "./query-format.ts";
import { loadSqliteWasm } from "./sqlite-wasm.ts";
import { stateOf } from "./state-flags.ts";

/** Flags of `pagestream query`. */
export interface QueryFlags extends ConfigFlags {
  readonly txid?: string;
  readonly timestamp?: string;
  readonly json?: boolean;
  readonly stats?: boolean;
}

/** Runs one statement and prints its rows. */
export async function runQuery(
  text: string | undefined,
  sql: string | undefined,
  flags: QueryFlags,
): Promise<number> {
  if (text === undefined || sql === undefined) {
    throw usageError(
      text === undefined ? "replica path or URL required" : "SQL required",
      `pagestream query file:///path/to/replica "SELECT name FROM sqlite_schema"`,
    );
  }
  const state = stateOf(flags);
  const { store } = await openTarget(text, flags);
  try {
    const sqlite3 = await loadSqliteWasm("a query");
    const reading = { sqlite3, replica: store, follow: false, ...state } as const;
    await using database = await openReplicaDatabase({ ...reading, ...MEMORY });
    const { columns, rows } = await database.execute(sql);
    // From the opening on: that is what the question has cost.
    const { requests, bytes, pages } = database.stats;
    const { txid, time } = database;
    if (flags.json === true) {
      const more = flags.stats === true ? { stats: { requests, bytes, pages } } : {};
      await print(formatJson(columns, rows, more));
      return EXIT.ok;
    }
    await print(formatRows(columns, rows));
    if (flags.stats === true) {
      process.stderr.write(
        `${plural(rows.length, "row")} of ${formatTxid(txid)}, ${formatTime(time)}: ` +
          `${plural(requests, "request")}, ${formatBytes(bytes)}, ${plural(pages, "page")}\n`,
      );
    }
    return EXIT.ok;
  } finally {
    await store.close?.();
  }
}

/** Where a statement cannot be suspended it begins again with each page, and keeps all that it has read. */
const MOST = 1024 * 1024 * 1024;
const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: object };
const MEMORY = "Suspending" in wasm ? {} : { cacheBytes: MOST, maxStatementBytes: MOST };

/** No faster than it is read. */
async function print(pieces: Iterable<string>): Promise<void> {
  for (const piece of pieces) {
    if (!process.stdout.write(piece) && !process.stdout.destroyed) {
      await Promise.race([once(process.stdout, "drain"), once(process.stdout, "close")]);
    }
  }
}
