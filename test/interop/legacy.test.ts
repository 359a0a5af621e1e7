/**
 * Replicas that Litestream 0.3.13 writes while the tests run, restored here, by itself and by Litestream 0.5.
 *
 * @module
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import { bytesSink, listRestorePoints, restore } from "pagestream";
import { afterAll, expect, test } from "vitest";
import {
  litestreamRestore,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import {
  describeWithLitestream03,
  type Litestream03Options,
  restoreWithLitestream03,
  startLitestream03,
} from "../helpers/litestream03.ts";

/** Work of a writer, one after the other, each with a sync in between. */
const STEPS = [
  "INSERT INTO t SELECT value, randomblob(300) FROM generate_series(1, 60)",
  "UPDATE t SET b = randomblob(500) WHERE a % 3 = 0",
  "DELETE FROM t WHERE a > 20",
  "VACUUM",
  "INSERT INTO t SELECT value, randomblob(900) FROM generate_series(100, 190)",
  "UPDATE t SET b = zeroblob(40)",
];

function openDatabase(path: string, pageSize: number): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 10_000 });
  db.exec(`PRAGMA page_size=${pageSize}; PRAGMA journal_mode=WAL; CREATE TABLE t(a, b)`);
  return db;
}

const count = (sql: string): string =>
  sql.replace(
    /FROM generate_series\((\d+), (\d+)\)/,
    "FROM (WITH RECURSIVE n(value) AS (SELECT $1 UNION ALL SELECT value + 1 FROM n WHERE value < $2) SELECT * FROM n)",
  );

/** Lets 0.3.13 replicate a writer; returns when all of it is replicated. */
async function record(
  options: Litestream03Options,
  db: DatabaseSync,
  steps: readonly string[] = STEPS,
): Promise<void> {
  const path = String(options.replica["path"]);
  const daemon = startLitestream03(options);
  try {
    for (const step of steps) {
      const before = (await listRestorePoints(fileStore(path))).length;
      db.exec(count(step));
      await waitFor(`a segment for ${step}: ${daemon.log}`, async () => {
        return (await listRestorePoints(fileStore(path))).length > before;
      });
    }
  } finally {
    await daemon.stop();
  }
}

async function restoredHere(path: string, timestamp?: Date): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(fileStore(path), sink, { timestamp, integrityCheck: "none" });
  return sink.bytes;
}

describeWithLitestream03("Litestream 0.3.13", () => {
  afterAll(removeTemporary);

  test.each([512, 4096, 65536])(
    "restore() gives what Litestream 0.3.13 and 0.5 restore, pages of %i bytes",
    async (pageSize) => {
      const directory = temporaryDirectory();
      const database = join(directory, "app.db");
      const path = join(directory, "replica");
      const options = { directory, database, replica: { path } };
      const db = openDatabase(database, pageSize);
      await record(options, db);
      db.close();
      const here = await restoredHere(path);
      expect(Buffer.compare(here, restoreWithLitestream03(options))).toBe(0);
      expect(Buffer.compare(here, (await litestreamRestore(path)).bytes as Buffer)).toBe(0);

      const points = (await listRestorePoints(fileStore(path))).reverse();
      expect(points.length).toBeGreaterThan(STEPS.length);
      let compared = 0;
      for (const [i, { time }] of points.entries()) {
        const next = points[i + 1]?.time.getTime() ?? 0;
        // Litestream compares nanoseconds, which are not known here: a moment between two files is the same for both.
        if (next - time.getTime() < 5) continue;
        const between = new Date(time.getTime() + 2);
        const there = restoreWithLitestream03(options, between);
        expect(Buffer.compare(await restoredHere(path, between), there)).toBe(0);
        compared++;
      }
      expect(compared).toBeGreaterThan(2);
    },
  );

  test("restore() streams a snapshot of several blocks, and goes on with a later generation", async () => {
    const directory = temporaryDirectory();
    const database = join(directory, "app.db");
    const path = join(directory, "replica");
    const options = { directory, database, replica: { path }, checkpointPages: 1000 };
    const db = openDatabase(database, 4096);
    db.exec(count("INSERT INTO t SELECT value, zeroblob(9000) FROM generate_series(1, 1000)"));
    db.exec(count("INSERT INTO t SELECT value, randomblob(4000) FROM generate_series(1, 500)"));
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    for (let round = 0; round < 2; round++) {
      await record(options, db, ["UPDATE t SET b = randomblob(900) WHERE a % 3 = 0"]);
      // What happens while it is away begins a new generation.
      db.exec("DELETE FROM t WHERE a % 7 = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    }
    db.close();
    const points = await listRestorePoints(fileStore(path));
    expect(new Set(points.map((p) => p.legacy?.generation)).size).toBe(2);
    const here = await restoredHere(path);
    expect(here.length).toBeGreaterThan(5_000_000);
    expect(Buffer.compare(here, restoreWithLitestream03(options))).toBe(0);
  });

  test("restore() follows an upgrade to Litestream 0.5, in which both layouts lie side by side", async () => {
    const directory = temporaryDirectory();
    const database = join(directory, "app.db");
    const path = join(directory, "replica");
    const options = { directory, database, replica: { path } };
    const db = openDatabase(database, 4096);
    await record(options, db);
    const [last] = await listRestorePoints(fileStore(path));
    const before = await restoredHere(path);
    const daemon = await startDaemon({ databases: { [database]: path } });
    try {
      db.exec("UPDATE t SET a = 1");
      await daemon.sync(database);
    } finally {
      await daemon.stop();
    }
    db.close();
    const { bytes } = await litestreamRestore(path);
    const here = await restoredHere(path);
    expect(Buffer.compare(here, bytes as Buffer)).toBe(0);
    expect(Buffer.compare(here, before)).not.toBe(0);
    expect(Buffer.compare(await restoredHere(path, last?.time as Date), before)).toBe(0);
  });
});
