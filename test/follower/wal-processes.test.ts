import * as fs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type NativeDriver, nodeSqliteDriver } from "../../adapters/files/native-driver.ts";
import { watchFile } from "../../adapters/files/wal-wakeups.ts";
import { imageBytes } from "../../src/testing/commit-mirror.ts";
import { fakePlatform } from "../../src/testing/fake-platform.ts";
import { difference } from "../../src/testing/test-kit.ts";
import { FollowedDatabase } from "../helpers/followed-database.ts";
import { runApplication } from "./run-application.ts";
import type { ApplicationResult, ApplicationTask } from "./wal-application.ts";

const LIVE = { watch: watchFile, shared: false };

/** Four times what a checkpoint may be kept, which is tested by a clock of its own: a machine that stands still is not at fault. */
const CHECKPOINT_MS = 1000;

let db: FollowedDatabase;

beforeEach(() => {
  db = new FollowedDatabase();
});

afterEach(() => db.end());

/** Runs an application on the database to its end. */
function run(
  task: Partial<ApplicationTask> & Pick<ApplicationTask, "kind">,
): Promise<ApplicationResult> {
  return runApplication({ path: db.path, ...task });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Only the follower is connected to it here: what would drop locks drops those of nobody else. */
function fileAfterCheckpoint(): Uint8Array {
  const database = db.connect(1000);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  return new Uint8Array(fs.readFileSync(db.path));
}

describe("openWalFollower() beside other processes", () => {
  test.each([
    { seed: 1, groupMs: 0 },
    { seed: 2, groupMs: 1000 },
  ])(
    "captures every page through hostile checkpoints, rollbacks and VACUUM, with exact images, %j",
    async ({ seed, groupMs }) => {
      db.create().close();
      const follower = await db.follow({ ...LIVE, groupMs });
      const mirror = await db.mirror(follower);
      const images: string[] = [];
      const autoCheckpoint = [1000, 50, 10][seed % 3] as number;
      const writing = Promise.all([
        run({ kind: "mixed", ms: 2000, seed, autoCheckpoint, timeoutMs: 5000 }),
        run({ kind: "hostile", ms: 2000, seed, timeoutMs: 100 }),
      ]);
      const running = new Set([writing]);
      void writing.finally(() => running.clear());
      while (running.size > 0) {
        const image = await follower.image();
        const state = mirror.bytes.slice();
        const isExact = image.sequence === follower.sequence;
        const bytes = await imageBytes(image, () => pause(30));
        if (isExact) images.push(difference(bytes, state));
        await pause(100);
      }
      const [{ commits }] = await writing;
      follower.check();
      await follower.close();
      expect(difference(mirror.bytes, fileAfterCheckpoint())).toBe("");
      expect(commits).toBeGreaterThan(0);
      expect(follower.sequence).toBeGreaterThan(commits / 2);
      expect(mirror.fullRequests).toEqual([]);
      expect(images.filter((problem) => problem !== "")).toEqual([]);
      expect(images.length).toBeGreaterThan(0);
      expect(db.warnings).toEqual([]);
    },
  );

  test.each(["RESTART", "TRUNCATE"])(
    "lets every %s of an application with a busy timeout through",
    async (mode) => {
      db.create().close();
      const follower = await db.follow(LIVE);
      const mirror = await db.mirror(follower);
      const result = await run({ kind: "checkpoints", mode, count: 20, timeoutMs: CHECKPOINT_MS });
      follower.check();
      await follower.close();
      expect(result).toMatchObject({ refused: 0, busy: 0 });
      expect(difference(mirror.bytes, fileAfterCheckpoint())).toBe("");
      expect(mirror.fullRequests).toEqual([]);
    },
  );

  test("lets checkpoints through beside a writer whose commits are left in the log for a while", async () => {
    db.create().close();
    const follower = await db.follow({ ...LIVE, groupMs: 1000 });
    const mirror = await db.mirror(follower);
    const [result, { commits }] = await Promise.all([
      run({ kind: "checkpoints", mode: "TRUNCATE", count: 15, timeoutMs: CHECKPOINT_MS }),
      run({ kind: "paced", count: 150, pauseMs: 10, timeoutMs: 5000 }),
    ]);
    follower.check();
    await follower.close();
    expect(result).toMatchObject({ refused: 0, busy: 0 });
    expect(difference(mirror.bytes, fileAfterCheckpoint())).toBe("");
    expect(mirror.fullRequests).toEqual([]);
    expect(follower.sequence).toBeGreaterThan(commits);
  });

  test("lets a writer with no busy timeout see no SQLITE_BUSY below the limit", async () => {
    db.create().close();
    let writable = 0;
    const driver: NativeDriver = {
      ...nodeSqliteDriver,
      open(path, options) {
        if (options.readOnly !== true) writable++;
        return nodeSqliteDriver.open(path, options);
      },
    };
    const follower = await db.follow({ ...LIVE, driver, walLimit: 1 << 30 });
    const mirror = await db.mirror(follower);
    const result = await run({ kind: "write", ms: 2000 });
    follower.check();
    await follower.close();
    // Nothing of the follower can write, or hold writers off.
    expect(writable).toBe(0);
    expect(result.busy).toBe(0);
    expect(result.commits).toBeGreaterThan(100);
    expect(difference(mirror.bytes, fileAfterCheckpoint())).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("lets the log begin anew past its limit beside a writer that never pauses", async () => {
    db.create().close();
    const walLimit = 4 << 20;
    const follower = await db.follow({ ...LIVE, walLimit });
    const mirror = await db.mirror(follower);
    const { commits } = await run({ kind: "write", ms: 3000, timeoutMs: 5000 });
    const largest = fs.statSync(`${db.path}-wal`).size;
    follower.check();
    await follower.close();
    expect(commits * 4096).toBeGreaterThan(walLimit);
    // How near depends on who gets the processor; a log that had never begun anew would hold them all.
    expect(largest).toBeLessThan(commits * 4096);
    expect(difference(mirror.bytes, fileAfterCheckpoint())).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("asks for a full file when a generation of the log was lost with its locks", async () => {
    const application = db.create();
    application.exec("INSERT INTO t(body) VALUES (1)");
    application.close();
    // Looks of its own, of which a start has many, would be in time for each commit.
    const follower = await db.follow({ shared: false, platform: fakePlatform(1) });
    const mirror = await db.mirror(follower);
    // What a careless library in this process does: it opens and closes the files.
    for (const suffix of ["", "-shm"]) fs.closeSync(fs.openSync(db.path + suffix, "r"));
    await run({ kind: "checkpoints", mode: "TRUNCATE", count: 3 });
    follower.check();
    expect(mirror.fullRequests).toHaveLength(1);
    const image = await follower.image();
    await follower.close();
    expect(image.commit).toBeGreaterThan(0);
  });
});
