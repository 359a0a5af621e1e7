/**
 * Several replicas of one database, brought up step by step, with the real Litestream as judge after each step: it restores
 * the right state, and where it takes over it goes on with the right TXID.
 *
 * @module
 */
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { type ObjectStore, openReplicated, type ReplicatedDatabase, StoreError } from "pagestream";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestreamRestore,
  litestreamRestoreTo,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import { expectSame, files, replicaFiles, sqlite3 } from "./our-writer.ts";

afterEach(removeTemporary);

const SCHEMA = "CREATE TABLE t(a INTEGER PRIMARY KEY, who TEXT, b)";
const ROW = "INSERT INTO t(who, b) VALUES ('ours', randomblob(5000))";

/** A replica directory whose store can be dead, and which is copied after each file that comes. */
class Place {
  readonly path: string;
  readonly store: ObjectStore;
  dead = false;
  /** Copies of the directory, one per PUT since the list was emptied. */
  steps: string[] = [];

  constructor(path: string) {
    this.path = path;
    const inner = fileStore(path);
    const alive = (operation: string): void => {
      if (!this.dead) return;
      const what = { operation, object: path, what: "no connection" };
      throw new StoreError(what, { retryable: false });
    };
    this.store = {
      ...inner,
      put: (async (key, body, options) => {
        alive("upload");
        const result = await inner.put(key, body, options);
        if (!key.startsWith("ltx/")) return result;
        const step = `${path}-step-${this.steps.length}`;
        cpSync(path, step, { recursive: true });
        this.steps.push(step);
        return result;
      }) as ObjectStore["put"],
      head: async (key, options) => {
        alive("inspect");
        return await inner.head(key, options);
      },
      get: async (key, options) => {
        alive("read");
        return await inner.get(key, options);
      },
      async *list(options) {
        alive("list");
        yield* inner.list(options);
      },
    } as ObjectStore;
  }

  /** `level:min-max` of each file of a copy, or of the directory itself. */
  static names(path: string): string[] {
    return replicaFiles(path)
      .map(({ level, minTxid, maxTxid }) => `${level}:${minTxid}-${maxTxid}`)
      .sort();
  }
}

/** A database here with its replicas, and a copy of the file at each TXID. */
class Ours {
  readonly path: string;
  readonly copies: Map<bigint, Buffer> = new Map();
  opened: ReplicatedDatabase<Sqlite3Static> | undefined;

  constructor(directory: string) {
    this.path = join(directory, "app.db");
  }

  async open(places: readonly Place[], stagingBytes?: number): Promise<void> {
    const replica = places.map(({ store }) => store);
    const bytes = stagingBytes === undefined ? {} : { stagingBytes, groupBytes: stagingBytes };
    const levels: [] = [];
    const settings = { sqlite3, files, path: this.path, groupMs: 0, levels, ...bytes };
    this.opened = await openReplicated({ ...settings, replica });
  }

  /** Commits, waits, and keeps a copy; returns the TXID. */
  async commit(sql: string, at: "any" | "all" = "all"): Promise<bigint> {
    const { db, replication } = this.opened as ReplicatedDatabase<Sqlite3Static>;
    db.exec(sql);
    await replication.flush({ at });
    const { staged } = replication.position;
    this.keep(staged);
    return staged;
  }

  /** Says that the file is now what a TXID is. */
  keep(txid: bigint): void {
    const copy = readFileSync(this.path);
    // What is restored from a replica is marked WAL.
    copy[18] = copy[19] = 2;
    this.copies.set(txid, copy);
  }

  async close(): Promise<void> {
    await this.opened?.close();
    this.opened = undefined;
  }
}

/** Restores a directory with Litestream and compares; without a TXID the newest state is `expected`. */
async function expectState(
  path: string,
  ours: Ours,
  expected: bigint,
  txid?: bigint,
): Promise<void> {
  const restored = await litestreamRestore(path, { txid, integrityCheck: "full" });
  expect(restored.stderr, path).toBe("");
  expectSame(marked(restored.bytes), ours.copies.get(expected), `${path}, txid ${expected}`);
}

function marked(bytes: Buffer | undefined): Buffer | undefined {
  if (bytes !== undefined) bytes[18] = bytes[19] = 2;
  return bytes;
}

