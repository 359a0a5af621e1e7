import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { buildLtx, type PageSpec } from "../testing/build-ltx.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { installMemoryVfs } from "../vfs/memory-vfs.ts";
import { memoryDrill } from "./memory-drill.ts";
import { type Probe, verify, type VerifyReport } from "./verify.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3, { name: "drill-tests" });

/** The pages of a database that some SQL makes. */
function databaseOf(sql: string): Record<number, Uint8Array> {
  const db = new sqlite3.oo1.DB("made", "c", memory.name);
  db.exec(`PRAGMA journal_mode=MEMORY; ${sql}`);
  db.close();
  const bytes = memory.read("made") as Uint8Array;
  memory.remove("made");
  const count = bytes.length / 4096;
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [i + 1, bytes.slice(i * 4096, (i + 1) * 4096)]),
  );
}

async function replicaOf(pages: Readonly<Record<number, PageSpec>>): Promise<ObjectStore> {
  const store = memoryStore();
  const { name, bytes } = buildLtx({ pages });
  await store.put(`ltx/0/${name}`, bytes);
  return store;
}

const NOTES =
  "CREATE TABLE author(id INTEGER PRIMARY KEY);" +
  "CREATE TABLE note(id INTEGER PRIMARY KEY, body, author REFERENCES author(id));" +
  "CREATE INDEX by_body ON note(body);" +
  "INSERT INTO author VALUES (1); INSERT INTO note VALUES (1, 'a', 1), (2, 'b', 1), (3, x'0102', NULL);";

async function drill(
  pages: Readonly<Record<number, PageSpec>>,
  probes: readonly Probe[] = [],
): Promise<VerifyReport> {
  return await verify(await replicaOf(pages), { restore: memoryDrill(sqlite3), probes });
}

const told = ({ faults }: VerifyReport): string[] =>
  faults.map(({ code, message }) => `${code} ${message}`);

describe("memoryDrill", () => {
  test("memoryDrill() lets SQLite and the probes look at the restored database", async () => {
    const asked: unknown[] = [];
    const report = await drill(databaseOf(NOTES), [
      { sql: "SELECT count(*) FROM note", expected: 3 },
      { sql: "SELECT count(*) FROM note", expected: 3n },
      { sql: "SELECT body FROM note WHERE id = 3", expected: new Uint8Array([1, 2]) },
      { sql: "SELECT author FROM note WHERE id = 3", expected: null },
      { sql: "SELECT 1 FROM note WHERE id = 9", expected: undefined },
      async (database) =>
        void asked.push(...(await database.query("SELECT id, body FROM note LIMIT 2"))),
    ]);
    expect(told(report)).toEqual([]);
    expect(report.drill).toMatchObject({ txid: 1n, checked: true, probes: 6 });
    expect(asked).toEqual([
      { id: 1, body: "a" },
      { id: 2, body: "b" },
    ]);
  });

  test("memoryDrill() tells which probe found what, and runs the others", async () => {
    const report = await drill(databaseOf(NOTES), [
      { sql: "SELECT body FROM note", expected: "z" },
      { sql: "SELECT gone FROM note", expected: 1 },
      { sql: "SELECT 1 FROM note WHERE id = 9", expected: 1 },
      function fresh() {
        throw new Error("the last note is of yesterday");
      },
      { sql: "SELECT 1", expected: 1 },
    ]);
    expect(told(report)).toEqual([
      'PROBE SELECT body FROM note: found "a", expected "z"',
      expect.stringMatching(/^PROBE SELECT gone FROM note: .*no such column: gone/),
      "PROBE SELECT 1 FROM note WHERE id = 9: found no row, expected 1",
      "PROBE fresh: the last note is of yesterday",
    ]);
    expect(report.sound).toBe(false);
  });

  test("memoryDrill() tells broken references and what integrity_check finds", async () => {
    const orphans = "PRAGMA foreign_keys=OFF; INSERT INTO note VALUES (4, 'c', 7), (5, 'd', 8);";
    expect(told(await drill(databaseOf(NOTES + orphans)))).toEqual([
      "FOREIGN_KEY 2 rows of note refer to none of author",
    ]);
    const sound = await verify(await replicaOf(databaseOf(NOTES + orphans)), {
      restore: memoryDrill(sqlite3),
      foreignKeys: false,
    });
    expect(told(sound)).toEqual([]);
    const mismatch =
      "CREATE TABLE p(x); CREATE TABLE c(x REFERENCES p(x)); INSERT INTO c VALUES (1);";
    expect(told(await drill(databaseOf(mismatch), [{ sql: "SELECT 1", expected: 2 }]))).toEqual([
      expect.stringMatching(/^FOREIGN_KEY .*foreign key mismatch/),
      "PROBE SELECT 1: found 1, expected 2",
    ]);
    const pages = databaseOf(NOTES);
    const last = Math.max(...Object.keys(pages).map(Number));
    // An index without its entries.
    const empty = new Uint8Array(4096);
    empty.set([0x0a, 0, 0, 0, 0, 0x10, 0]);
    const faults = told(await drill({ ...pages, [last]: empty }));
    expect(faults[0]).toMatch(/^INTEGRITY [^]*page 4/);
  });

  test("memoryDrill() reports what is no database at all", async () => {
    const report = await drill({ 1: { seed: 1 }, 2: { seed: 2 } }, [
      { sql: "SELECT 1", expected: 1 },
    ]);
    expect(told(report)).toEqual([expect.stringMatching(/^INTEGRITY .*not a database/)]);
    const pages = databaseOf(NOTES);
    const head = (pages[1] as Uint8Array).slice();
    head.set(seededRandom(1).bytes(2000), 100);
    expect((await drill({ ...pages, 1: head })).faults[0]?.code).toBe("INTEGRITY");
  });

  test("memoryDrill() works again and again, whatever happened", async () => {
    for (let i = 0; i < 3; i++) expect((await drill(databaseOf(NOTES))).sound).toBe(true);
    await expect(verify(memoryStore(), { restore: memoryDrill(sqlite3) })).rejects.toMatchObject({
      code: "NO_BACKUP",
    });
  });
});
