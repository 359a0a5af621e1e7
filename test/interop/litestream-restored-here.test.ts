/**
 * Replicas that the real Litestream writes while the tests run, restored here and by Litestream to the same point.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import {
  bytesSink,
  GapError,
  isPagestreamError,
  listRestorePoints,
  type PagestreamError,
  restore,
  type RestorePoint,
} from "pagestream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  describeWithLitestream,
  type DaemonOptions,
  litestreamList,
  litestreamRestore,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import { expectSame, replicaFiles } from "./our-writer.ts";

/** A replica that Litestream wrote, at rest. */
interface Recorded {
  readonly replica: string;
  /** TXID of the newest state. */
  readonly newest: bigint;
  /** Name of the replica to show. */
  readonly name: string;
}

type Intervals = Omit<DaemonOptions, "databases">;

/** Work of a live writer, one sync of Litestream after each. */
const STEPS = [
  "INSERT INTO t(b) SELECT randomblob(3000) FROM generated LIMIT 40",
  "INSERT INTO f(body) VALUES ('the quick brown fox'), ('a lazy dog')",
  "UPDATE t SET b = randomblob(900) WHERE a % 3 = 0",
  "INSERT INTO w SELECT 'key ' || a, b FROM t WHERE a < 20",
  "DELETE FROM t WHERE a BETWEEN 5 AND 30",
  "VACUUM",
  "INSERT INTO t(b) SELECT randomblob(5000) FROM generated LIMIT 60",
  "PRAGMA wal_checkpoint(PASSIVE)",
  "DROP TABLE w",
  "UPDATE f SET body = 'foxes' WHERE rowid = 1",
];

/** How long a recording may take: two snapshots and their retention. */
const RECORD_MS = 40_000;