/** Lets Litestream go on with a replica, compact it into level 1, and checks what it restores to then. */
async function expectTakenOver(path: string, newest: bigint): Promise<void> {
  const database = join(temporaryDirectory(), "theirs.db");
  expect((await litestreamRestoreTo(path, database)).stderr).toBe("");
  const db = new DatabaseSync(database);
  try {
    db.exec("PRAGMA journal_mode=WAL");
    await using daemon = await startDaemon({ databases: { [database]: path }, levels: ["1s"] });
    const first = await daemon.sync(database);
    expect(first).toBe(newest + 1n);
    db.exec("INSERT INTO t(who, b) VALUES ('theirs', zeroblob(5000))");
    const txid = await daemon.sync(database);
    expect(txid).toBe(newest + 2n);
    await waitFor("level 1 of Litestream", () =>
      replicaFiles(path).some(({ level, maxTxid }) => level === 1 && maxTxid >= txid),
    );
    expect(daemon.log).not.toMatch(/level=ERROR/u);
    const rows = db.prepare("SELECT who, count(*) AS n FROM t GROUP BY who ORDER BY who").all();
    const restored = await litestreamRestoreTo(path, `${database}-restored`, {
      integrityCheck: "full",
    });
    expect(restored.stderr).toBe("");
    const copy = new DatabaseSync(`${database}-restored`);
    expect(
      copy.prepare("SELECT who, count(*) AS n FROM t GROUP BY who ORDER BY who").all(),
    ).toEqual(rows);
    copy.close();
  } finally {
    db.close();
  }
}

describeWithLitestream("several replicas of one database", () => {
  test("one that is added later can be restored by Litestream with its first upload, and continued", async () => {
    const directory = temporaryDirectory();
    const [a, b] = [new Place(join(directory, "a")), new Place(join(directory, "b"))];
    const ours = new Ours(directory);
    await ours.open([a]);
    await ours.commit(SCHEMA);
    let newest = 0n;
    for (let i = 0; i < 3; i++) newest = await ours.commit(ROW);
    await ours.close();
    await ours.open([a, b]);
    await ours.opened?.replication.durable();
    expect(b.steps.map((step) => Place.names(step))).toEqual([
      [`9:1-${newest}`],
      [`0:${newest}-${newest}`, `9:1-${newest}`],
    ]);
    for (const step of b.steps) await expectState(step, ours, newest);
    const last = await ours.commit(ROW);
    for (const { path } of [a, b]) await expectState(path, ours, last);
    await ours.close();
    await expectTakenOver(b.path, last);
  });

  test("one that was left behind restores with Litestream after each step of the bridge, and can be continued", async () => {
    const directory = temporaryDirectory();
    const [a, b] = [new Place(join(directory, "a")), new Place(join(directory, "b"))];
    const ours = new Ours(directory);
    await ours.open([a, b], 16_384);
    await ours.commit(SCHEMA);
    const m = await ours.commit(ROW);
    b.dead = true;
    for (let i = 0; i < 5; i++) await ours.commit(ROW, "any");
    const { replication } = ours.opened as ReplicatedDatabase<Sqlite3Static>;
    expect(replication.destinations[1]).toMatchObject({ state: "behind", replicated: m });
    b.dead = false;
    b.steps = [];
    await replication.flush();
    const n = replication.position.staged;
    ours.keep(n);
    const old = Array.from({ length: Number(m) }, (_, i) => `0:${i + 1}-${i + 1}`);
    expect(b.steps.map((step) => Place.names(step))).toEqual([
      [...old, `1:1-${m}`],
      [...old, `1:1-${m}`, `1:${m + 1n}-${n}`],
      [...old, `0:${n}-${n}`, `1:1-${m}`, `1:${m + 1n}-${n}`].sort(),
    ]);
    const states = [m, n, n];
    for (const [i, step] of b.steps.entries()) {
      await expectState(step, ours, states[i] as bigint);
      await expectState(step, ours, m, m);
    }
    const last = await ours.commit(ROW);
    for (const { path } of [a, b]) await expectState(path, ours, last);
    await ours.close();
    await expectTakenOver(b.path, last);
  });

  test("one with an interior gap is bridged so that Litestream restores it and compacts again", async () => {
    const directory = temporaryDirectory();
    const a = new Place(join(directory, "a"));
    const ours = new Ours(directory);
    await ours.open([a]);
    await ours.commit(SCHEMA);
    for (let i = 0; i < 5; i++) await ours.commit(ROW);
    await ours.close();
    const lost = replicaFiles(a.path).find(({ maxTxid }) => maxTxid === 4n);
    rmSync(lost?.path as string);
    a.steps = [];
    await ours.open([a]);
    const { replication } = ours.opened as ReplicatedDatabase<Sqlite3Static>;
    await replication.flush();
    const n = replication.position.staged;
    ours.keep(n);
    expect(a.steps).toHaveLength(3);
    for (const step of a.steps) await expectState(step, ours, 3n, 3n);
    // The first step only saves what comes before the gap; the second leads over it.
    const [compacted, ...bridged] = a.steps as [string, ...string[]];
    const { stderr } = await litestreamRestore(compacted);
    expect(stderr).toContain("non-contiguous");
    for (const step of bridged) await expectState(step, ours, n);
    const last = await ours.commit(ROW);
    await expectState(a.path, ours, last);
    await ours.close();
    await expectTakenOver(a.path, last);
  });
});
