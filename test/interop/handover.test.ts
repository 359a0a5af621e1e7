/**
 * One replica, written by turns here and by the real Litestream.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileSink, fileStore } from "@pagestream/node";
import { bytesSink, type PositionToken, replicate, restore } from "pagestream";
import { installCaptureVfs, installSyncFileVfs } from "pagestream/vfs";
import { afterEach, expect, test } from "vitest";
import {
  type Daemon,
  type DaemonOptions,
  describeWithLitestream,
  litestreamRestore,
  litestreamRestoreTo,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import {
  expectSame,
  files,
  isFull,
  openOurs,
  type OurWriter,
  readL0,
  replicaFiles,
  sqlite3,
} from "./our-writer.ts";

afterEach(removeTemporary);

const SCHEMA = `CREATE TABLE t(a INTEGER PRIMARY KEY, who TEXT, b);
  CREATE VIRTUAL TABLE f USING fts5(body);`;

/** A row by this writer, big enough to need pages of its own. */
function row(who: string, size = 6000): string {
  return `INSERT INTO t(who, b) VALUES ('${who}', zeroblob(${size})); INSERT INTO f VALUES ('${who}')`;
}

/** Writers in the order of the rows of a database file, which is not open. */
function writers(bytes: Uint8Array): string {
  const directory = temporaryDirectory();
  const db = new DatabaseSync(join(directory, "copy.db"));
  db.deserialize(withRollbackHeader(bytes));
  try {
    expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    const rows = db.prepare("SELECT who FROM t ORDER BY a").all() as { who: string }[];
    return rows.map((r) => r.who).join(" ");
  } finally {
    db.close();
  }
}

/** The same database marked for a rollback journal. */
function withRollbackHeader(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[18] = 1;
  copy[19] = 1;
  return copy;
}

/** Restores the newest state with both and compares them; returns it. */
async function newestState(replica: string): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(fileStore(replica), sink);
  const theirs = await litestreamRestore(replica, { integrityCheck: "full" });
  expect(theirs.stderr).toBe("");
  expectSame(sink.bytes, theirs.bytes, "the newest state");
  return sink.bytes;
}

interface Turn {
  readonly replica: string;
  /** Path of Litestream's database; restored with Litestream where there is none. */
  readonly path?: string;
  readonly statements: readonly string[];
  readonly daemon?: Omit<DaemonOptions, "databases">;
  /** Waited for before Litestream is stopped. */
  readonly until?: (daemon: Daemon) => boolean;
}

/** Lets Litestream write; returns the database file as it was after its last sync, and the TXIDs of the syncs. */
async function litestreamTurn(turn: Turn): Promise<{ bytes: Uint8Array; txids: bigint[] }> {
  const { replica, statements, until, daemon: options } = turn;
  const path = turn.path ?? join(temporaryDirectory(), "theirs.db");
  if (turn.path === undefined) {
    expect((await litestreamRestoreTo(replica, path)).stderr).toBe("");
  }
  const db = new DatabaseSync(path);
  const txids: bigint[] = [];
  try {
    db.exec("PRAGMA journal_mode=WAL");
    await using daemon = await startDaemon({ databases: { [path]: replica }, ...options });
    txids.push(await daemon.sync(path));
    for (const sql of statements) {
      db.exec(sql);
      txids.push(await daemon.sync(path));
    }
    if (until !== undefined) await waitFor("the files of Litestream", () => until(daemon));
  } finally {
    // Litestream keeps the log when it ends: with nobody else there, closing brings it into the file.
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    db.close();
  }
  return { bytes: readFileSync(path), txids };
}

/** Continues a replica here in a new file, with what the restore has told of its state, or without. */
async function continueOurs(replica: string, position: "token" | "no token"): Promise<OurWriter> {
  const path = join(temporaryDirectory(), "ours.db");
  if (position === "token") {
    // Restores what is missing, and goes on from there.
    const ours = await openOurs({ path, replica });
    expect(ours.opened.restored?.position?.journalHeader).toBe("rollback");
    return ours;
  }
  await restore(fileStore(replica), fileSink(path, { journalHeader: "rollback" }));
  return await openOurs({ path, replica });
}

