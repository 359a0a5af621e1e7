import * as fs from "node:fs";
import { join } from "node:path";
import { fileStore } from "../../adapters/files/file-store.ts";
import { fileSinkOf } from "../../adapters/files/file-sink.ts";
import { nodeSqlite } from "../../adapters/files/native-sqlite.ts";
import { watchFile } from "../../adapters/files/wal-wakeups.ts";
import { replicate, restore } from "pagestream";
import { expect, test } from "vitest";
import { FollowedDatabase } from "../helpers/followed-database.ts";
import { runApplication } from "./run-application.ts";

const MEGABYTES = 1024;

test("openWalFollower() gives a full image of 1 GB beside a writer, the WAL near its limit", async () => {
  const db = new FollowedDatabase();
  try {
    const application = db.create();
    application.exec("PRAGMA synchronous = OFF");
    for (let i = 0; i < MEGABYTES / 16; i++) {
      application.exec(`WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n LIMIT 4096)
          INSERT INTO t(body) SELECT hex(randomblob(1900)) FROM n`);
    }
    application.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    application.close();
    expect(fs.statSync(db.path).size).toBeGreaterThan(MEGABYTES << 20);
    const walLimit = 64 << 20;
    const follower = await db.follow({ watch: watchFile, shared: false, walLimit });
    const store = fileStore(join(db.folder, "replica"));
    const writing = runApplication({
      path: db.path,
      kind: "update",
      ms: 20_000,
      timeoutMs: 5000,
    });
    const replication = await replicate(follower, store);
    await replication.durable();
    const { commits } = await writing;
    await replication.close();
    await follower.close();
    const largest = fs.statSync(`${db.path}-wal`).size;
    const last = db.connect(5000);
    last.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    last.close();
    const restored = join(db.folder, "restored.db");
    await restore(store, fileSinkOf(nodeSqlite, restored));
    expect(commits).toBeGreaterThan(1000);
    expect(largest).toBeLessThan(4 * walLimit);
    expect(Buffer.compare(fs.readFileSync(restored), fs.readFileSync(db.path))).toBe(0);
    console.log(
      `${commits} commits, the WAL at most ${largest} bytes, ${replication.stats.pages} pages`,
    );
  } finally {
    await db.end();
  }
}, 600_000);
