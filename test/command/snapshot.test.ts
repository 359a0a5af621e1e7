/** @module */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { syncFiles } from "../../adapters/node/files.ts";
import {
  describeWithLitestream,
  litestreamRestore,
  removeTemporary,
  startDaemon,
} from "../helpers/litestream.ts";
import { makeScratch, pagestream } from "./command.ts";
import { killRunning, startReplicate } from "./running-daemon.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());
afterEach(removeTemporary);
afterEach(killRunning);

/** A database made by native SQLite and closed again. */
function makeDatabase(setUp = "PRAGMA page_size=4096"): string {
  const path = scratch.next();
  write(path, `${setUp}; CREATE TABLE t(body); INSERT INTO t VALUES (randomblob(9000))`);
  return path;
}

function write(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

/** The files of a replica, as `<level>/<min>-<max>` without leading zeros. */
function filesOf(replica: string): string[] {
  return ["0", "9"].flatMap((level) =>
    readdirSync(join(replica, "ltx", level))
      .sort()
      .map((name) => `${level}/${name.replace(".ltx", "").replace(/0+(?=[0-9a-f])/g, "")}`),
  );
}

describe("pagestream snapshot", () => {
  test("makes an empty place a replica, and says what it did", async () => {
    const [path, replica] = [makeDatabase(), scratch.next("replica")];
    const { code, stdout, stderr } = await pagestream(["snapshot", path, replica]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`Snapshot of ${path} in ${replica}\n`);
    expect(stdout).toMatch(/^ {2}txid {2}0000000000000001$/m);
    expect(stdout).toMatch(/^ {2}size {2}16\.4 kB \(4 pages of 4,096 bytes\)$/m);
    expect(stdout).toMatch(/^ {2}sent {2}[\d.]+ kB in 2 files$/m);
    expect(filesOf(replica)).toEqual(["0/1-1", "9/1-1"]);
  });

  test("sends what has changed since, and nothing when nothing has", async () => {
    const [path, replica] = [makeDatabase(), scratch.next("replica")];
    await pagestream(["snapshot", path, replica]);
    const again = await pagestream(["snapshot", path, replica]);
    expect(again.stdout).toMatch(/^ {2}sent {2}nothing, the replica has it already$/m);
    write(path, "INSERT INTO t VALUES (randomblob(100))");
    const { stdout } = await pagestream(["snapshot", path, replica, "--json"]);
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    expect(summary).toMatchObject({ txid: "0000000000000002", pages: 4, uploaded_files: 2 });
    expect(Object.keys(summary).slice(0, 4)).toEqual(["db_path", "replica", "txid", "duration_ms"]);
    expect(filesOf(replica)).toEqual(["0/1-1", "0/2-2", "9/1-1", "9/1-2"]);
  });

  test("leaves a replica of a later state as it is", async () => {
    const [path, replica] = [makeDatabase(), scratch.next("replica")];
    await pagestream(["snapshot", path, replica]);
    const earlier = readFileSync(path);
    write(path, "INSERT INTO t VALUES (randomblob(9000))");
    await pagestream(["snapshot", path, replica]);
    const before = filesOf(replica);
    writeFileSync(path, earlier);
    const { code, stderr } = await pagestream(["snapshot", path, replica]);
    expect(code).toBe(1);
    expect(stderr).toContain("it equals the earlier state 0000000000000001");
    expect(stderr).toContain(`Try: pagestream restore -force -o ${path} ${replica}\n`);
    expect(filesOf(replica)).toEqual(before);
  });

  test("refuses a database with a WAL or hot journal beside it", async () => {
    for (const suffix of ["-wal", "-journal"]) {
      const path = makeDatabase();
      writeFileSync(path + suffix, "content");
      const { code, stderr } = await pagestream(["snapshot", path, scratch.next("replica")]);
      expect(code).toBe(1);
      expect(stderr).toContain(`${path}${suffix} beside it holds what is not in the file`);
      expect(stderr).toContain(`Try: sqlite3 ${path} "PRAGMA wal_checkpoint(TRUNCATE)"\n`);
    }
  });

  test("refuses a database that is open here or elsewhere", async () => {
    const path = makeDatabase();
    const args = ["snapshot", path, scratch.next("replica"), "--json"];
    const lock = syncFiles().lock(path);
    const held = await pagestream(args);
    expect(held.code).toBe(1);
    expect(JSON.parse(held.stderr)).toMatchObject({ error: { code: "DATABASE_LOCKED" } });
    lock.release();
    const db = new DatabaseSync(path);
    db.exec("BEGIN IMMEDIATE");
    const foreign = await pagestream(args);
    db.close();
    // Locks of other programs can be seen on Linux only.
    expect(foreign.code).toBe(process.platform === "linux" ? 1 : 0);
    expect((await pagestream(args)).code).toBe(0);
  });

  test.each([
    [[], 2, "database required"],
    [["app.db"], 2, "replica required"],
    [["/nowhere/app.db", "/nowhere/replica"], 1, "there is no such file"],
  ])("snapshot %j is refused", async (args, code, message) => {
    const outcome = await pagestream(["snapshot", ...args]);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toContain(message);
  });

  test("takes a database that is written meanwhile, with what its WAL holds", async () => {
    const [path, replica] = [makeDatabase("PRAGMA journal_mode=WAL"), scratch.next("replica")];
    const db = new DatabaseSync(path);
    db.exec("INSERT INTO t VALUES ('in the WAL')");
    const first = await pagestream(["snapshot", path, replica]);
    db.exec("INSERT INTO t VALUES ('later')");
    const second = await pagestream(["snapshot", path, replica]);
    for (const { code, stderr } of [first, second]) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
    const output = scratch.next();
    expect((await pagestream(["restore", "-o", output, replica])).code).toBe(0);
    const restored = new DatabaseSync(output);
    const bodies = (from: DatabaseSync): readonly unknown[] =>
      from.prepare("SELECT body FROM t").all();
    expect(bodies(restored)).toEqual(bodies(db));
    restored.close();
    db.close();
  });

  test("lets the daemon do it that replicates the database", async () => {
    const path = makeDatabase("PRAGMA journal_mode=WAL");
    const [replica, config] = [scratch.next("replica"), scratch.next("litestream.yml")];
    const socket = scratch.next("socket");
    writeFileSync(
      config,
      `socket: { enabled: true, path: ${socket} }
dbs: [{ path: ${path}, replica: { type: file, path: ${replica} } }]
`,
    );
    const running = startReplicate(["-config", config]);
    await running.until(/replicating to/);
    const { code, stdout, stderr } = await pagestream(["snapshot", "-config", config, path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^ {2}sent {2}.* by the running daemon$/m);
    const status = await pagestream(["status", "-json", "-config", config, path]);
    const [row] = JSON.parse(status.stdout) as [Record<string, unknown>];
    expect(row).toMatchObject({ status: "ok", lag_seconds: 0, pending_bytes: 0, error: null });
    expect(row["local_txid"]).toBe(row["replicated_txid"]);
    expect(filesOf(replica)).toContain("9/1-1");
    await running.end("SIGTERM");
  });

  test("refuses what is no database, and writes nothing to the replica", async () => {
    const [path, replica] = [scratch.next(), scratch.next("replica")];
    for (const content of ["", "not a database".repeat(100)]) {
      writeFileSync(path, content);
      const { code, stderr } = await pagestream(["snapshot", path, replica]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^Error: Cannot decode /);
    }
    expect(() => readdirSync(replica)).toThrow("ENOENT");
  });
});

describeWithLitestream("Litestream and pagestream snapshot", () => {
  test.each([
    "PRAGMA page_size=512",
    "PRAGMA page_size=4096",
    "PRAGMA page_size=65536",
    "PRAGMA page_size=4096; PRAGMA journal_mode=WAL",
    "PRAGMA page_size=512; PRAGMA auto_vacuum=FULL",
  ])("Litestream restores it byte for byte, %s", async (setUp) => {
    const [path, replica] = [makeDatabase(setUp), scratch.next("replica")];
    for (let round = 0; round < 2; round++) {
      const bytes = readFileSync(path);
      expect(bytes[18]).toBe(setUp.includes("WAL") ? 2 : 1);
      expect((await pagestream(["snapshot", path, replica])).code).toBe(0);
      const restored = await litestreamRestore(replica, { integrityCheck: "full" });
      expect(restored.code).toBe(0);
      expect(restored.bytes?.equals(bytes)).toBe(true);
      write(path, "INSERT INTO t VALUES (randomblob(100000)); DELETE FROM t WHERE rowid = 1");
    }
  });

  test("Litestream goes on where it ended, and a snapshot where Litestream did", async () => {
    const [path, replica] = [makeDatabase(), scratch.next("replica")];
    await pagestream(["snapshot", path, replica]);
    await using daemon = await startDaemon({ databases: { [path]: replica } });
    write(path, "INSERT INTO t VALUES ('by Litestream')");
    const txid = await daemon.sync(path);
    expect(txid).toBeGreaterThan(1n);
    await daemon.stop();
    write(path, "PRAGMA wal_checkpoint(TRUNCATE)");
    const { code, stdout } = await pagestream(["snapshot", path, replica, "--json"]);
    expect(code).toBe(0);
    expect(BigInt(`0x${(JSON.parse(stdout) as { txid: string }).txid}`)).toBeGreaterThanOrEqual(
      txid,
    );
    const restored = await litestreamRestore(replica, { integrityCheck: "full" });
    expect(restored.bytes?.equals(readFileSync(path))).toBe(true);
  });
});