describeWithLitestream("hand-over between us and Litestream", () => {
  test("Litestream continues what we wrote, and we restore what it wrote", async () => {
    const directory = temporaryDirectory();
    const replica = join(directory, "replica");
    const ours = await openOurs({ path: join(directory, "app.db"), replica });
    await ours.commit(SCHEMA);
    await ours.commit(row("ours"));
    await ours.close();

    const { bytes, txids } = await litestreamTurn({
      replica,
      statements: [row("theirs"), "UPDATE t SET b = NULL", row("theirs")],
    });
    expect(txids).toEqual([3n, 4n, 5n, 6n]);
    expect(isFull(readL0(replica, 3n))).toBe(true);
    expect(isFull(readL0(replica, 4n))).toBe(false);
    const state = await newestState(replica);
    expect(writers(state)).toBe("ours theirs theirs");
    expectSame(state, bytes, "Litestream's own file");
    for (const [txid, copy] of ours.copies) {
      expectSame((await litestreamRestore(replica, { txid })).bytes, copy, `txid ${txid}`);
    }
  });

  test("we continue with the token of the restore, without a full file", async () => {
    const replica = join(temporaryDirectory(), "replica");
    await litestreamTurn({ replica, path: await nativeDatabase(), statements: [row("theirs")] });
    const ours = await continueOurs(replica, "token");
    const before = ours.opened.replication.position.replicated;
    expect(await ours.commit(row("ours", 10))).toBe(before + 1n);
    await ours.close();
    expect(isFull(readL0(replica, before + 1n))).toBe(false);
    expect(writers(await newestState(replica))).toBe("theirs ours");
    expect(writers(await stateOf(replica, before))).toBe("theirs");
  });

  test("the increment after a restore for a rollback journal carries its first page", async () => {
    const replica = join(temporaryDirectory(), "replica");
    await litestreamTurn({ replica, path: await nativeDatabase(), statements: [row("theirs")] });
    const ours = await continueOurs(replica, "token");
    const txid = await ours.commit(row("ours", 10));
    await ours.close();
    // Page 1 is marked WAL in the replica and not in our file; every commit rewrites it.
    expectSame(await newestState(replica), ours.copies.get(txid), "our file");
  });

  test("we continue without the token with the page that changed, one past the newest", async () => {
    const replica = join(temporaryDirectory(), "replica");
    await litestreamTurn({ replica, path: await nativeDatabase(), statements: [row("theirs")] });
    const before = newestTxid(replica);
    const ours = await continueOurs(replica, "no token");
    // Read back, the replica's newest state is what the file holds.
    expect(await ours.flush()).toBe(before);
    const txid = await ours.commit(row("ours", 10));
    await ours.close();
    expect(txid).toBe(before + 1n);
    expect(isFull(readL0(replica, txid))).toBe(false);
    expectSame(await newestState(replica), ours.copies.get(txid), "our file");
    expect(writers(await stateOf(replica, before))).toBe("theirs");
  });

  test("we continue what Litestream has restored, with nothing but the change of the journal mode", async () => {
    const replica = join(temporaryDirectory(), "replica");
    await litestreamTurn({ replica, path: await nativeDatabase(), statements: [row("theirs")] });
    const before = newestTxid(replica);
    const path = join(temporaryDirectory(), "restored.db");
    expect((await litestreamRestoreTo(replica, path)).stderr).toBe("");
    setJournalMode(path, "DELETE");
    const { db, replication } = await openCaptured(path, replica);
    await replication.flush();
    expect(replication.position.replicated).toBe(before + 1n);
    expect(readL0(replica, before + 1n).pages).toHaveLength(1);
    await replication.close();
    db.close();
    expectSame(await newestState(replica), readFileSync(path), "our file");
  });

  test("an earlier state that was restored by choice is refused, and adopted when told", async () => {
    const replica = join(temporaryDirectory(), "replica");
    const path = await nativeDatabase();
    const { txids } = await litestreamTurn({ replica, path, statements: [row("theirs")] });
    const stale = join(temporaryDirectory(), "stale.db");
    const { position } = await restore(
      fileStore(replica),
      fileSink(stale, { journalHeader: "rollback" }),
      { txid: txids[0] as bigint },
    );
    const before = replicaFiles(replica);
    await expect(openCaptured(stale, replica, { position })).rejects.toMatchObject({
      code: "DATABASE_BEHIND",
      txid: txids[0],
      newestTxid: txids[1],
      chosen: true,
    });
    expect(replicaFiles(replica)).toEqual(before);
    const { db, replication } = await openCaptured(stale, replica, { position, onBehind: "adopt" });
    await replication.flush();
    const txid = replication.position.replicated;
    await replication.close();
    db.close();
    expect(txid).toBe((txids[1] as bigint) + 1n);
    expect(isFull(readL0(replica, txid))).toBe(true);
    expectSame(await newestState(replica), readFileSync(stale), "our file");
    expect(writers(await stateOf(replica, txids[1] as bigint))).toBe("theirs");
  });

  test("several rounds", async () => {
    const directory = temporaryDirectory();
    const replica = join(directory, "replica");
    const first = await openOurs({ path: join(directory, "app.db"), replica, pageSize: 1024 });
    await first.commit(SCHEMA);
    await first.close();
    const expected: string[] = [];
    for (let round = 1; round <= 3; round++) {
      await litestreamTurn({ replica, statements: [row(`theirs-${round}`), "VACUUM"] });
      const ours = await continueOurs(replica, round === 2 ? "no token" : "token");
      await ours.commit(row(`ours-${round}`));
      await ours.commit("DELETE FROM f; VACUUM");
      await ours.close();
      expected.push(`theirs-${round}`, `ours-${round}`);
      expect(writers(await newestState(replica))).toBe(expected.join(" "));
    }
    const newest = replicaFiles(replica).reduce(
      (max, f) => (f.maxTxid > max ? f.maxTxid : max),
      0n,
    );
    for (let txid = 1n; txid <= newest; txid++) {
      const theirs = await litestreamRestore(replica, { txid });
      expectSame(await stateOf(replica, txid), theirs.bytes, `txid ${txid}`);
    }
  });

  test("a replica that Litestream has compacted and pruned meanwhile", async () => {
    const directory = temporaryDirectory();
    const replica = join(directory, "replica");
    const first = await openOurs({ path: join(directory, "app.db"), replica });
    for (const sql of [SCHEMA, row("ours"), row("ours"), row("ours")]) await first.commit(sql);
    await first.close();

    const daemon = { levels: ["1s", "2s"], snapshotInterval: "3s", l0Retention: "500ms" };
    const compacted = (after: bigint) => (): boolean => {
      const has = replicaFiles(replica);
      const at = (level: number): boolean =>
        has.some((f) => f.level === level && f.maxTxid > after);
      return at(1) && at(2) && at(9) && has.filter((f) => f.level === 0).length === 1;
    };
    await litestreamTurn({ replica, statements: [row("theirs")], daemon, until: compacted(4n) });
    // What we wrote has gone into the levels.
    const merged = replicaFiles(replica).filter((f) => f.level === 1 && f.minTxid === 1n);
    expect(merged).not.toEqual([]);
    expect(writers(await newestState(replica))).toBe("ours ours ours theirs");

    const ours = await continueOurs(replica, "token");
    const txid = await ours.commit(row("ours", 10));
    await ours.close();
    expect(isFull(readL0(replica, txid))).toBe(false);
    expectSame(await newestState(replica), ours.copies.get(txid), "our file");

    await litestreamTurn({ replica, statements: [row("theirs")], daemon, until: compacted(txid) });
    expect(writers(await newestState(replica))).toBe("ours ours ours theirs ours theirs");
  });

  test("the same file goes over to us and back, straight", async () => {
    const replica = join(temporaryDirectory(), "replica");
    const path = await nativeDatabase();
    const turn = { replica, path, statements: [row("theirs")] };
    const { txids } = await litestreamTurn(turn);
    const before = txids.at(-1) as bigint;

    for (const expected of ["theirs ours theirs", "theirs ours theirs ours theirs"]) {
      setJournalMode(path, "DELETE");
      const newest = newestTxid(replica);
      const { db, replication } = await openCaptured(path, replica);
      await replication.flush();
      const txid = replication.position.replicated;
      expect(txid).toBe(newest + 1n);
      // Nothing but the change of the journal mode.
      expect(readL0(replica, txid).pages).toHaveLength(1);
      db.exec(row("ours"));
      await replication.flush();
      expect(isFull(readL0(replica, txid + 1n))).toBe(false);
      await replication.close();
      db.close();
      expectSame(await newestState(replica), readFileSync(path), "our file");

      // Beside the database lies what Litestream knew before our turn.
      await litestreamTurn(turn);
      expect(writers(await newestState(replica))).toBe(expected);
    }
    expect(writers(await stateOf(replica, before))).toBe("theirs");
  });

  test("who finds a file of Litestream's under its next name stops, and takes over when told", async () => {
    const directory = temporaryDirectory();
    const replica = join(directory, "replica");
    const ours = await openOurs({ path: join(directory, "app.db"), replica });
    await ours.commit(SCHEMA);
    await litestreamTurn({ replica, statements: [row("theirs")] });
    const newest = newestTxid(replica);

    ours.db.exec(row("ours"));
    const { replication } = ours.opened;
    await expect(replication.flush()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(newestTxid(replica)).toBe(newest);
    expect(writers(await newestState(replica))).toBe("theirs");

    await replication.takeOver();
    const txid = await ours.flush();
    await ours.close();
    expect(txid).toBe(newest + 1n);
    expect(isFull(readL0(replica, txid))).toBe(true);
    expectSame(await newestState(replica), ours.copies.get(txid), "our file");
    expect(writers(await stateOf(replica, newest))).toBe("theirs");
  });

  test("an old file opened again is brought to the other's newest state, and goes on from there", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const first = await openOurs({ path, replica });
    await first.commit(SCHEMA);
    await first.close();
    await litestreamTurn({ replica, statements: [row("theirs")] });
    const theirs = newestTxid(replica);

    const second = await openOurs({ path, replica });
    expect(second.opened.restored?.txid).toBe(theirs);
    const txid = await second.commit(row("ours"));
    await second.close();
    expect(txid).toBe(theirs + 1n);
    expect(isFull(readL0(replica, txid))).toBe(false);
    expect(writers(await newestState(replica))).toBe("theirs ours");
  });

  test("an old file with work of its own is shipped behind the other's states, which stay restorable", async () => {
    const directory = temporaryDirectory();
    const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
    const first = await openOurs({ path, replica });
    await first.commit(SCHEMA);
    await first.close();
    await litestreamTurn({ replica, statements: [row("theirs")] });
    const theirs = newestTxid(replica);
    const alone = new DatabaseSync(path);
    alone.exec(row("alone"));
    alone.close();

    const second = await openOurs({ path, replica });
    const txid = await second.flush();
    await second.close();
    expect(second.opened.restored).toBeUndefined();
    expect(txid).toBe(theirs + 1n);
    expectSame(await newestState(replica), readFileSync(path), "our file");
    expect(writers(await newestState(replica))).toBe("alone");
    expect(writers(await stateOf(replica, theirs))).toBe("theirs");
  });
});

