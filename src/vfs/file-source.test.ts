import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { imageBytes } from "../testing/commit-mirror.ts";
import { type MemorySyncFiles, memorySyncFiles } from "../testing/memory-sync-files.ts";
import { type FileSource, openFileSource } from "./file-source.ts";
import { installMemoryVfs } from "./memory-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3, { name: "file-source" });
let count = 0;

function database(pageSize = 1024, rows = 3000): Uint8Array {
  const path = `${++count}.db`;
  const db = new sqlite3.oo1.DB(`file:${path}?vfs=${memory.name}`, "c");
  db.exec(`PRAGMA page_size=${pageSize}; CREATE TABLE t(body);
    WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ${rows})
    INSERT INTO t SELECT randomblob(900) FROM n`);
  db.close();
  return memory.read(path)!;
}

function place(bytes: Uint8Array): { files: MemorySyncFiles; open: () => FileSource } {
  const files = memorySyncFiles();
  files.place("/a.db", bytes);
  const fingerprint = (): string => String(files.identity("/a.db")?.inode);
  return { files, open: () => openFileSource({ files, path: "/a.db", fingerprint }) };
}

describe("openFileSource()", () => {
  test("image() gives all pages, in runs, and as they are", async () => {
    const bytes = database();
    const source = place(bytes).open();
    expect(source.pageSize * source.commit).toBe(bytes.length);
    const image = await source.image();
    expect(await imageBytes(image)).toEqual(bytes);
    const sizes: number[] = [];
    for (const run of (await source.image()).runsAtOnce()) sizes.push(run.length * 1024);
    expect(sizes.length).toBeGreaterThan(2);
    expect(sizes.slice(0, -1).every((size) => size === 1 << 20)).toBe(true);
    source.close();
  });

  test("image() gives the pages that are asked for, without those past the end", async () => {
    const bytes = database(512, 30);
    const source = place(bytes).open();
    const pages = Uint32Array.of(1, 3, 4, source.commit, source.commit + 1);
    const [run] = [...(await source.image({ pages })).runsAtOnce()];
    expect(run?.map(({ pgno }) => pgno)).toEqual([1, 3, 4, source.commit]);
    for (const { pgno, data } of run ?? []) {
      expect(data).toEqual(bytes.subarray((pgno - 1) * 512, pgno * 512));
    }
    source.close();
  });

  test("image() fails when somebody wrote to the file, or began a journal, meanwhile", async () => {
    const bytes = database();
    for (const path of ["/a.db", "/a.db-wal", "/a.db-journal"]) {
      const { files, open } = place(bytes);
      const source = open();
      const image = await source.image();
      let runs = 0;
      const reading = imageBytes(image, () => {
        if (runs++ === 0) files.place(path, Uint8Array.of(...bytes.subarray(0, 2000), 1));
      });
      const code = path === "/a.db" ? "FOREIGN_ACCESS" : "UNSUPPORTED";
      await expect(reading).rejects.toMatchObject({ code });
      source.close();
    }
  });

  test("image() ends with its signal", async () => {
    const source = place(database()).open();
    const aborter = new AbortController();
    const reading = imageBytes(await source.image({ signal: aborter.signal }), () =>
      aborter.abort(),
    );
    await expect(reading).rejects.toMatchObject({ code: "ABORTED" });
    source.close();
  });

  test("refuses a journal or WAL with content, and takes a finished one", () => {
    const bytes = database(512, 10);
    for (const name of ["/a.db-wal", "/a.db-journal"]) {
      const { files, open } = place(bytes);
      files.place(name, Uint8Array.of(0xd9, 1, 2));
      expect(open).toThrow(/beside it holds what is not in the file\. Open the database/u);
      files.place(name, new Uint8Array(512));
      open().close();
      files.place(name, new Uint8Array(0));
      open().close();
    }
  });

  test("refuses what is no database, and a file that is cut off", () => {
    const bytes = database(512, 10);
    expect(place(new Uint8Array(0)).open).toThrow(/too few for a database header/u);
    expect(place(new Uint8Array(4096).fill(7)).open).toThrow(/not that of a SQLite database/u);
    expect(place(bytes.subarray(0, -1)).open).toThrow(/fewer than its \d+ pages of 512/u);
  });
});
