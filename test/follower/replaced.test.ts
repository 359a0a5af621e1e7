import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileSink, fileStore } from "@pagestream/node";
import { restore } from "pagestream";
import { describe, expect, test } from "vitest";
import { Application, type ApplicationOptions } from "../helpers/application.ts";
import { type Followed, Scene } from "./scene.ts";

const TABLE = "CREATE TABLE other(id INTEGER PRIMARY KEY, body);";
const ROWS = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)
  INSERT INTO other(body) SELECT 'row ' || i FROM n;`;

/** Removes the database, as an operator would. */
function remove(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
}

/** Puts another database in its place; nobody has either open. */
async function replace(scene: Scene): Promise<void> {
  const path = join(scene.directory, "other.db");
  const maker = await Application.open({ path });
  await maker.run(TABLE + ROWS);
  await maker.close();
  remove(scene.path);
  renameSync(path, scene.path);
}

/** An application that has made some changes. */
async function atWork(scene: Scene, options?: Partial<ApplicationOptions>): Promise<Application> {
  const application = await scene.application(options);
  await application.work({ seed: 1, changes: 50 });
  return application;
}

/** A follower that has brought all of them into the replica. */
async function upToDate(scene: Scene): Promise<Followed> {
  const followed = await scene.follow();
  await followed.sync();
  return followed;
}

async function history(scene: Scene): Promise<void> {
  const application = await atWork(scene);
  await scene.once();
  await application.work({ seed: 2, changes: 50 });
  await scene.once();
  await application.close();
}

describe("a database that is replaced while its follower is down", () => {
  test("by another one is shipped", async () => {
    await using scene = new Scene();
    await history(scene);
    await replace(scene);
    await scene.once();
    const application = await scene.application();
    await scene.expectWhole(application);
    await application.run("UPDATE other SET body = 'after'");
    await scene.once();
    await scene.expectWhole(application);
  });

  test("by a new one of the same name is shipped", async () => {
    await using scene = new Scene();
    await history(scene);
    remove(scene.path);
    const application = await scene.application();
    await application.run(TABLE + ROWS);
    await scene.once();
    await scene.expectWhole(application);
  });

  test("by an earlier state of its own is refused, unless that is adopted", async () => {
    await using scene = new Scene();
    await history(scene);
    remove(scene.path);
    await restore(fileStore(scene.replica), fileSink(scene.path), { txid: 1n });
    await expect(scene.follow()).rejects.toMatchObject({ code: "DATABASE_BEHIND" });
    await scene.once({ onBehind: "adopt" });
    await scene.expectWhole(await scene.application());
  });

  test("by its newest state is followed without a new file", async () => {
    await using scene = new Scene();
    await history(scene);
    remove(scene.path);
    await restore(fileStore(scene.replica), fileSink(scene.path));
    await using followed = await scene.follow();
    await followed.sync();
    expect(followed.replication.position.replicated).toBe(2n);
  });
});

describe("a database that changes its form while its follower is down", () => {
  test("is shipped whole with another page size", async () => {
    await using scene = new Scene();
    await history(scene);
    const application = await scene.application({
      setup:
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = WAL",
    });
    expect(await application.run("PRAGMA page_size")).toEqual([{ page_size: 8192 }]);
    await scene.once();
    await scene.expectWhole(application);
    await application.work({ seed: 3, changes: 20 });
    await scene.once();
    await scene.expectWhole(application);
  });

  test("is refused in another journal mode, or switched back", async () => {
    await using scene = new Scene();
    await history(scene);
    const application = await scene.application({ setup: "PRAGMA journal_mode = DELETE" });
    await application.run("DELETE FROM item WHERE id % 2 = 0");
    await application.close();
    await expect(scene.follow()).rejects.toMatchObject({ name: "NotWalError" });
    await scene.once({ follower: { enforceWal: true } });
    await scene.expectWhole(await scene.application());
  });

  test("is found changed by what was committed in another journal mode", async () => {
    await using scene = new Scene();
    await history(scene);
    const application = await scene.application({ setup: "PRAGMA journal_mode = TRUNCATE" });
    await application.run("DELETE FROM item WHERE id % 2 = 0");
    await application.run("PRAGMA journal_mode = WAL");
    await application.work({ seed: 4, changes: 5 });
    await scene.once();
    await scene.expectWhole(application);
  });
});

describe("a database that is replaced while it is followed", () => {
  test("by another one is shipped whole", async () => {
    await using scene = new Scene();
    const before = await atWork(scene);
    await using followed = await upToDate(scene);
    await before.close();
    await replace(scene);
    const application = await scene.application();
    await application.run("UPDATE other SET body = 'after' WHERE id < 10");
    await followed.sync();
    await scene.expectWhole(application);
    await application.run("UPDATE other SET body = 'later' WHERE id > 20");
    await followed.sync();
    await scene.expectWhole(application);
  });

  test("by a new one after it was deleted is shipped whole", async () => {
    await using scene = new Scene();
    const before = await atWork(scene);
    await using followed = await upToDate(scene);
    await before.close();
    remove(scene.path);
    const application = await scene.application();
    await application.run(TABLE + ROWS);
    await followed.sync();
    await scene.expectWhole(application);
  });

  test("by a restore is refused while it is in use, and shipped whole after a pause", async () => {
    await using scene = new Scene();
    const before = await atWork(scene);
    await using followed = await upToDate(scene);
    const { local: txid } = followed.replication.position;
    await before.work({ seed: 2, changes: 50 });
    await followed.sync();
    await before.close();
    const back = (): Promise<unknown> =>
      restore(fileStore(scene.replica), fileSink(scene.path, { force: true }), { txid });
    await expect(back()).rejects.toMatchObject({ code: "DATABASE_LOCKED" });
    followed.follower.pause();
    await back();
    followed.follower.resume();
    await followed.sync();
    const application = await scene.application();
    await scene.expectWhole(application);
    await application.work({ seed: 3, changes: 20 });
    await followed.sync();
    await scene.expectWhole(application);
  });

  test("in its journal mode needs a pause, and is followed again in WAL mode", async () => {
    await using scene = new Scene();
    const application = await atWork(scene, { timeout: 50 });
    await using followed = await upToDate(scene);
    await expect(application.run("PRAGMA journal_mode = DELETE")).rejects.toMatchObject({
      code: 5,
    });
    followed.follower.pause();
    await application.run("PRAGMA journal_mode = DELETE");
    await application.work({ seed: 2, changes: 20 });
    await application.run("PRAGMA journal_mode = WAL");
    followed.follower.resume();
    await followed.sync();
    await scene.expectWhole(application);
  });
});

test("a database that is not there yet is followed from its first commit", async () => {
  await using scene = new Scene();
  await using followed = await scene.follow();
  const application = await scene.application();
  await application.run(TABLE + ROWS);
  await followed.sync();
  await scene.expectWhole(application);
});
