import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../transports/memory.ts";
import { bytesSink } from "./bytes-sink.ts";
import { openReplicated } from "./open-replicated.ts";
import { restore } from "./restore.ts";

const sqlite3 = await sqlite3InitModule();
sqlite3.config.warn = sqlite3.config.error = () => {};

let databases = 0;

/** A replica of a database with an index, after a last statement. */
async function replicaOf(last = ""): Promise<ReturnType<typeof memoryStore>> {
  const store = memoryStore();
  const path = `checked-${++databases}.db`;
  const app = await openReplicated({ sqlite3, path, replica: store });
  app.db.exec("CREATE TABLE t(a, b); CREATE INDEX i ON t(b)");
  for (let i = 0; i < 50; i++) app.db.exec(`INSERT INTO t VALUES (${i}, 'row ${i}')`);
  if (last !== "") app.db.exec(last);
  await app.close();
  return store;
}

describe("bytesSink()", () => {
  for (const integrityCheck of ["quick", "full"] as const) {
    test(`restores into memory with a ${integrityCheck} check when it has sqlite-wasm`, async () => {
      const sink = bytesSink({ sqlite3 });
      const { size } = await restore(await replicaOf(), sink, { integrityCheck });
      expect(sink.bytes.length).toBe(size);
    });
  }

  test("keeps nothing of a database that the check finds broken", async () => {
    const broken = await replicaOf("UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 3");
    const sink = bytesSink({ sqlite3 });
    const restoring = restore(broken, sink, { integrityCheck: "full" });
    await expect(restoring).rejects.toMatchObject({ code: "INTEGRITY" });
    expect(sink.bytes.length).toBe(0);
  });

  test("refuses a check it has no SQLite for", async () => {
    const restoring = restore(await replicaOf(), bytesSink(), { integrityCheck: "quick" });
    await expect(restoring).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});
