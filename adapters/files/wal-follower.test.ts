import * as fs from "node:fs";
import type { SyncFiles } from "pagestream";
import { fakePlatform, testCommitSource } from "pagestream/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FollowedDatabase } from "../../test/helpers/followed-database.ts";
import { WalWriter } from "../../src/core/wal-writer.ts";
import { readWalIndexHeader } from "../../src/core/wal-index.ts";
import { difference } from "../../src/testing/test-kit.ts";
import { imageBytes } from "../../src/testing/commit-mirror.ts";
import { nodeSqliteDriver } from "./native-driver.ts";
import type { NativeDriver } from "./native-driver.ts";
import { nodeSqlite } from "./native-sqlite.ts";
import { syncFilesOf } from "./sync-files.ts";
import type { WalCheckpoint } from "./wal-seal.ts";

let db: FollowedDatabase;

beforeEach(() => {
  db = new FollowedDatabase();
});

afterEach(() => db.end());

const ROWS = `WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n LIMIT 200)
  INSERT INTO t(body) SELECT randomblob(900) FROM n`;

testCommitSource(
  async () => {
    const application = db.connect();
    application.exec("PRAGMA journal_mode = WAL");
    const follower = await db.follow();
    return {
      source: follower,
      write(sql) {
        application.exec(sql);
        follower.check();
      },
      file: () => db.contents(application),
    };
  },
  {
    describe,
    test,
    expect,
    name: "openWalFollower() commit source contract",
    pageSizeChange: false,
  },
);

