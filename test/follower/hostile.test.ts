import { readdirSync } from "node:fs";
import { syncFiles } from "@pagestream/node";
import type { SyncFiles } from "pagestream";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { CHECKPOINTS } from "../helpers/downtime.ts";
import { Scene } from "./scene.ts";

const SEED = Number(process.env["PAGESTREAM_SEED"] ?? 7_002);
const MIB = 1 << 20;
/** Four times what a checkpoint may be kept: a machine that stands still is not at fault. */
const CHECKPOINT_MS = 1000;

/** Events of a follower that saw every commit. */
function doubts(events: readonly string[]): readonly string[] {
  return events.filter((event) => /^(degraded|error|conflict)/u.test(event));
}

describe("a follower beside other processes", () => {
  test(`misses nothing of three that write, checkpoint, roll back and run VACUUM (seed ${SEED})`, async () => {
    await using scene = new Scene();
    const first = await scene.application();
    const others = [await scene.application(), await scene.application()];
    await using followed = await scene.follow();
    const random = seededRandom(SEED);
    for (let round = 0; round < 4; round++) {
      const work = [first, ...others].map((application, who) =>
        application.work({ seed: random.next(), changes: 100, who, hostile: true }),
      );
      await followed.sync();
      const done = await Promise.all(work);
      expect(done.reduce((sum, { commits }) => sum + commits, 0)).toBeGreaterThan(100);
      await followed.sync();
      await scene.expectWhole(first);
    }
    expect(doubts(followed.events)).toEqual([]);
  });

  test("follows restarts and truncations of the log, and lets every checkpoint through", async () => {
    await using scene = new Scene();
    const application = await scene.application({ timeout: CHECKPOINT_MS });
    const other = await scene.application({ timeout: CHECKPOINT_MS });
    await using followed = await scene.follow();
    for (let i = 0; i < 40; i++) {
      const writer = i % 3 === 0 ? other : application;
      await writer.work({ seed: i, changes: 5 });
      const mode = CHECKPOINTS[i % 4] as string;
      expect(`${i} ${mode} ${await application.checkpoint(mode)}`).toBe(`${i} ${mode} false`);
      if (i % 10 === 0) await followed.sync();
    }
    await followed.sync();
    await scene.expectWhole(application);
    expect(doubts(followed.events)).toEqual([]);
  });

  test("misses nothing while readers hold old states of the database", async () => {
    await using scene = new Scene();
    const application = await scene.application({ timeout: 20 });
    await application.work({ seed: 1, changes: 50 });
    await using followed = await scene.follow();
    const readers = [await scene.application(), await scene.application()];
    for (const [i, reader] of readers.entries()) {
      await reader.run("BEGIN; SELECT count(*) FROM item");
      await application.work({ seed: 2 + i, changes: 100, hostile: true });
      await followed.sync();
      await scene.expectWhole(application);
    }
    for (const reader of readers) await reader.run("COMMIT");
    await application.work({ seed: 9, changes: 50, hostile: true });
    await followed.sync();
    await scene.expectWhole(application);
    expect(doubts(followed.events)).toEqual([]);
  });

  test("misses nothing of applications that are killed", async () => {
    await using scene = new Scene();
    const survivor = await scene.application();
    await using followed = await scene.follow();
    const random = seededRandom(SEED);
    for (let round = 0; round < 4; round++) {
      const victim = await scene.application();
      await victim.begin({ seed: random.next(), hostile: true });
      await survivor.work({ seed: random.next(), changes: 20 });
      await victim.kill();
      await survivor.work({ seed: random.next(), changes: 20 });
      await followed.sync();
      await scene.expectWhole(survivor);
    }
  });
});

test("a follower leaves nothing in the database", async () => {
  await using scene = new Scene();
  const application = await scene.application();
  const schema = "SELECT type, name, sql FROM sqlite_schema";
  const before = await application.run(schema);
  await using followed = await scene.follow();
  await application.work({ seed: 1, changes: 20, hostile: true });
  await followed.sync();
  expect(await application.run(schema)).toEqual(before);
});

describe("a replicator that is killed", () => {
  test(`goes on where it was, whatever it was doing (seed ${SEED})`, async () => {
    await using scene = new Scene();
    const application = await scene.application();
    const random = seededRandom(SEED);
    for (let round = 0; round < 3; round++) {
      const replicator = await scene.replicator();
      await application.begin({ seed: random.next(), hostile: true });
      const syncing = replicator.sync().catch(() => {});
      if (round % 2 === 0) await syncing;
      await replicator.kill();
      await syncing;
      await application.rest();
    }
    await scene.once();
    await scene.expectWhole(application);
  });
});

describe("a full disk", () => {
  test("under the replicator holds nobody up, and nothing is missing once there is room", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    const disk = { full: false };
    await using followed = await scene.follow({ files: fillable(disk) });
    await followed.sync();
    disk.full = true;
    await application.work({ seed: 5, changes: 60, hostile: true });
    await expect(followed.sync()).rejects.toMatchObject({ code: expect.any(String) });
    await application.work({ seed: 6, changes: 60, hostile: true });
    expect(followed.events.some((event) => event.startsWith("error"))).toBe(true);
    disk.full = false;
    await followed.sync();
    await scene.expectWhole(application);
    const names = readdirSync(scene.directory, { recursive: true }).map(String);
    expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("under the application rolls back, and the rest is replicated", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await application.work({ seed: 7, changes: 50 });
    await using followed = await scene.follow();
    const [row] = await application.run("PRAGMA page_count");
    await application.run(`PRAGMA max_page_count = ${Number(row?.["page_count"]) + 20}`);
    const tooMuch = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9000)
      INSERT INTO blob(body) SELECT randomblob(1000) FROM n`;
    // A small cache: the pages are in the log when there is no more room.
    await application.run("PRAGMA cache_size = 5");
    await expect(application.run(tooMuch)).rejects.toMatchObject({ code: 13 });
    await followed.sync();
    await application.run("PRAGMA max_page_count = 1000000");
    await application.work({ seed: 8, changes: 20 });
    await followed.sync();
    await scene.expectWhole(application);
  });
});

describe("the first image of a database", () => {
  test("is read beside a writer that never rests, with the WAL under its bound", async () => {
    await using scene = new Scene();
    const application = await scene.application({
      setup: "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF",
    });
    await application.run(`CREATE TABLE big(i INTEGER PRIMARY KEY, body);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 6000)
      INSERT INTO big SELECT i, randomblob(4000) FROM n;`);
    await application.checkpoint("TRUNCATE");
    const walLimit = 4 * MIB;
    const image = { done: false };
    const writing = (async () => {
      for (let seed = 1; !image.done; seed++) await application.work({ seed, changes: 3 });
    })();
    await using followed = await scene.follow({ follower: { walLimit } });
    await followed.sync();
    image.done = true;
    await writing;
    // The file of a log keeps the size it once had.
    expect(scene.walSize).toBeGreaterThan(0);
    expect(scene.walSize).toBeLessThan(3 * walLimit);
    await followed.sync();
    await scene.expectWhole(application);
  });
});

/** Files on a disk that a test fills and empties: nothing of the replication's own can be written meanwhile. */
function fillable(disk: { full: boolean }): SyncFiles {
  const files = syncFiles();
  const check = (): void => {
    if (disk.full)
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  return {
    ...files,
    open(path, options) {
      const file = files.open(path, options);
      const write = file.write.bind(file);
      return Object.assign(file, {
        write(...asked: Parameters<typeof write>) {
          check();
          return write(...asked);
        },
      });
    },
  };
}
