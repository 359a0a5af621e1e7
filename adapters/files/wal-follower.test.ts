import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openWal } from "../../src/core/wal-reader.ts";
import { testCommitSource } from "pagestream/testing";
import { afterEach, describe, expect, test } from "vitest";
import { nodeSqliteDriver } from "./native-driver.ts";
import { nodeSqlite } from "./native-sqlite.ts";
import { syncFilesOf } from "./sync-files.ts";
import { openWalFollower, type WalFollower, type WalFollowerOptions } from "./wal-follower.ts";

const files = syncFilesOf(nodeSqlite);
const undo: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function folder(): string {
  const path = fs.mkdtempSync(join(tmpdir(), "pagestream-follower-"));
  undo.push(() => fs.rmSync(path, { recursive: true }));
  return path;
}

/** A connection as an application has it. */
function application(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 1000 });
  undo.push(() => {
    if (database.isOpen) database.close();
  });
  return database;
}

async function follow(
  path: string,
  options: Partial<WalFollowerOptions> = {},
): Promise<WalFollower> {
  const follower = await openWalFollower(path, {
    driver: nodeSqliteDriver,
    files,
    watch: () => () => undefined,
    ...options,
  });
  undo.push(() => follower.close());
  return follower;
}

/** The database as its connections see it. The descriptor stays open: to close one drops SQLite's locks. */
function contents(database: DatabaseSync, fd: number, path: string): Uint8Array {
  const number = (sql: string): number =>
    Number(Object.values(database.prepare(sql).get() ?? {})[0]);
  const pageSize = number("PRAGMA page_size");
  const bytes = new Uint8Array(number("PRAGMA page_count") * pageSize);
  fs.readSync(fd, bytes, 0, bytes.length, 0);
  const log = fs.readFileSync(`${path}-wal`);
  const reader = openWal((offset, length) => log.subarray(offset, offset + length));
  for (const [pgno, offset] of reader?.readPages().frames ?? []) {
    if (pgno * pageSize > bytes.length) continue;
    bytes.set(log.subarray(offset + 24, offset + 24 + pageSize), (pgno - 1) * pageSize);
  }
  return bytes;
}

testCommitSource(
  async () => {
    const path = join(folder(), "app.db");
    const database = application(path);
    database.exec("PRAGMA journal_mode = WAL");
    const fd = fs.openSync(path, "r");
    undo.unshift(() => fs.closeSync(fd));
    const follower = await follow(path);
    return {
      source: follower,
      write(sql) {
        database.exec(sql);
        follower.check();
      },
      file: () => contents(database, fd, path),
    };
  },
  { describe, test, expect, name: "openWalFollower()", pageSizeChange: false },
);
