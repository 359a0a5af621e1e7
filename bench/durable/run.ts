/**
 * How long until a commit is durable, in each durability mode, on the file store: `node bench/durable/run.ts [directory]`.
 *
 * One row is updated by each transaction: page 1 and one leaf. Timed is what an application waits for: COMMIT, and with
 * `async` also `durable()`. The modes take turns, so that whatever else the disk does hits all alike. Database and replica
 * lie in one directory, a temporary one unless given; what a sync costs there decides everything, so it is measured too.
 *
 * @module
 */
import "./sources.ts";
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import type { Durability, ReplicatedDatabase } from "../../src/api/index.ts";
import { describeMachine } from "../harness.ts";

const { blockingUploader, openReplicated } = await import("pagestream");
const { fileStore, syncFiles } = await import("@pagestream/node");

const COMMITS = 300;
const WARM_UP = 20;
const ROWS = 5_000;

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;

const root = mkdtempSync(join(process.argv[2] ?? tmpdir(), "pagestream-bench-durable-"));

/** A database in one of the modes, and one commit of it. */
interface Mode {
  readonly name: string;
  readonly app: ReplicatedDatabase<Sqlite3>;
  readonly times: number[];
  readonly commit: (i: number) => Promise<void> | undefined;
  readonly end: () => Promise<unknown>;
}

async function open(durability: Durability): Promise<Mode> {
  const replica = join(root, `${durability}-replica`);
  let worker: Worker | undefined;
  if (durability === "hold-block") {
    worker = new Worker(new URL("./hold-worker.ts", import.meta.url), { workerData: replica });
    await new Promise((resolve, reject) => {
      worker?.once("message", resolve);
      worker?.once("error", reject);
    });
  }
  const app = await openReplicated<Sqlite3>({
    sqlite3: await sqlite3InitModule(),
    files: syncFiles(),
    path: join(root, `${durability}.db`),
    replica: fileStore(replica),
    durability,
    blockingUploader: worker && blockingUploader(worker),
  });
  await app.transaction(() =>
    app.db.exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
      WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${ROWS})
      INSERT INTO t SELECT i, 'some text of row ' || i FROM c`),
  );
  await app.replication.durable();
  const update = (i: number): unknown =>
    app.db.exec(`UPDATE t SET b = 'changed ${i}' WHERE a = ${1 + ((i * 37) % ROWS)}`);
  return {
    name: durability === "async" ? "async, then durable()" : durability,
    app,
    times: [],
    commit(i) {
      if (durability === "hold-retry" || durability === "hold-jspi") {
        return app.transaction(() => void update(i));
      }
      update(i);
      // Where COMMIT itself says it all, what happens afterwards is not waited for.
      return durability === "async" ? app.replication.durable() : undefined;
    },
    end: () => worker?.terminate() ?? Promise.resolve(),
  };
}

/** What one small write and its sync cost here. */
function syncTimes(): number[] {
  const file = openSync(join(root, "sync"), "w");
  const times = Array.from({ length: 100 }, (_, i) => {
    const start = performance.now();
    writeSync(file, new Uint8Array(4096), 0, 4096, i * 4096);
    fsyncSync(file);
    return performance.now() - start;
  });
  closeSync(file);
  return times;
}

function percentile(times: readonly number[], share: number): string {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(2);
}

const modes: Mode[] = [];
for (const durability of ["async", "local", "hold-retry", "hold-jspi", "hold-block"] as const) {
  modes.push(await open(durability));
}
for (let i = -WARM_UP; i < COMMITS; i++) {
  for (const { app, commit, times } of modes) {
    const start = performance.now();
    const waiting = commit(i + WARM_UP);
    if (waiting !== undefined) await waiting;
    if (i >= 0) times.push(performance.now() - start);
    // The others' files are cut and uploaded now, outside the time of the next.
    await app.replication.durable();
  }
}

console.log(describeMachine());
console.log(`\n${COMMITS} commits of two pages each; milliseconds until an application may go on`);
const rows = [{ name: "one write and its sync", times: syncTimes() }, ...modes];
for (const { name, times } of rows) {
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  console.log(`  ${name.padEnd(24)} p50 ${p50.padStart(7)}  p99 ${p99.padStart(7)}`);
}
for (const { name, app, end } of modes) {
  await app.close();
  const { commits, files } = app.replication.stats;
  // A time means nothing unless the work was done.
  if (commits < COMMITS + WARM_UP) throw new Error(`${name}: only ${commits} commits`);
  console.log(`  ${name.padEnd(24)} ${files} files for ${commits} commits`);
  await end();
}
rmSync(root, { recursive: true });
