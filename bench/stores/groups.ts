/**
 * What `groupMs` costs in PUTs and brings in time, on a real store.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated } from "pagestream";
import { faultyStore } from "pagestream/testing";
import { s3Store } from "pagestream/transports/s3";
import { s3Options } from "../../test/stores/s3-kit.ts";
import type { ServerAddress } from "../../test/servers/server.ts";

const COMMITS = 100;
const EVERY_MS = 50;

/** What was measured. */
export interface GroupResult {
  readonly commits: number;
  readonly puts: number;
  /** Milliseconds from a commit to its confirmation. */
  readonly p50: number;
  readonly p99: number;
}

/** Commits rows at a steady pace and waits for each to be confirmed, beside the next ones. */
export async function measureGroups(
  address: ServerAddress,
  { groupMs, path }: { readonly groupMs: number; readonly path: string },
): Promise<GroupResult> {
  const store = faultyStore(s3Store({ ...s3Options(address, "bench"), path }));
  const sqlite3 = await sqlite3InitModule();
  const app = await openReplicated({ sqlite3, path: `${path}.db`, replica: store, groupMs });
  try {
    app.db.exec("CREATE TABLE t(a)");
    await app.replication.durable();
    const before = store.count("put");
    const waits: Promise<number>[] = [];
    for (let i = 0; i < COMMITS; i++) {
      app.db.exec("INSERT INTO t VALUES (hex(randomblob(100)))");
      const start = performance.now();
      // Rides the normal cadence: `durable` would upload at once.
      const { local } = app.replication.position;
      waits.push(app.replication.waitFor(local).then(() => performance.now() - start));
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
    const times = (await Promise.all(waits)).toSorted((a, b) => a - b);
    return {
      commits: COMMITS,
      puts: store.count("put") - before,
      p50: times[COMMITS >> 1]!,
      p99: times[COMMITS - 2]!,
    };
  } finally {
    await app.close();
  }
}
