/**
 * Levels and snapshots written here, read by the real Litestream; and by turns with its daemon.
 *
 * @module
 */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import {
  bytesSink,
  compact,
  type LevelsOptions,
  listRestorePoints,
  type ObjectStore,
  restore,
  retain,
} from "pagestream";
import { afterAll, expect, test } from "vitest";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import {
  type Daemon,
  describeWithLitestream,
  litestreamRestore,
  litestreamRestoreTo,
  litestreamVfs,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import { expectSame, openOurs, type OurWriter, replicaFiles } from "./our-writer.ts";

// They mostly wait for the daemon's boundaries, and do it together.
afterAll(removeTemporary);

/** Every level within a second, and snapshots as often. */
const FAST: LevelsOptions = {
  levels: [{ intervalMs: 100 }, { intervalMs: 200 }, { intervalMs: 400 }],
  snapshot: { intervalMs: 700, retentionMs: 700 },
  l0RetentionMs: 300,
  l0RetentionCheckMs: 50,
};

const SLOW = { levels: ["1s", "1s", "1s"], snapshotInterval: "1s" } as const;

const SCHEMA = "CREATE TABLE t(a INTEGER PRIMARY KEY, who TEXT, b)";

function row(who: string): string {
  return `INSERT INTO t(who, b) VALUES ('${who}', randomblob(3000))`;
}

/** `level:min-max` of the files of a replica, above level 0. */
function levelsOf(replica: string): string[] {
  return replicaFiles(replica)
    .filter(({ level }) => level > 0)
    .map(({ level, minTxid, maxTxid }) => `${level}:${minTxid}-${maxTxid}`);
}

function reach(replica: string, level: number): bigint {
  const files = replicaFiles(replica).filter((file) => file.level === level);
  return files.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
}

/** Restores every point with both and compares them; the newest is `expected`. */
async function expectAlike(replica: string, expected: Uint8Array, what: string): Promise<void> {
  const points = await listRestorePoints(fileStore(replica));
  // The oldest and the newest, and some between: a run of the command costs a tenth of a second.
  const step = Math.max(1, Math.floor(points.length / 3));
  for (const [i, { txid }] of points.entries()) {
    if (i % step !== 0 && i !== points.length - 1) continue;
    const ours = bytesSink({ journalHeader: "keep" });
    await restore(fileStore(replica), ours, { txid });
    const theirs = await litestreamRestore(replica, { txid });
    expectSame(theirs.bytes, ours.bytes, `${what}, txid ${txid}: ${theirs.stderr}`);
  }
  const newest = await litestreamRestore(replica, { integrityCheck: "full" });
  expectSame(newest.bytes, expected, `${what}, the newest state: ${newest.stderr}`);
}

/** Commits until a condition holds; each commit is uploaded. */
async function commitUntil(ours: OurWriter, who: string, done: () => boolean): Promise<void> {
  await waitFor(`levels after commits of ${who}`, async () => {
    await ours.commit(row(who));
    return done();
  });
}

/** A copy of a replica with some of its files. */
function partOf(
  replica: string,
  keep: (file: { level: number; maxTxid: bigint }) => boolean,
): string {
  const part = join(temporaryDirectory(), "part");
  for (const file of replicaFiles(replica).filter(keep)) {
    const to = join(part, "ltx", String(file.level));
    mkdirSync(to, { recursive: true });
    cpSync(file.path, join(to, file.path.slice(file.path.lastIndexOf("/") + 1)), {
      preserveTimestamps: true,
    });
  }
  return part;
}

/** Rows of each writer as a query of the VFS library answers. */
async function rowsByVfs(replica: string): Promise<string> {
  const sql = "SELECT who, count(*), sum(length(b)) FROM t GROUP BY who;";
  const { stdout, stderr, code } = await litestreamVfs(`file://${replica}`, sql);
  expect(code, stderr).toBe(0);
  return stdout.replace(/^time=.*\n/gmu, "").trim();
}

function rowsOf(bytes: Uint8Array): string {
  const db = new DatabaseSync(":memory:");
  const copy = bytes.slice();
  copy[18] = copy[19] = 1;
  db.deserialize(copy);
  const sql = "SELECT who || '|' || count(*) || '|' || sum(length(b)) AS text FROM t GROUP BY who";
  const rows = db.prepare(sql).all() as { text: string }[];
  db.close();
  return rows.map(({ text }) => text).join("\n");
}

describeWithLitestream("levels written here", () => {
  test.concurrent("restore by the command and open by the library, each level by itself too", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const ours = await openOurs({ path, replica, keep: FAST });
    await ours.commit(SCHEMA);
    // A second file of level 3: it continues another one.
    await commitUntil(ours, "us", () => reach(replica, 3) > 0n);
    const first = reach(replica, 3);
    await commitUntil(ours, "us", () => reach(replica, 3) > first);
    await ours.close();
    await compact(fileStore(replica));
    const newest = reach(replica, 0);
    const expected = ours.copies.get(newest) as Buffer;
    expect([1, 2, 3].map((level) => reach(replica, level))).toEqual([newest, newest, newest]);
    await expectAlike(replica, expected, "all levels");
    expect(await rowsByVfs(replica)).toBe(rowsOf(expected));
    for (const level of [1, 2, 3]) {
      const part = partOf(
        replica,
        (file) => [level, 9].includes(file.level) || file.maxTxid === newest,
      );
      const { bytes, stderr } = await litestreamRestore(part, { txid: newest });
      expectSame(bytes, expected, `level ${level} alone: ${stderr}`);
    }
    const part = partOf(replica, (file) => [3, 9].includes(file.level));
    expect(await rowsByVfs(part)).toBe(rowsOf(expected));
  });

  test.concurrent("follow on what its daemon wrote, and its daemon on ours", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA journal_mode=WAL; ${SCHEMA}`);
    await daemonTurn(db, { path, replica, who: "they" });
    db.close();
    const theirs = await litestreamRestore(replica);
    await expectAlike(replica, theirs.bytes as Buffer, "their replica");

    // Compacted and retained here, by hand.
    await compact(fileStore(replica));
    expect(reach(replica, 3)).toBe(reach(replica, 0));
    const { remove } = await retain(fileStore(replica), {
      snapshot: { retentionMs: 1 },
      l0RetentionMs: 1,
    });
    expect(remove.length).toBeGreaterThan(0);
    expect(replicaFiles(replica).filter(({ level }) => level === 0).length).toBe(1);
    await expectAlike(replica, theirs.bytes as Buffer, "their replica, compacted and retained");

    // Continued here, with levels.
    const before = reach(replica, 3);
    const ours = await openOurs({ path: join(directory, "ours.db"), replica, keep: FAST });
    await commitUntil(ours, "us", () => reach(replica, 3) > before + 2n);
    const last = await ours.flush();
    await ours.close();
    await expectAlike(replica, ours.copies.get(last) as Buffer, "their replica, continued here");

    // And handed back.
    const again = join(directory, "again.db");
    await litestreamRestoreTo(replica, again);
    const back = new DatabaseSync(again);
    await daemonTurn(back, { path: again, replica, who: "they again" });
    back.close();
    const text = rowsOf((await litestreamRestore(replica)).bytes as Buffer);
    expect(text.split("\n").map((line) => line.split("|")[0])).toEqual([
      "they",
      "they again",
      "us",
    ]);
    await expectAlike(replica, (await litestreamRestore(replica)).bytes as Buffer, "handed back");
  });

  test.concurrent("keep Litestream able to restore and to compact after each step of a new page size", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const steps: string[] = [];
    const inner = fileStore(replica);
    let isRecording = false;
    const store: ObjectStore = {
      ...inner,
      async put(key, body, options) {
        const result = await inner.put(key, body, options);
        if (isRecording) {
          steps.push(`${key.slice(4, 5)}`);
          cpSync(replica, join(directory, `step${steps.length}`), {
            recursive: true,
            preserveTimestamps: true,
          });
        }
        return result;
      },
    };
    const keep: LevelsOptions = {
      levels: [{ intervalMs: 50 }, { intervalMs: 100 }, { intervalMs: 3_600_000 }],
      retention: { enabled: false },
      snapshot: { intervalMs: 10 * 86_400_000 },
    };
    const ours = await openOurs({ path, replica, store, keep, pageSize: 4096 });
    await ours.commit(SCHEMA);
    await commitUntil(ours, "us", () => reach(replica, 2) > 3n);
    await waitFor("level 2", () => reach(replica, 2) >= reach(replica, 0));
    const old = await ours.commit(row("us"));
    isRecording = true;
    ours.db.exec("PRAGMA page_size=8192; VACUUM");
    const changed = await ours.flush();
    isRecording = false;
    await ours.close();
    expect(steps.slice(-2)).toEqual(["9", "0"]);
    expect(steps).toContain("3");
    await Promise.all(
      steps.map(async (level, i) => {
        const step = join(directory, `step${i + 1}`);
        const isNew = level === "9" || level === "0";
        const expected = ours.copies.get(isNew ? changed : old) as Buffer;
        const restored = await litestreamRestore(step, { integrityCheck: "full" });
        expectSame(restored.bytes, expected, `after step ${i + 1}, level ${level}`);
        const copy = join(directory, `step${i + 1}.db`);
        await litestreamRestoreTo(step, copy);
        const db = new DatabaseSync(copy);
        const log = await daemonTurn(db, { path: copy, replica: step, who: "they" });
        db.close();
        expect(log.match(/level=ERROR.*|compaction failed.*/gu) ?? [], `step ${i + 1}`).toEqual([]);
        const { bytes, stderr } = await litestreamRestore(step, { integrityCheck: "full" });
        expect(rowsOf(bytes as Buffer), stderr).toBe(`they|3|9000\n${rowsOf(expected)}`);
      }),
    );
  });
});

/** Lets the daemon write three rows and compact them into every level; returns its log. */
async function daemonTurn(
  db: DatabaseSync,
  turn: { readonly path: string; readonly replica: string; readonly who: string },
): Promise<string> {
  const { path, replica, who } = turn;
  db.exec("PRAGMA busy_timeout=5000");
  const daemon: Daemon = await startDaemon({ databases: { [path]: replica }, ...SLOW });
  try {
    let txid = 0n;
    for (let i = 0; i < 3; i++) {
      db.exec(row(who));
      txid = await daemon.sync(path);
    }
    await waitFor(
      `every level of the daemon at ${txid}: ${levelsOf(replica).join(" ")}`,
      () => [1, 2, 3, 9].every((level) => reach(replica, level) >= txid),
      15_000,
    );
  } finally {
    await daemon.stop();
  }
  const wal = `${path}-wal`;
  const bytes = checkpointed(readFileSync(path), existsWal(wal));
  const { bytes: restored, stderr } = await litestreamRestore(replica);
  expectSame(restored, bytes, `what ${who} wrote: ${stderr}`);
  return daemon.log;
}

function existsWal(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