describe("openWalFollower()", () => {
  test("follows the log through restarts, truncations and rollbacks of spilled transactions", async () => {
    const application = db.create();
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    application.exec("PRAGMA cache_size = 5");
    for (const mode of ["PASSIVE", "FULL", "RESTART", "TRUNCATE", "TRUNCATE", "RESTART"]) {
      for (let i = 0; i < 3; i++) {
        application.exec(ROWS);
        application.exec(`BEGIN; ${ROWS}; ROLLBACK`);
        if (i === 1) follower.check();
      }
      follower.check();
      application.exec("PRAGMA wal_checkpoint(PASSIVE)");
      // Everything is in the file: from here on the log may be begun anew.
      follower.check();
      const row = application.prepare(`PRAGMA wal_checkpoint(${mode})`).get();
      expect(`${mode} ${row?.["busy"]}`).toBe(`${mode} 0`);
    }
    application.exec("DELETE FROM t WHERE id > 100; VACUUM");
    follower.check();
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("delivers many commits of one look as one, whose sequence counts them", async () => {
    const application = db.create();
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    const { sequence } = follower;
    for (let i = 0; i < 500; i++) application.exec(`INSERT INTO t(body) VALUES (${i})`);
    follower.check();
    expect(mirror.sequences).toEqual([sequence + 500]);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
  });

  test("takes no frame that is not published, however whole it is", async () => {
    const application = db.create();
    application.exec(ROWS);
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    const before = mirror.bytes.slice();
    // What a writer leaves that is killed while it syncs the log.
    const shm = fs.readFileSync(`${db.path}-shm`);
    const index = readWalIndexHeader({
      read: (into, offset) => (into.set(shm.subarray(offset, offset + into.length)), into.length),
    });
    expect(index?.frames).toBeGreaterThan(0);
    const wal = fs.openSync(`${db.path}-wal`, "r+");
    const writer = new WalWriter(
      (bytes, offset) => void fs.writeSync(wal, bytes, 0, bytes.length, offset),
      index as NonNullable<typeof index>,
    );
    writer.append(2, new Uint8Array(4096).fill(7), follower.commit);
    writer.flush();
    fs.closeSync(wal);
    follower.check();
    expect(mirror.sequences).toEqual([]);
    expect(difference(mirror.bytes, before)).toBe("");
    application.exec("INSERT INTO t(body) VALUES ('after')");
    follower.check();
    expect(mirror.sequences).toHaveLength(1);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("serves a database that is not there yet with its first commit", async () => {
    const follower = await db.follow();
    expect([follower.pageSize, follower.commit, follower.sequence]).toEqual([0, 0, 0]);
    const mirror = await db.mirror(follower);
    follower.check();
    expect(mirror.sequences).toEqual([]);
    const application = db.create();
    follower.check();
    application.exec(ROWS);
    follower.check();
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
    expect(mirror.problems.filter((problem) => !problem.includes("follows"))).toEqual([]);
  });

  test("asks for a full file when the database was replaced, and follows the new one", async () => {
    const application = db.create();
    application.exec(ROWS);
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    const other = new FollowedDatabase();
    const source = other.create();
    source.exec(`${ROWS}; ${ROWS}; PRAGMA wal_checkpoint(TRUNCATE)`);
    source.close();
    application.close();
    fs.rmSync(`${db.path}-wal`);
    fs.rmSync(`${db.path}-shm`);
    fs.renameSync(other.path, db.path);
    await other.end();
    follower.check();
    expect(mirror.fullRequests).toEqual(["the database was replaced"]);
    const image = await follower.image();
    mirror.bytes = await imageBytes(image);
    const second = db.connect();
    expect(difference(mirror.bytes, db.contents(second))).toBe("");
    second.exec("UPDATE t SET body = 1 WHERE id < 50");
    follower.check();
    expect(difference(mirror.bytes, db.contents(second))).toBe("");
    expect(mirror.fullRequests).toHaveLength(1);
  });

  test("waits for a deleted database, and asks for a full file when it is back", async () => {
    const application = db.create();
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    application.close();
    const copy = fs.readFileSync(db.path);
    for (const suffix of ["", "-wal", "-shm"]) fs.rmSync(db.path + suffix);
    follower.check();
    follower.check();
    expect(mirror.fullRequests).toEqual([]);
    fs.writeFileSync(db.path, copy);
    follower.check();
    expect(mirror.fullRequests).toEqual(["the database was replaced"]);
  });

  test("refuses a database in another journal mode, or switches it", async () => {
    const application = db.connect();
    application.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    await expect(db.follow()).rejects.toMatchObject({ name: "NotWalError", code: "UNSUPPORTED" });
    const follower = await db.follow({ enforceWal: true });
    application.exec("SELECT * FROM t");
    expect(application.prepare("PRAGMA journal_mode").get()).toMatchObject({ journal_mode: "wal" });
    const mirror = await db.mirror(follower);
    application.exec(ROWS);
    follower.check();
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
  });

  test("refuses a database that somebody keeps locked, after five seconds", async () => {
    const application = db.connect();
    application.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; CREATE TABLE t(id)",
    );
    const platform = fakePlatform(1);
    const opening = db.follow({ platform });
    const outcome = expect(opening).rejects.toMatchObject({
      name: "ExclusiveLockError",
      code: "DATABASE_LOCKED",
    });
    await platform.clock.advanceAsync(4_900);
    expect(platform.clock.pending).toBe(1);
    await platform.clock.advanceAsync(200);
    await outcome;
  });

  test("pause() lets go of all locks, and resume() goes on where the log does", async () => {
    const application = db.create();
    application.exec(ROWS);
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    expect(() => application.exec("PRAGMA journal_mode = DELETE")).toThrow("locked");
    follower.pause();
    application.exec("INSERT INTO t(body) VALUES ('while paused')");
    expect(() => follower.check()).toThrow("paused");
    follower.resume();
    expect(mirror.fullRequests).toEqual([]);
    application.exec("INSERT INTO t(body) VALUES ('after')");
    follower.check();
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
  });

  test("resume() asks for a full file where the log does not go on", async () => {
    const application = db.create();
    application.exec(ROWS);
    const follower = await db.follow();
    const mirror = await db.mirror(follower);
    follower.pause();
    application.exec("PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM");
    expect(() => follower.resume()).toThrow("journal mode");
    application.exec("PRAGMA journal_mode = WAL");
    follower.resume();
    expect(mirror.fullRequests).toHaveLength(1);
    expect(follower.pageSize).toBe(1024);
    const image = await follower.image();
    expect(difference(await imageBytes(image), db.contents(application))).toBe("");
  });

  test("proves() a mark in an untouched log, and delivers what came after it", async () => {
    const application = db.create();
    application.exec(ROWS);
    const first = await db.follow();
    const mirror = await db.mirror(first);
    const mark = first.mark?.(first.sequence) ?? "";
    expect(mark).not.toBe("");
    expect(first.mark?.(first.sequence + 1)).toBeUndefined();
    await first.close();
    const second = await db.follow();
    const { sequence } = second;
    const stop = second.listen(mirror);
    expect(second.proves?.(mark)).toBe(sequence);
    expect(mirror.sequences).toEqual([]);
    stop();
    await second.close();
    for (let i = 1; i <= 30; i++) application.exec(`UPDATE t SET body = ${i} WHERE id = ${i}`);
    const third = await db.follow();
    third.listen(mirror);
    expect(third.proves?.(mark)).toBe(0);
    expect(third.sequence).toBe(30);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(third.proves?.(`${mark.slice(0, -1)}g`)).toBeUndefined();
    application.exec("PRAGMA wal_checkpoint(PASSIVE)");
    third.check();
    application.exec(ROWS);
    third.check();
    expect(third.proves?.(mark)).toBeUndefined();
  });

  test("image() of a database that is overwritten meanwhile keeps what it needs, past memory in a file", async () => {
    const application = db.create();
    for (let i = 0; i < 60; i++) application.exec(ROWS);
    const follower = await db.follow();
    const bytes = db.contents(application);
    expect(bytes.length).toBeGreaterThan(11 << 20);
    const image = await follower.image();
    let round = 0;
    const read = await imageBytes(image, () => {
      if (++round > 3) return;
      application.exec("UPDATE t SET body = randomblob(900)");
      follower.check();
      application.exec("PRAGMA wal_checkpoint(PASSIVE)");
      follower.check();
    });
    expect(difference(read, bytes)).toBe("");
    expect(fs.readdirSync(db.folder).sort()).toEqual(["app.db", "app.db-shm", "app.db-wal"]);
  });

  test("image() of a database that shrinks meanwhile keeps the pages that are cut off", async () => {
    const application = db.create();
    for (let i = 0; i < 20; i++) application.exec(ROWS);
    const follower = await db.follow();
    application.exec("PRAGMA wal_checkpoint(PASSIVE)");
    follower.check();
    const bytes = db.contents(application);
    const image = await follower.image();
    let round = 0;
    const read = await imageBytes(image, () => {
      if (++round > 1) return;
      application.exec("DELETE FROM t; VACUUM");
      follower.check();
      application.exec("PRAGMA wal_checkpoint(PASSIVE)");
      expect(fs.statSync(db.path).size).toBeLessThan(1 << 20);
    });
    expect(bytes.length).toBeGreaterThan(2 << 20);
    expect(difference(read, bytes)).toBe("");
  });

  test("writes nothing into the database, and leaves the log as it is when it is closed last", async () => {
    const application = db.create();
    application.exec(ROWS);
    const before = db.contents(application);
    const follower = await db.follow();
    application.close();
    const log = fs.readFileSync(`${db.path}-wal`);
    await follower.close();
    expect(difference(fs.readFileSync(`${db.path}-wal`), log)).toBe("");
    const again = db.connect();
    expect(difference(db.contents(again), before)).toBe("");
    expect(again.prepare("SELECT name FROM sqlite_schema").all()).toHaveLength(1);
  });

  test("opens each file once, and keeps it open for other connections", async () => {
    const open = (): number =>
      fs
        .readdirSync("/proc/self/fd")
        .map((fd) => {
          try {
            return fs.readlinkSync(`/proc/self/fd/${fd}`);
          } catch {
            return "";
          }
        })
        .filter((path) => path.startsWith(db.path)).length;
    const application = db.create();
    const followers = [await db.follow(), await db.follow()];
    for (const follower of followers) await follower.close();
    // Among them those that SQLite itself keeps for the connections that are left.
    const kept = open();
    for (let i = 0; i < 5; i++) await (await db.follow()).close();
    expect(open()).toBe(kept);
    // No lock was dropped: the application still keeps others from the database.
    application.exec("BEGIN IMMEDIATE");
    expect(() => db.connect().exec("BEGIN IMMEDIATE")).toThrow("locked");
    application.exec("ROLLBACK");
  });
});

describe("openWalFollower() when files fail", () => {
  /** File calls of which some fail as long as there is a reason. */
  function failing(): { readonly files: SyncFiles; reason: string | undefined } {
    const files = syncFilesOf(nodeSqlite);
    const state = {
      reason: undefined as string | undefined,
      files: {
        ...files,
        open(path, options) {
          const file = files.open(path, options);
          if (!/-wal$|-image-/.test(path)) return file;
          const attempt = <T>(act: () => T): T => {
            if (state.reason !== undefined) throw new Error(state.reason);
            return act();
          };
          return {
            read: (into, offset) => attempt(() => file.read(into, offset)),
            write: (bytes, offset) => attempt(() => file.write(bytes, offset)),
            truncate: (size) => file.truncate(size),
            sync: () => file.sync(),
            size: () => file.size(),
            identity: () => file.identity(),
            close: () => file.close(),
          };
        },
      } satisfies SyncFiles as SyncFiles,
    };
    return state;
  }

  test("misses nothing when the log cannot be read for a while", async () => {
    const application = db.create();
    const platform = fakePlatform(1);
    const state = failing();
    const follower = await db.follow({ files: state.files, platform });
    const mirror = await db.mirror(follower);
    application.exec(ROWS);
    state.reason = "EIO: i/o error, read";
    expect(() => follower.check()).toThrow("EIO");
    platform.clock.advance(180_000);
    expect(db.warnings.every((warning) => warning.includes("EIO"))).toBe(true);
    expect([1, 2, 3]).toContain(db.warnings.length);
    application.exec(ROWS);
    state.reason = undefined;
    platform.clock.advance(60_000);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
    expect(mirror.sequences).toEqual([2]);
  });

  test("ends an image with IMAGE_OVERRUN when old pages cannot be kept, and goes on following", async () => {
    const application = db.create();
    for (let i = 0; i < 60; i++) application.exec(ROWS);
    const state = failing();
    const follower = await db.follow({ files: state.files });
    application.exec("PRAGMA wal_checkpoint(PASSIVE)");
    follower.check();
    application.exec("UPDATE t SET body = 1 WHERE id = 1");
    follower.check();
    const mirror = await db.mirror(follower);
    const image = await follower.image();
    const runs = image.runs[Symbol.asyncIterator]();
    await runs.next();
    const open = state.files.open;
    (state.files as { open: SyncFiles["open"] }).open = (path, options) => {
      if (path.includes("-image-")) throw new Error("ENOSPC: no space left on device");
      return open(path, options);
    };
    application.exec("UPDATE t SET body = randomblob(900)");
    follower.check();
    await expect(runs.next()).rejects.toMatchObject({ code: "IMAGE_OVERRUN" });
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });
});

describe("openWalFollower() past its walLimit", () => {
  test("leaves the log as it is while maySeal says so", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    application.exec("PRAGMA wal_autocheckpoint = 0");
    let maySeal = false;
    const walLimit = 1 << 18;
    const follower = await db.follow({ platform, walLimit, maySeal: () => maySeal });
    const mirror = await db.mirror(follower);
    const grow = (): void => {
      application.exec(ROWS);
      platform.clock.advance(60_000);
    };
    for (let i = 0; i < 3; i++) grow();
    const before = follower.walBytes;
    expect(before).toBeGreaterThan(2 * walLimit);
    grow();
    expect(follower.walBytes).toBeGreaterThan(before);
    maySeal = true;
    for (let i = 0; i < 2; i++) grow();
    expect(follower.walBytes).toBeLessThan(before);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("goes on beside a reader that stays, and brings the log down when it has gone", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    application.exec(`PRAGMA wal_autocheckpoint = 0; ${ROWS}`);
    const follower = await db.follow({ platform, walLimit: 1 << 18 });
    const mirror = await db.mirror(follower);
    const reader = db.connect();
    reader.exec("BEGIN; SELECT count(*) FROM t");
    for (let i = 0; i < 5; i++) {
      application.exec(ROWS);
      platform.clock.advance(60_000);
    }
    expect(follower.walBytes).toBeGreaterThan(1 << 20);
    expect(reader.prepare("SELECT count(*) AS rows FROM t").get()).toMatchObject({ rows: 200 });
    reader.exec("COMMIT");
    application.exec(ROWS);
    platform.clock.advance(60_000);
    application.exec(ROWS);
    platform.clock.advance(60_000);
    expect(follower.walBytes).toBeLessThan(1 << 19);
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
    expect(db.warnings).toEqual([]);
  });

  test("brings the log into the file, so that the next writer begins it anew", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    application.exec("PRAGMA wal_autocheckpoint = 0");
    let changed = (): void => undefined;
    const watch = (_path: string, wake: () => void): (() => void) => {
      changed = wake;
      return () => undefined;
    };
    const checkpoints: WalCheckpoint[] = [];
    const onCheckpoint = (checkpoint: WalCheckpoint): unknown => checkpoints.push(checkpoint);
    const follower = await db.follow({ platform, watch, walLimit: 1 << 20, onCheckpoint });
    const mirror = await db.mirror(follower);
    let largest = 0;
    for (let i = 0; i < 60; i++) {
      application.exec(ROWS);
      changed();
      platform.clock.advance(200);
      largest = Math.max(largest, fs.statSync(`${db.path}-wal`).size);
    }
    expect(largest).toBeGreaterThan(1 << 20);
    expect(largest).toBeLessThan(2 << 20);
    expect(checkpoints.length).toBeGreaterThan(0);
    expect(checkpoints).toEqual(
      checkpoints.map(() => ({ mode: "PASSIVE", durationMs: 0, error: undefined })),
    );
    expect(difference(mirror.bytes, db.contents(application))).toBe("");
    expect(mirror.fullRequests).toEqual([]);
  });

  test("tells of a checkpoint that failed, and warns", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    application.exec("PRAGMA wal_autocheckpoint = 0");
    const driver: NativeDriver = {
      name: "one that cannot checkpoint",
      open(path, options) {
        const connection = nodeSqliteDriver.open(path, options);
        return {
          ...connection,
          get(sql) {
            if (sql.includes("wal_checkpoint")) throw new Error("disk I/O error");
            return connection.get(sql);
          },
        };
      },
    };
    const failures: unknown[] = [];
    const onCheckpoint = ({ error }: WalCheckpoint): unknown => failures.push(error?.code);
    await db.follow({ platform, driver, walLimit: 1 << 16, onCheckpoint });
    application.exec(ROWS);
    platform.clock.advance(60_000);
    expect(failures[0]).toBe("IO");
    expect(db.warnings[0]).toContain("disk I/O error");
  });

  test("never checkpoints with a SQLite that may lose commits by it, and says so once", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    application.exec("PRAGMA wal_autocheckpoint = 0");
    const driver: NativeDriver = {
      name: "an older SQLite",
      open(path, options) {
        const connection = nodeSqliteDriver.open(path, options);
        return {
          ...connection,
          get: (sql) =>
            sql.includes("sqlite_version") ? { version: "3.51.2" } : connection.get(sql),
        };
      },
    };
    const follower = await db.follow({ platform, driver, walLimit: 1 << 16 });
    for (let i = 0; i < 10; i++) {
      application.exec(ROWS);
      platform.clock.advance(60_000);
    }
    expect(follower.walBytes).toBe(fs.statSync(`${db.path}-wal`).size);
    expect(db.warnings.filter((warning) => warning.includes("3.51.2"))).toHaveLength(1);
  });
});

