import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { installCaptureVfs, installMemoryVfs } from "../vfs/index.ts";
import { checkpointed } from "./checkpointed.ts";
import { testCommitSource } from "./test-commit-source.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3, { name: "contract-memory" });
const capture = installCaptureVfs(sqlite3, { parent: memory.name, name: "contract" });
let count = 0;

for (const mode of ["MEMORY", "DELETE", "TRUNCATE", "PERSIST", "WAL"]) {
  testCommitSource(
    () => {
      const path = `${++count}.db`;
      const db = new sqlite3.oo1.DB(`file:${path}?vfs=${capture.name}`, "c");
      db.exec(`PRAGMA page_size = 4096; PRAGMA journal_mode = ${mode}`);
      return {
        source: capture.source(db),
        write: (sql) => void db.exec(sql),
        file: () => checkpointed(memory.read(path) ?? new Uint8Array(), memory.read(`${path}-wal`)),
        close: () => db.close(),
      };
    },
    {
      describe,
      test,
      expect,
      pageSizeChange: mode !== "WAL",
      name: `capture VFS in ${mode} mode keeps the commit source contract`,
    },
  );
}
