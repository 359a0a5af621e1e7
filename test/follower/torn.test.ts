import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { Scene } from "./scene.ts";
import { PYTHON, TornWriter } from "./torn-writer.ts";

const TABLES = `CREATE TABLE t(id INTEGER PRIMARY KEY, body); CREATE TABLE u(id INTEGER PRIMARY KEY, body);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50)
  INSERT INTO t SELECT i, hex(zeroblob(250)) FROM n; INSERT INTO u SELECT * FROM t;`;
const NO_CHECKPOINTS = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0";

// The path of the suite's tools: "npm test" makes it, and under .ci/run a skip is a failure.
const tested = existsSync(PYTHON) ? test : test.skip;

for (const how of ["kill", "eio"] as const) {
  const what = how === "kill" ? "is killed" : "gets an I/O error";
  tested(
    `a writer that ${what} inside the fsync of its WAL leaves nothing behind that is replicated`,
    async () => {
      await using scene = new Scene();
      const application = await scene.application({ setup: NO_CHECKPOINTS });
      await application.run(TABLES);
      await using followed = await scene.follow();
      await followed.sync();
      const size = scene.walSize;
      const torn = await TornWriter.start(
        scene.path,
        how,
        "UPDATE t SET body = 'PHANTOM' WHERE id <= 40",
      );
      // The frames are there, with the one that would commit them.
      expect(scene.walSize).toBeGreaterThan(size);
      await followed.sync();
      const told = await torn.fail();
      expect(told?.startsWith("refused")).toBe(how === "eio" ? true : undefined);
      await followed.sync();
      for (let i = 0; i < 200; i++) {
        await application.run(`INSERT INTO u(body) VALUES ('after ${i}')`);
        if (i % 10 === 0) await followed.sync();
      }
      await followed.sync();
      expect(await scene.query("SELECT count(*) AS n FROM t WHERE body = 'PHANTOM'")).toEqual({
        n: 0,
      });
      expect(await scene.query("SELECT count(*) AS n FROM u")).toEqual({ n: 250 });
      expect(await application.checkpoint("RESTART")).toBe(false);
      await application.run("INSERT INTO u(body) VALUES ('in the next log')");
      await followed.sync();
      await scene.expectWhole(application);
      await torn.end();
    },
  );

  tested(`a writer that ${what} inside the fsync of its WAL misleads no start`, async () => {
    await using scene = new Scene();
    const application = await scene.application({ setup: NO_CHECKPOINTS });
    await application.run(TABLES);
    await scene.once();
    const torn = await TornWriter.start(scene.path, how, "UPDATE t SET body = 'PHANTOM'");
    await scene.once();
    await torn.fail();
    await scene.once();
    await scene.expectWhole(application);
    await application.run("UPDATE u SET body = 'after' WHERE id < 20");
    await scene.once();
    await scene.expectWhole(application);
    await torn.end();
  });
}