describe("openWalFollower() with events", () => {
  test("looks at once, then ever less until it is settled, and once a minute when idle", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    let changed = (): void => undefined;
    const watched: string[] = [];
    const follower = await db.follow({
      platform,
      watch: (path, wake) => {
        watched.push(path);
        changed = wake;
        return () => undefined;
      },
    });
    const mirror = await db.mirror(follower);
    expect(watched).toEqual([`${db.path}-wal`, db.path]);
    platform.clock.advance(1_000);
    application.exec(ROWS);
    expect(mirror.sequences).toHaveLength(0);
    changed();
    expect(mirror.sequences).toHaveLength(1);
    const delays: number[] = [];
    while ((platform.clock.nextDelay ?? Infinity) < 1_000) {
      delays.push(platform.clock.nextDelay as number);
      platform.clock.advance(platform.clock.nextDelay as number);
    }
    expect(delays).toEqual([2, 4, 8, 16, 30, 60, 125, 250, 500]);
    expect(platform.clock.pending).toBe(1);
    // A write that no event tells of is found by the tick.
    application.exec("INSERT INTO t(body) VALUES ('unseen')");
    platform.clock.advance(60_000);
    expect(mirror.sequences).toHaveLength(2);
    application.exec("PRAGMA wal_checkpoint(PASSIVE)");
    changed();
    // Everything is in the file: nothing to wait for, once no commit can follow what was written.
    platform.clock.advance(2_000);
    expect(platform.clock.pending).toBe(1);
  });

  test.each([0, 40, 1000])(
    "lets a checkpoint that waits through within 200 ms of the commits before it, with groups of %i ms",
    async (groupMs) => {
      const platform = fakePlatform(1);
      const application = db.create();
      application.exec("PRAGMA synchronous = OFF");
      const watched = new Set<() => void>();
      const watch = (_path: string, wake: () => void): (() => void) => {
        watched.add(wake);
        return () => void watched.delete(wake);
      };
      const follower = await db.follow({ platform, watch, groupMs });
      const mirror = await db.mirror(follower);
      const checkpoint = application.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
      for (let round = 0; round < 12; round++) {
        for (let i = 0; i < 70 + 5 * round; i++) {
          application.exec("INSERT INTO t(body) VALUES (1)");
          for (const wake of watched) wake();
          platform.clock.advance(7 + round);
        }
        let waitedMs = 0;
        for (; checkpoint.get()?.["busy"] !== 0 && waitedMs < 1_000; waitedMs += 5) {
          platform.clock.advance(5);
        }
        expect([round, waitedMs <= 200]).toEqual([round, true]);
      }
      follower.check();
      expect(difference(mirror.bytes, db.contents(application))).toBe("");
      expect(mirror.fullRequests).toEqual([]);
    },
  );

  test("looks every second, and says so, where the system cannot tell of writes", async () => {
    const platform = fakePlatform(1);
    const application = db.create();
    const watch = (): never => {
      throw new Error("ENOSPC");
    };
    const mirror = await db.mirror(await db.follow({ platform, watch }));
    platform.clock.advance(500);
    application.exec("INSERT INTO t(body) VALUES (1)");
    platform.clock.advance(1_000);
    expect(mirror.sequences).toHaveLength(1);
    expect(db.warnings).toHaveLength(1);
    expect(db.warnings[0]).toContain("every second");
  });
});
