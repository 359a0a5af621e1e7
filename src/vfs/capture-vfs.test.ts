import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import type { CommittedTransaction } from "../core/commit-source.ts";
import { installCaptureVfs } from "./capture-vfs.ts";
import { installMemoryVfs } from "./memory-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3);
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });

test("installCaptureVfs() delivers the pages of a commit", () => {
  const db = new sqlite3.oo1.DB(`file:a.db?vfs=${vfs.name}`, "c");
  db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=memory");
  const seen: { commit: number; pgnos: number[]; bytes: number[] }[] = [];
  const needed: string[] = [];
  vfs.source(db).listen({
    commit: ({ commit, pages }: CommittedTransaction) =>
      seen.push({
        commit,
        pgnos: [...pages.pgnos],
        bytes: [...pages.pgnos].map((_, i) => pages.read(i).length),
      }),
    needsFull: (reason) => needed.push(reason),
  });
  db.exec("CREATE TABLE t(a)");
  db.exec("INSERT INTO t VALUES (42)");
  expect(needed).toEqual([]);
  expect(seen).toEqual([
    { commit: 2, pgnos: [1, 2], bytes: [4096, 4096] },
    { commit: 2, pgnos: [1, 2], bytes: [4096, 4096] },
  ]);
  db.close();
});
