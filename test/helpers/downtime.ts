/**
 * What an application may do while its replicator is down, and what is then missing in the replica.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileSink, fileStore } from "@pagestream/node";
import { restore } from "pagestream";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import { Application, contentDigest } from "./application.ts";
import { litestream, litestreamRestoreTo, startDaemon } from "./litestream.ts";
import { Replicator } from "./replicator.ts";

/** A replicator as an operator sees it. */
export interface Operated {
  /** Starts, replicates what is committed, and stops. */
  run(path: string, replica: string): Promise<void>;
  /** Restores into a new file. */
  restore(replica: string, output: string): Promise<void>;
}

/** Pagestream's follower. */
export const PAGESTREAM: Operated = {
  async run(path, replica) {
    const replicator = await Replicator.open({ path, replica });
    await replicator.sync();
    await replicator.close();
  },
  async restore(replica, output) {
    await restore(fileStore(replica), fileSink(output));
  },
};

async function litestreamRestored(replica: string, output: string): Promise<void> {
  const { code, stderr } = await litestreamRestoreTo(replica, output);
  if (code !== 0) throw new Error(`litestream restore: ${stderr}`);
}

/** Real Litestream, as a daemon. */
export const LITESTREAM: Operated = {
  async run(path, replica) {
    await using daemon = await startDaemon({ databases: { [path]: replica } });
    await daemon.sync(path);
  },
  restore: litestreamRestored,
};

/** Real Litestream, as `replicate -once` at default settings. */
export const LITESTREAM_ONCE: Operated = {
  async run(path, replica) {
    const { code, stderr } = await litestream("replicate", "-once", path, `file://${replica}`);
    if (code !== 0) throw new Error(`litestream replicate -once: ${stderr}`);
  },
  restore: litestreamRestored,
};

/** Checkpoints that an application may run. */
export const CHECKPOINTS = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] as const;

/** Rows that {@linkcode checkpointedWhileDown} changes. */
export const CHANGED_ROWS = 201;

const ROWS = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
  INSERT INTO t SELECT i, 'before' || hex(zeroblob(100)) FROM n`;

/**
 * Replicates, stops, changes 200 rows, checkpoints, changes one row more, replicates again and restores. Returns how many
 * of the changed rows the replica has.
 */
export async function checkpointedWhileDown(
  by: Operated,
  directory: string,
  mode: string,
): Promise<number> {
  const [path, replica, output] = paths(directory);
  const application = await Application.open({ path });
  try {
    await application.run(`CREATE TABLE t(id INTEGER PRIMARY KEY, body); ${ROWS}`);
    await by.run(path, replica);
    await application.run("UPDATE t SET body = 'after' WHERE id <= 200");
    if (await application.checkpoint(mode)) throw new Error(`${mode} was refused`);
    await application.run("UPDATE t SET body = 'after' WHERE id = 201");
    await by.run(path, replica);
    await by.restore(replica, output);
    const db = new DatabaseSync(output);
    const row = db.prepare("SELECT count(*) AS n FROM t WHERE body = 'after'").get();
    db.close();
    return Number(row?.["n"]);
  } finally {
    await application.close();
  }
}

/** A plan of one downtime: changes, and what comes after some of them. */
export type DowntimePlan = readonly string[];

/** What an application does meanwhile, in words of SQL. */
export function randomDowntime(random: SeededRandom): DowntimePlan {
  const steps: string[] = [];
  const count = 1 + random.int(5);
  for (let i = 0; i < count; i++) {
    const from = random.int(400);
    if (random.int(3) > 0) {
      steps.push(
        `UPDATE t SET body = 'r${random.int(1e6)}' WHERE id BETWEEN ${from} AND ${from + random.int(100)}`,
      );
    } else {
      steps.push(
        `INSERT INTO t(body) SELECT 'i${random.int(1e6)}' FROM t LIMIT ${1 + random.int(200)}`,
      );
    }
    if (random.int(2) === 0) steps.push(`PRAGMA wal_checkpoint(${random.pick(CHECKPOINTS)})`);
  }
  steps.push(`UPDATE t SET body = 'last${random.int(1e6)}' WHERE id = ${1 + random.int(500)}`);
  return steps;
}

/** Replicates, stops, follows the plan, replicates again and restores. Returns whether the replica has it all. */
export async function isWholeAfter(
  by: Operated,
  directory: string,
  plan: DowntimePlan,
): Promise<boolean> {
  const [path, replica, output] = paths(directory);
  const application = await Application.open({ path });
  try {
    await application.run(`CREATE TABLE t(id INTEGER PRIMARY KEY, body); ${ROWS}`);
    await by.run(path, replica);
    for (const step of plan) await application.run(step);
    await by.run(path, replica);
    await by.restore(replica, output);
    const expected = await application.digest();
    const db = new DatabaseSync(output);
    const actual = contentDigest(db);
    db.close();
    return actual === expected;
  } finally {
    await application.close();
    rmSync(directory, { recursive: true });
  }
}

function paths(directory: string): [path: string, replica: string, output: string] {
  return [join(directory, "app.db"), join(directory, "replica"), join(directory, "out.db")];
}
