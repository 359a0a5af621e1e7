/**
 * Measures one driver in Node, Deno or Bun, and prints the result as JSON: run by `run.ts`.
 *
 * @module
 */
import { once } from "node:events";
import process from "node:process";
import { Worker } from "node:worker_threads";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { blockingReads } from "pagestream";
import type { ReplicaDriver } from "pagestream/vfs";
import { faultSteps, timeSteps } from "./steps.ts";

const [, , replica = "", driver = ""] = process.argv;
let worker: Worker | undefined;
if (driver === "block") {
  worker = new Worker(new URL("./helper.ts", import.meta.url), { workerData: replica });
  await once(worker, "message");
}
const run = faultSteps({
  sqlite3: await sqlite3InitModule(),
  replica,
  driver: driver as ReplicaDriver,
  blockingReads: worker && blockingReads(worker),
});
console.log(JSON.stringify(await timeSteps(run)));
await worker?.terminate();
process.exit(0);