/** Lets Litestream replicate a native writer until every level and the snapshots have files of several TXIDs. */
async function record(name: string, pageSize: number, intervals: Intervals): Promise<Recorded> {
  const directory = temporaryDirectory();
  const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA page_size=${pageSize}; PRAGMA journal_mode=WAL;
    CREATE TABLE t(a INTEGER PRIMARY KEY, b);
    CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    CREATE VIRTUAL TABLE f USING fts5(body);
    CREATE VIEW generated AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n`);
  const daemon = await startDaemon({ databases: { [path]: replica }, ...intervals });
  try {
    let newest = await daemon.sync(path);
    const end = performance.now() + RECORD_MS;
    for (let round = 0; !isRich(replica, intervals); round++) {
      if (performance.now() > end) throw new Error(`${name} is missing files: ${daemon.log}`);
      const step = STEPS[round] ?? `UPDATE t SET b = randomblob(${round}) WHERE a = ${40 + round}`;
      db.exec(step);
      newest = await daemon.sync(path);
      await expectLive(replica, db, newest);
      await nextCompaction(replica, newest);
    }
    await daemon.stop();
    return { name, replica, newest: (await litestreamList(replica)).reduce(maxOf, newest) };
  } finally {
    await daemon.stop();
    db.close();
  }
}

/** Restores while Litestream goes on uploading, compacting and deleting: it must be what was synced last. */
async function expectLive(replica: string, db: DatabaseSync, synced: bigint): Promise<void> {
  const sink = bytesSink({ journalHeader: "rollback" });
  const { txid } = await restore(fileStore(replica), sink);
  expect(txid).toBeGreaterThanOrEqual(synced);
  const copy = new DatabaseSync(":memory:");
  try {
    copy.deserialize(sink.bytes);
    const rows = "SELECT count(*) AS rows, max(a) AS last, sum(length(b)) AS bytes FROM t";
    expect(copy.prepare(rows).get()).toEqual(db.prepare(rows).get());
    expect(copy.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  } finally {
    copy.close();
  }
}

function maxOf(max: bigint, file: { readonly maxTxid: bigint }): bigint {
  return file.maxTxid > max ? file.maxTxid : max;
}

/** Whether the work is done, all levels hold several files, and files have vanished where they should. */
function isRich(replica: string, { levels = [], l0Retention }: Intervals): boolean {
  const files = replicaFiles(replica);
  const count = (level: number): number => files.filter((f) => f.level === level).length;
  const pruned = l0Retention === undefined || !files.some((f) => f.level === 0 && f.minTxid === 1n);
  return (
    pruned &&
    count(9) > 1 &&
    levels.every((_, i) => count(i + 1) > 1) &&
    files.reduce(maxOf, 0n) > BigInt(STEPS.length)
  );
}

/** Waits for a compaction now and then, so that it finds several TXIDs; at the end only time is missing. */
async function nextCompaction(replica: string, txid: bigint): Promise<void> {
  if (txid % 3n !== 0n && txid < STEPS.length) return;
  await waitFor("a compaction", () =>
    replicaFiles(replica).some((f) => f.level === 1 && f.maxTxid >= txid),
  );
}

/** What a restore here gives: bytes, or its error. */
async function restoreHere(
  replica: string,
  target: Parameters<typeof restore>[2],
): Promise<Uint8Array | PagestreamError> {
  const sink = bytesSink({ journalHeader: "keep" });
  try {
    await restore(fileStore(replica), sink, target);
    return sink.bytes;
  } catch (error) {
    if (!isPagestreamError(error)) throw error;
    expect(sink.bytes).toHaveLength(0);
    return error;
  }
}

/** What Litestream says where we give an error. */
const REFUSALS: Readonly<Record<string, RegExp>> = {
  TXID_NOT_AVAILABLE: /no matching backup files available/u,
  TIMESTAMP_NOT_AVAILABLE: /no matching backup files available/u,
  NO_BACKUP: /no matching backup files available/u,
  GAP: /non-contiguous ltx files|no matching backup files available/u,
  DAMAGED_FILE: /decode database|invalid LTX file|unexpected EOF|minimum 100/u,
};

/** Checks that a restore here and one by Litestream end alike. Returns the outcome: "bytes" or our code. */
async function expectAlike(
  replica: string,
  point: { readonly txid?: bigint; readonly timestamp?: Date },
): Promise<string> {
  const { txid, timestamp } = point;
  const what = txid === undefined ? (timestamp?.toISOString() ?? "newest") : `txid ${txid}`;
  const ours = await restoreHere(replica, point);
  // Ours includes the file of exactly that millisecond, Litestream's does not.
  const after = timestamp && new Date(timestamp.getTime() + 1);
  const theirs = await litestreamRestore(replica, { txid, timestamp: after });
  if (ours instanceof Uint8Array) {
    expect(theirs.stderr, what).toBe("");
    expectSame(ours, theirs.bytes, what);
    return "bytes";
  }
  if (timestamp !== undefined && ours instanceof GapError && theirs.code === 0) {
    // Where the wanted state is gone Litestream gives the last one before the break, without a word. We name it.
    const { reached } = ours;
    expectSame((await litestreamRestore(replica, { txid: reached })).bytes, theirs.bytes, what);
    return "GAP";
  }
  expect(theirs.code, `${what}: ${ours.code}`).toBe(1);
  expect(theirs.stderr, `${what}: ${ours.code}`).toMatch(REFUSALS[ours.code] as RegExp);
  return ours.code;
}

/** Checks every TXID, every time of a file, and what lies around them; returns how many of them gave bytes. */
async function expectAllAlike(replica: string): Promise<number> {
  const store = fileStore(replica);
  const points = await listRestorePoints(store);
  const files = replicaFiles(replica);
  const newest = files.reduce(maxOf, 0n);
  const listed = new Set(points.map((p) => p.txid));
  for (let txid = 1n; txid <= newest + 1n; txid++) {
    const outcome = await expectAlike(replica, { txid });
    expect(outcome, `txid ${txid}`).toBe(listed.has(txid) ? "bytes" : "TXID_NOT_AVAILABLE");
  }
  for (const { time } of points) {
    expect(await expectAlike(replica, { timestamp: time })).toBe("bytes");
    await expectAlike(replica, { timestamp: new Date(time.getTime() - 1) });
  }
  // By a configuration Litestream, too, takes a time that is still to come for the newest.
  const tomorrow = new Date((points[0] as RestorePoint).time.getTime() + 86_400_000);
  expect(await expectAlike(replica, { timestamp: tomorrow })).toBe("bytes");
  expect(await expectAlike(replica, {})).toBe("bytes");
  return points.length;
}

/** A copy of a replica with the times of its files. */
function copyOf(replica: string): string {
  const copy = join(temporaryDirectory(), "replica");
  expect(spawnSync("cp", ["-a", replica, copy]).status).toBe(0);
  return copy;
}

describeWithLitestream("replicas written by Litestream, restored here", () => {
  let kept: Recorded;
  let pruned: Recorded;

  beforeAll(async () => {
    const levels = ["1s", "3s"];
    [kept, pruned] = await Promise.all([
      record("all files kept", 4096, { levels, snapshotInterval: "5s" }),
      record("files vanish soon", 1024, {
        levels,
        snapshotInterval: "3s",
        snapshotRetention: "5s",
        l0Retention: "1s",
      }),
    ]);
  }, 90_000);
  afterAll(removeTemporary);

  test("every point of a replica that kept all its files", async () => {
    const points = await expectAllAlike(kept.replica);
    expect(BigInt(points)).toBe(kept.newest);
  });

  test("every point of a replica whose files vanish soon, and the points that are gone", async () => {
    const points = await expectAllAlike(pruned.replica);
    expect(points).toBeGreaterThan(1);
    expect(BigInt(points)).toBeLessThan(pruned.newest);
  });

  describe.each([
    ["compacted levels alone", ["0", "9"]],
    ["level 2 alone", ["0", "1", "9"]],
    ["level 2 and single files", ["1", "9"]],
    ["snapshots alone", ["0", "1", "2"]],
  ] as const)("with %s", (_name, gone) => {
    test("every point that is left", async () => {
      const replica = copyOf(kept.replica);
      for (const level of gone) rmSync(join(replica, "ltx", level), { recursive: true });
      const points = await expectAllAlike(replica);
      expect(points).toBeGreaterThan(0);
    });
  });

  test("a gap, a cut file, a changed byte and nothing at all are refused by both", async () => {
    const replica = copyOf(kept.replica);
    for (const level of ["1", "2", "9"]) rmSync(join(replica, "ltx", level), { recursive: true });
    const l0 = join(replica, "ltx/0");
    const names = readdirSync(l0).sort();
    rmSync(join(l0, names[3] as string));
    expect(await expectAlike(replica, {})).toBe("GAP");
    expect(await expectAlike(replica, { txid: 3n })).toBe("bytes");
    expect(await expectAlike(replica, { txid: 5n })).toBe("TXID_NOT_AVAILABLE");
    rmSync(join(l0, names[0] as string));
    expect(await expectAlike(replica, {})).toBe("GAP");
    rmSync(l0, { recursive: true });
    expect(await expectAlike(replica, {})).toBe("NO_BACKUP");
  });

  test.each([
    [
      "a byte of the newest file is changed",
      "printf '\\377' | dd of=FILE bs=1 seek=300 conv=notrunc",
    ],
    ["the newest file is cut in the middle", "truncate -s 200 FILE"],
    ["the newest file is cut within its header", "truncate -s 90 FILE"],
    ["the newest file has no magic", "printf 'X' | dd of=FILE bs=1 conv=notrunc"],
  ])("both refuse when %s", async (_name, command) => {
    const replica = copyOf(kept.replica);
    for (const level of ["1", "2", "9"]) rmSync(join(replica, "ltx", level), { recursive: true });
    const name = readdirSync(join(replica, "ltx/0")).sort().at(-1) as string;
    const shell = command.replace("FILE", join(replica, "ltx/0", name));
    expect(spawnSync("sh", ["-c", shell]).status).toBe(0);
    expect(await expectAlike(replica, {})).toBe("DAMAGED_FILE");
    expect(await expectAlike(replica, { txid: kept.newest })).toBe("DAMAGED_FILE");
    expect(await expectAlike(replica, { txid: kept.newest - 1n })).toBe("bytes");
  });
});
