import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { CHECKPOINTS, randomDowntime } from "../helpers/downtime.ts";
import { Scene } from "./scene.ts";

const TABLE = `CREATE TABLE t(id INTEGER PRIMARY KEY, body);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
  INSERT INTO t SELECT i, 'before' || hex(zeroblob(100)) FROM n;`;

const ROUNDS = 60;
const SEED = Number(process.env["PAGESTREAM_SEED"] ?? 7_001);

describe("a follower that was down", () => {
  for (const mode of CHECKPOINTS) {
    test(`finds what was changed before a ${mode} checkpoint of the application and after it`, async () => {
      await using scene = new Scene();
      const application = await scene.application();
      await application.run(TABLE);
      await scene.once();
      await application.run("UPDATE t SET body = 'after' WHERE id <= 200");
      expect(await application.checkpoint(mode)).toBe(false);
      await application.run("UPDATE t SET body = 'after' WHERE id = 201");
      await scene.once();
      await scene.expectWhole(application);
    });
  }

  test(`misses nothing in ${ROUNDS} random downtimes (seed ${SEED})`, async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await application.run(TABLE);
    await scene.once();
    const random = seededRandom(SEED);
    for (let round = 0; round < ROUNDS; round++) {
      const plan = randomDowntime(random.fork());
      for (const step of plan) await application.run(step);
      await scene.once();
      await scene.expectWhole(application).catch((error: unknown) => {
        throw new Error(`round ${round}: ${plan.join("; ")}`, { cause: error });
      });
    }
  });

  test("misses nothing of what is committed while it compares", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await application.run(`CREATE TABLE big(i INTEGER PRIMARY KEY, body);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000)
      INSERT INTO big SELECT i, randomblob(3000) FROM n;`);
    await scene.once();
    await application.run("UPDATE big SET body = randomblob(3000) WHERE i % 7 = 0");
    await application.checkpoint("TRUNCATE");
    await application.begin({ seed: 3 });
    await using followed = await scene.follow();
    expect((await application.rest()).commits).toBeGreaterThan(0);
    await followed.sync();
    await scene.expectWhole(application);
  });

  test("goes on where the application has closed the database, which removes the WAL", async () => {
    await using scene = new Scene();
    const first = await scene.application();
    await first.run(TABLE);
    await scene.once();
    await first.close();
    const second = await scene.application();
    await second.run("UPDATE t SET body = 'after'");
    await second.close();
    await scene.once();
    await scene.expectWhole(await scene.application());
  });
});

describe("a follower whose WAL nobody has touched", () => {
  test("reads no page and ships what was committed meanwhile, or nothing", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await application.run(TABLE);
    await scene.once();
    await using followed = await scene.follow();
    const { replicated } = followed.replication.position;
    await followed.sync();
    expect(followed.replication.position.replicated).toBe(replicated);
    await application.run("UPDATE t SET body = 'after' WHERE id < 20");
    await followed.close();
    expect(followed.images).toBe(0);
    await application.run("UPDATE t SET body = 'later' WHERE id > 400");
    await application.run("DELETE FROM t WHERE id = 10");
    expect(await scene.once()).toBe(0);
    await scene.expectWhole(application);
  });

  test("is told from one that was written anew over the same frames", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await application.run(TABLE);
    await scene.once();
    await application.checkpoint("RESTART");
    await application.run("UPDATE t SET body = 'after' WHERE id <= 100");
    expect(await scene.once()).toBeGreaterThan(0);
    await scene.expectWhole(application);
  });
});
