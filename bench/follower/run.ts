/**
 * What following costs a writer of another process, and how long its commits take into a replica. All numbers are of one run: the
 * writer has its turns with the follower and without it one after the other.
 *
 * node --import ./test/helpers/sources.mjs bench/follower/run.ts [turns]
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { replicate } from "pagestream";
import {
  fileStore,
  nodeSqlite,
  nodeSqliteDriver,
  openWalFollower,
  syncFilesOf,
} from "pagestream/files-kit";
import { runApplication } from "../../test/follower/run-application.ts";
import type { ApplicationResult, ApplicationTask } from "../../test/follower/wal-application.ts";
import { describeMachine } from "../harness.ts";
import { median } from "../process.ts";

const turns = Number(process.argv[2] ?? 3);
const directory = mkdtempSync(join(tmpdir(), "pagestream-follower-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, "app.db");
const replica = fileStore(join(directory, "replica"));

const database = new DatabaseSync(path);
database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
database.close();

/** Runs the writer to its end. */
function write(
  task: Pick<ApplicationTask, "kind"> & { readonly ms?: number; readonly count?: number },
): Promise<ApplicationResult> {
  return runApplication({ path, timeoutMs: 5000, ...task });
}

function follow(): ReturnType<typeof openWalFollower> {
  const files = syncFilesOf(nodeSqlite);
  return openWalFollower(path, { driver: nodeSqliteDriver, files, shared: false });
}

const rates = { alone: [] as number[], beside: [] as number[] };
const cpu: number[] = [];
let largest = 0;
for (let turn = 0; turn < turns; turn++) {
  rates.alone.push((await write({ kind: "write", ms: 3000 })).commitsPerSecond);
  const follower = await follow();
  const replication = await replicate(follower, replica);
  await replication.durable();
  const before = process.cpuUsage();
  const { commits, commitsPerSecond } = await write({ kind: "write", ms: 3000 });
  await replication.durable();
  const { user, system } = process.cpuUsage(before);
  rates.beside.push(commitsPerSecond);
  cpu.push(((user + system) / 1e6 / commits) * 100_000);
  largest = Math.max(largest, statSync(`${path}-wal`).size);
  await replication.close();
  await follower.close();
}

const follower = await follow();
const replication = await replicate(follower, replica);
await replication.durable();
const uploads: number[] = [];
const listening = (async () => {
  for await (const event of replication.events) {
    if (event.type === "uploaded") uploads.push(performance.timeOrigin + performance.now());
  }
})();
const { times } = await write({ kind: "paced", count: 200 });
await replication.durable();
await replication.close();
await follower.close();
await listening;
const delays = times
  .map((time) => (uploads.find((upload) => upload >= time) ?? Infinity) - time)
  .sort((a, b) => a - b);
const at = (share: number): string => (delays[Math.floor(delays.length * share)] ?? 0).toFixed(1);

const [alone, beside] = [median(rates.alone), median(rates.beside)];
console.log(`${describeMachine()}\n`);
console.log("| what | measured |");
console.log("| --- | ---: |");
console.log(`| commits/s of the writer alone | ${alone.toFixed(0)} |`);
console.log(`| beside the follower | ${beside.toFixed(0)}, ${(beside / alone).toFixed(2)} of it |`);
console.log(
  `| CPU of the follower and the engine per 100,000 commits | ${median(cpu).toFixed(2)} s |`,
);
console.log(`| largest WAL | ${(largest / 1e6).toFixed(0)} MB |`);
console.log(
  `| from commit to L0 in a file replica, p50, p90, p99 | ${at(0.5)}, ${at(0.9)}, ${at(0.99)} ms |`,
);
