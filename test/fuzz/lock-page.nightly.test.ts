import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { installMemoryVfs } from "../../src/vfs/memory-vfs.ts";

const PAGE_SIZE = 65_536;
const LOCK_PAGE = 0x4000_0000 / PAGE_SIZE + 1;

// Needs more than 1 GiB of memory, so it is run nightly only.
test.each(["memory", "wal"])(
  "commits past 1 GiB leave out the lock page and nothing else, journal_mode=%s",
  { timeout: 600_000 },
  async (journalMode) => {
    const sqlite3 = await sqlite3InitModule();
    const memory = installMemoryVfs(sqlite3);
    const vfs = installCaptureVfs(sqlite3, { parent: memory.name });
    const db = new sqlite3.oo1.DB(`file:big.db?vfs=${vfs.name}`, "c");
    db.exec(
      `pragma page_size=${PAGE_SIZE}; pragma journal_mode=${journalMode}; pragma cache_size=100`,
    );
    const source = vfs.source(db);
    const seen = new Set<number>();
    let wrong = 0;
    source.listen({
      commit: ({ pages, previousCommit, commit }) => {
        for (const pgno of pages.pgnos) seen.add(pgno);
        for (let pgno = previousCommit + 1; pgno <= commit; pgno++) {
          if (seen.has(pgno) === (pgno === LOCK_PAGE)) wrong++;
        }
        pages.read(pages.pgnos.length - 1);
      },
      needsFull: () => wrong++,
    });
    db.exec("create table t(a integer primary key, b)");
    for (let i = 0; i < 11; i++) db.exec(`insert into t values(${i}, zeroblob(100000000))`);
    expect(source.commit).toBeGreaterThan(LOCK_PAGE);
    expect(wrong).toBe(0);
    expect(seen.has(LOCK_PAGE)).toBe(false);
    expect(seen.size).toBe(source.commit - 1);
    const pgnos: number[] = [];
    for await (const run of (await source.image()).runs) pgnos.push(...run.map(({ pgno }) => pgno));
    expect(pgnos).toHaveLength(source.commit - 1);
    expect(pgnos).not.toContain(LOCK_PAGE);
    db.close();
  },
);
