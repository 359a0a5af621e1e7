import { statSync } from "node:fs";
import { expect, test } from "vitest";
import { Scene } from "./scene.ts";

const MIB = 1 << 20;
const ROWS = 17_000;

test("the image of a gigabyte is read beside a writer, with the WAL under its bound", async () => {
  await using scene = new Scene();
  const application = await scene.application({
    setup: "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
  });
  await application.run(`CREATE TABLE big(i INTEGER PRIMARY KEY, body);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${ROWS})
      INSERT INTO big SELECT i, randomblob(500) || zeroblob(62000) FROM n;`);
  await application.checkpoint("TRUNCATE");
  expect(statSync(scene.path).size).toBeGreaterThan(1_000 * MIB);
  // From here on nobody but the follower keeps the log short.
  await application.run("PRAGMA wal_autocheckpoint = 0");
  const walLimit = 16 * MIB;
  const image = { done: false };
  const writing = (async () => {
    for (let seed = 1; !image.done; seed++) {
      await application.run(`UPDATE big SET body = zeroblob(62500) WHERE i % ${ROWS} = ${seed}`);
      await application.work({ seed, changes: 3 });
    }
  })();
  await using followed = await scene.follow({ follower: { walLimit } });
  await followed.sync();
  image.done = true;
  await writing;
  expect(scene.walSize).toBeGreaterThan(walLimit / 2);
  expect(scene.walSize).toBeLessThan(3 * walLimit);
  await followed.sync();
  await scene.expectWhole(application);
}, 600_000);
