/**
 * Followers on both sides: ours behind the real daemon, the real one behind our writer, and one copy that both keep by
 * turns.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileFollowTarget, fileStore } from "@pagestream/node";
import { follow, type Follower } from "pagestream";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  removeTemporary,
  startDaemon,
  startFollower,
  temporaryDirectory,
  waitFor,
} from "../helpers/litestream.ts";
import { openOurs, replicaFiles } from "./our-writer.ts";

afterEach(removeTemporary);

const SCHEMA = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)";

function insert(db: { exec(sql: string): unknown }, count: number): void {
  for (let i = 0; i < count; i++) db.exec("INSERT INTO t(b) VALUES (hex(randomblob(500)))");
}

/** All that is in a copy, which may be open elsewhere. */
function content(path: string): unknown {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    return db.prepare("SELECT count(*) AS n, sum(a) AS a, group_concat(b) AS b FROM t").get();
  } finally {
    db.close();
  }
}

function followOurs(replica: string, copy: string): Promise<Follower> {
  return follow(fileStore(replica), fileFollowTarget(copy), { intervalMs: 50, pointer: true });
}

describeWithLitestream("followers", () => {
  test("our follower keeps up with the real daemon, its levels, snapshots and retention", async () => {
    const folder = temporaryDirectory();
    const [database, replica, copy] = ["app.db", "replica", "copy.db"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    const db = new DatabaseSync(database);
    db.exec(`PRAGMA journal_mode = WAL; ${SCHEMA}`);
    await using daemon = await startDaemon({
      databases: { [database]: replica },
      levels: ["1s", "2s"],
      snapshotInterval: "2s",
      snapshotRetention: "2s",
      l0Retention: "500ms",
    });
    insert(db, 10);
    await daemon.sync(database);
    await using follower = await followOurs(replica, copy);
    for (let round = 0; round < 6; round++) {
      insert(db, 20);
      if (round === 3) db.exec("DELETE FROM t WHERE a < 40; VACUUM");
      await follower.waitFor(await daemon.sync(database));
      expect(content(copy)).toEqual(content(database));
    }
    // Away while files move up and are removed.
    await follower.close();
    const gone = follower.position + 1n;
    await waitFor("the removal of the next file", async () => {
      insert(db, 1);
      await daemon.sync(database);
      return !replicaFiles(replica).some((file) => file.level === 0 && file.minTxid === gone);
    });
    const last = await daemon.sync(database);
    await using again = await followOurs(replica, copy);
    await again.waitFor(last);
    expect(content(copy)).toEqual(content(database));
    db.close();
  });

  test("the real follower keeps up with what we write, pointer included", async () => {
    const folder = temporaryDirectory();
    const ours = await openOurs({
      path: join(folder, "app.db"),
      replica: join(folder, "replica"),
      pointer: true,
    });
    const copy = join(folder, "copy.db");
    await ours.commit(SCHEMA);
    await using follower = startFollower(ours.replica, copy);
    for (let round = 0; round < 3; round++) {
      insert(ours.db, 10);
      const txid = await ours.flush();
      await follower.reached(txid);
    }
    const rows = ours.db.selectValue("SELECT count(*) FROM t");
    expect(content(copy)).toMatchObject({ n: rows });
    await ours.close();
    expect(existsSync(join(ours.replica, "pagestream/pointer.json"))).toBe(true);
    // The daemon goes on with a replica that has a pointer, which is stale from then on.
    await using daemon = await startDaemon({ databases: { [ours.path]: ours.replica } });
    const db = new DatabaseSync(ours.path);
    insert(db, 10);
    await daemon.sync(ours.path);
    await using here = await followOurs(ours.replica, join(folder, "here.db"));
    insert(db, 10);
    await here.waitFor(await daemon.sync(ours.path));
    expect(content(join(folder, "here.db"))).toEqual(content(ours.path));
    db.close();
  });

  test("the two followers take over one copy from each other", async () => {
    const folder = temporaryDirectory();
    const ours = await openOurs({ path: join(folder, "app.db"), replica: join(folder, "replica") });
    const copy = join(folder, "copy.db");
    await ours.commit(SCHEMA);
    const next = async (): Promise<bigint> => {
      insert(ours.db, 10);
      return await ours.flush();
    };
    const same = (): void => {
      const rows = ours.db.selectValue("SELECT group_concat(b) FROM t");
      expect(content(copy)).toMatchObject({ b: rows });
    };
    await next();
    for (let turn = 0; turn < 2; turn++) {
      {
        await using real = startFollower(ours.replica, copy);
        await real.reached(await next());
      }
      same();
      await using follower = await followOurs(ours.replica, copy);
      await follower.waitFor(await next());
      same();
      await follower.waitFor(await next());
      await follower.close();
      expect(existsSync(`${copy}-wal`)).toBe(false);
      expect(readFileSync(`${copy}-txid`, "latin1")).toMatch(/^[0-9a-f]{16}\n$/);
    }
    await ours.close();
  });
});
