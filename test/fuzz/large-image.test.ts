/**
 * Snapshots of a database of 200 MB while writers go on: each is the file as it was at its commit boundary, and none
 * is ever held in memory.
 *
 * @module
 */
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileSink, syncFiles } from "../../adapters/node/files.ts";
import { fileStore } from "../../adapters/files/file-store.ts";
import { replicate } from "../../src/api/replicate.ts";
import { restore } from "../../src/api/restore.ts";
import type { CommitSource, DatabaseImage } from "../../src/core/commit-source.ts";
import { fileState } from "../../src/replica/local-state.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { installSyncFileVfs } from "../../src/vfs/sync-file-vfs.ts";

const MEGABYTE = 1_000_000;
const ROWS = 50_000;
const directory = mkdtempSync(join(tmpdir(), "pagestream-large-"));
const path = join(directory, "app.db");
const boundary = join(directory, "boundary.db");
const store = fileStore(join(directory, "replica"));
const files = syncFiles();

const sqlite3 = await sqlite3InitModule();
installSyncFileVfs(sqlite3, { files, name: "large" });
const capture = installCaptureVfs(sqlite3, { parent: "large", name: "large-capture" });
const db = new sqlite3.oo1.DB(path, "c", capture.name);

/** Copies the file at the boundary of every whole image. */
function copying(source: CommitSource): CommitSource {
  return {
    ...source,
    get pageSize() {
      return source.pageSize;
    },
    get commit() {
      return source.commit;
    },
    get sequence() {
      return source.sequence;
    },
    async image(options): Promise<DatabaseImage> {
      const image = await source.image(options);
      if (options?.pages === undefined) copyFileSync(path, boundary);
      return image;
    },
  };
}

const random = seededRandom(200);
const updateOne = (): void => {
  db.exec(`UPDATE t SET body = randomblob(3900) WHERE id = ${1 + random.int(ROWS)}`);
};

beforeAll(() => {
  db.exec(`PRAGMA page_size=4096; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;
    CREATE TABLE t(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ${ROWS})
    INSERT INTO t(body) SELECT randomblob(3900) FROM n`);
  expect(statSync(path).size).toBeGreaterThan(200 * MEGABYTE);
}, 60_000);

afterAll(() => {
  db.close();
  rmSync(directory, { recursive: true, force: true });
});

for (const mode of ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL"]) {
  test(`an image of 200 MB is its commit boundary while a commit follows each run, ${mode}`, async () => {
    db.exec(`PRAGMA journal_mode=${mode}`);
    // In WAL mode the file is the boundary only if nothing of it is left in the WAL.
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const image = await copying(capture.source(db)).image();
    const copy = openSync(boundary, "r");
    const expected = Buffer.alloc(image.pageSize);
    let different = 0;
    let pages = 0;
    for await (const run of image.runs) {
      for (const { pgno, data } of run) {
        readSync(copy, expected, 0, expected.length, (pgno - 1) * expected.length);
        if (!expected.equals(data)) different++;
        pages++;
      }
      updateOne();
    }
    closeSync(copy);
    expect({ pages, different }).toEqual({ pages: image.commit, different: 0 });
  });
}

test("a snapshot of 200 MB is its commit boundary, and is never held in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  db.exec("PRAGMA journal_mode=TRUNCATE");
  const state = fileState(files, join(directory, "state"));
  const replication = await replicate(copying(capture.source(db)), store, { state });
  await replication.flush();
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  const progress = { done: false, turns: 0, memory: 0 };
  const taken = replication.snapshot().finally(() => (progress.done = true));
  for (; !progress.done; progress.turns++) {
    if (progress.turns % 20 === 0) updateOne();
    if (progress.turns % 50 === 0) {
      collectGarbage();
      progress.memory = Math.max(progress.memory, process.memoryUsage().arrayBuffers - before);
    }
    await setImmediate();
  }
  const { txid } = await taken;
  // A turn at least for each of the 200 runs.
  expect(progress.turns).toBeGreaterThan(200);
  expect(progress.memory).toBeLessThan(80 * MEGABYTE);
  await replication.close();
  const output = join(directory, "restored.db");
  const result = await restore(store, fileSink(output), { txid, position: false });
  expect(result.files.map(({ level }) => level)).toEqual([9]);
  expect(Buffer.compare(readFileSync(output), readFileSync(boundary))).toBe(0);
});