/** A database written by native SQLite, in WAL mode, closed. */
async function nativeDatabase(): Promise<string> {
  const path = join(temporaryDirectory(), "native.db");
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA page_size=4096; PRAGMA journal_mode=WAL; ${SCHEMA}`);
  // Enough pages that an increment cannot be taken for a full file.
  db.exec("CREATE TABLE ballast(b); INSERT INTO ballast VALUES (randomblob(100000))");
  db.close();
  return path;
}

function setJournalMode(path: string, mode: string): void {
  const db = new DatabaseSync(path);
  expect(db.prepare(`PRAGMA journal_mode=${mode}`).get()).toEqual({
    journal_mode: mode.toLowerCase(),
  });
  db.close();
}

function newestTxid(replica: string): bigint {
  return replicaFiles(replica).reduce((max, f) => (f.maxTxid > max ? f.maxTxid : max), 0n);
}

async function stateOf(replica: string, txid: bigint): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(fileStore(replica), sink, { txid });
  return sink.bytes;
}

const base = installSyncFileVfs(sqlite3, { files, name: "handover" });
const capture = installCaptureVfs(sqlite3, { parent: base.name, name: "handover-capture" });

/** Opens an existing file here and replicates it, with nothing known of earlier runs. */
async function openCaptured(
  path: string,
  replica: string,
  options: { readonly position?: PositionToken | undefined; readonly onBehind?: "adopt" } = {},
): Promise<{
  db: InstanceType<typeof sqlite3.oo1.DB>;
  replication: Awaited<ReturnType<typeof replicate>>;
}> {
  const db = new sqlite3.oo1.DB(path, "w", capture.name);
  try {
    const settings = { groupMs: 0, ...options };
    return { db, replication: await replicate(capture.source(db), fileStore(replica), settings) };
  } catch (error) {
    db.close();
    throw error;
  }
}
