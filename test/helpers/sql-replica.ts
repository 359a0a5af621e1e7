/**
 * A replica of a database that SQL makes: one transaction per LTX file.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { buildLtx } from "../../src/testing/build-ltx.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";

/** A database and its replica. */
export interface SqlReplica extends Disposable {
  /** Holds the replica. */
  readonly store: ObjectStore;
  /** Runs SQL and writes what it changed as the next TXID. */
  commit(sql: string): Promise<bigint>;
}

/** Makes an empty database with pages of `pageSize` bytes. */
export function sqlReplica(pageSize = 1024): SqlReplica {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-sql-"));
  const path = join(folder, "db");
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA page_size=${pageSize}; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF`);
  const store = memoryStore();
  let before: readonly Buffer[] = [];
  let txid = 0n;
  return {
    store,
    async commit(sql) {
      db.exec(sql);
      const file = readFileSync(path);
      const pages = Array.from({ length: file.length / pageSize }, (_, i) =>
        file.subarray(i * pageSize, (i + 1) * pageSize),
      );
      const changed = pages.flatMap((page, i) =>
        before[i]?.equals(page) === true ? [] : [[i + 1, page] as const],
      );
      txid++;
      const spec = { minTxid: txid, pageSize, commit: pages.length, compacted: false };
      const built = buildLtx({ ...spec, pages: Object.fromEntries(changed) });
      const time = new Date(built.timestamp).toISOString();
      await store.put(`ltx/0/${built.name}`, built.bytes, {
        metadata: { "litestream-timestamp": time },
      });
      before = pages;
      return txid;
    },
    [Symbol.dispose]() {
      db.close();
      rmSync(folder, { recursive: true });
    },
  };
}
