import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { bytesSink } from "../replica/bytes-sink.ts";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { openReplicated, type OpenReplicatedOptions } from "./open-replicated.ts";
import { restore } from "./restore.ts";

type Sqlite3 = Awaited<ReturnType<typeof newSqlite3>>;

async function newSqlite3() {
  const sqlite3 = await sqlite3InitModule();
  sqlite3.config.warn = sqlite3.config.error = () => {};
  return sqlite3;
}

const PATH = "/data/app.db";

async function open(options: Partial<OpenReplicatedOptions<Sqlite3>> & { replica: ObjectStore }) {
  return await openReplicated({ sqlite3: await newSqlite3(), path: PATH, ...options });
}

async function rows(replica: ObjectStore): Promise<unknown> {
  const sink = bytesSink();
  await restore(replica, sink, { position: false });
  const sqlite3 = await newSqlite3();
  const db = new sqlite3.oo1.DB(":memory:");
  const pointer = sqlite3.wasm.allocFromTypedArray(sink.bytes);
  const size = sink.bytes.length;
  sqlite3.capi.sqlite3_deserialize(db.pointer!, "main", pointer, size, size, 1);
  const count = db.selectValue("SELECT count(*) FROM note");
  db.close();
  return count;
}

const HOLDS = [
  ["hold-retry", "truncate"],
  ["hold-retry", "delete"],
  ["hold-jspi", "truncate"],
  ["hold-jspi", "wal"],
] as const;

describe("openReplicated()", () => {
  for (const [durability, journalMode] of HOLDS) {
    test(`with ${durability} and ${journalMode}, COMMIT returns when the store has it`, async () => {
      const files = memorySyncFiles();
      files.makeDirectory("/data");
      const replica = memoryStore();
      const app = await open({ files, replica, durability, journalMode });
      await app.transaction(() => app.db.exec("CREATE TABLE note(body)"));
      for (let i = 1; i <= 5; i++) {
        await app.transaction(() => app.db.exec(`INSERT INTO note VALUES (${i})`));
        const { local, replicated } = app.replication.position;
        expect(replicated).toBe(local);
        expect(await rows(replica)).toBe(i);
      }
      expect(() => app.db.exec("INSERT INTO note VALUES (6)")).toThrow();
      await app.close();
      const again = await open({ files, replica, durability, journalMode });
      await again.transaction(() => again.db.exec("INSERT INTO note VALUES (7)"));
      await again.close();
      expect(await rows(replica)).toBe(6);
    });

    test(`with ${durability} and ${journalMode}, a store that fails makes COMMIT fail, and nothing is lost`, async () => {
      const files = memorySyncFiles();
      files.makeDirectory("/data");
      const good = memoryStore();
      let broken = false;
      const replica: ObjectStore = {
        ...good,
        put: (key, body, options) =>
          broken ? new Promise(() => {}) : good.put(key, body, options),
      };
      const app = await open({ files, replica, durability, journalMode, holdDeadlineMs: 50 });
      await app.transaction(() => app.db.exec("CREATE TABLE note(body)"));
      broken = true;
      const failed = app.transaction(() => app.db.exec("INSERT INTO note VALUES (1)"));
      const call = (): unknown => app.db.exec("SELECT 1");
      await Promise.resolve().then(() => Promise.resolve());
      expect(call).toThrow(/COMMITs waits/u);
      const error = await failed.catch((e: unknown) => e);
      expect(isPagestreamError(error, "OUTCOME_UNKNOWN")).toBe(true);
      expect(app.db.selectValue("SELECT count(*) FROM note")).toBe(0);
      await expect(
        app.transaction(() => app.db.exec("INSERT INTO note VALUES (2)")),
      ).rejects.toThrow();
      broken = false;
      const closed = await app.close({ deadlineMs: 50 }).catch((e: unknown) => e);
      expect(closed).toBeInstanceOf(Error);
    });
  }
});
