/**
 * How long a Worker takes for a query over a replica that it has not restored: `node scripts/build.mjs && node bench/workers/run.ts`.
 *
 * The example `examples/workers/reader.ts` in workerd, with a replica of a 213 MB database in the emulation of R2 and behind a
 * strict S3 on 127.0.0.1. Timed from outside: the clock of workerd stands still while code runs. `start` begins with a
 * new isolate: SQLite starts, the replica is opened, one row is read. `cold` is a row whose page is not in memory, `warm` one whose
 * page is, and `empty` a request that reads nothing, to be taken off the others.
 *
 * @module
 */
import { Miniflare } from "miniflare";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { s3Store } from "pagestream/transports/s3";
import { bundleWorker } from "../../test/helpers/bundle-worker.ts";
import { largeReplica, writeLarge } from "../../test/helpers/large-replica.ts";
import { S3Fake } from "../../test/helpers/s3-fake.ts";
import { startS3Server } from "../../test/helpers/s3-server.ts";
import { describeMachine } from "../harness.ts";

const ROWS = 52_000;
const STARTS = 3;
const QUERIES = 20;

const replica = largeReplica(ROWS);
const modules = await bundleWorker(new URL("../../examples/workers/reader.ts", import.meta.url));
const s3 = await startS3Server({ bucket: "bucket" });

function start(store: "r2" | "s3", driver: "retry" | "jspi"): Miniflare {
  const { credentials } = S3Fake;
  const options = { endpoint: s3.endpoint, bucket: "bucket", path: "app", credentials } as const;
  return new Miniflare({
    modules,
    modulesRoot: "/worker",
    compatibilityDate: "2026-07-01",
    durableObjects: { READER: "Reader" },
    bindings: { DRIVER: driver, ...(store === "s3" ? { S3: options } : {}) },
    ...(store === "r2" ? { r2Buckets: ["BUCKET"] } : {}),
  });
}

async function write(store: "r2" | "s3", worker: Miniflare): Promise<void> {
  if (store === "r2") {
    const bucket = (await worker.getR2Bucket("BUCKET")) as unknown as R2Bucket;
    await writeLarge(r2Store(bucket, { path: "app" }), replica);
  } else if (s3.fake.objects.size === 0) {
    const { credentials } = S3Fake;
    const { endpoint } = s3;
    await writeLarge(s3Store({ endpoint, bucket: "bucket", path: "app", credentials }), replica);
  }
}

async function timed(worker: Miniflare, path: string): Promise<number> {
  const begin = performance.now();
  const response = await worker.dispatchFetch(`http://worker${path}`);
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return performance.now() - begin;
}

const median = (all: readonly number[]): number =>
  all.toSorted((a, b) => a - b)[all.length >> 1] as number;

try {
  console.log(`${describeMachine()}, workerd`);
  console.log("\n| store | driver | start | cold | warm | empty | requests of start |");
  console.log("| --- | --- | --- | --- | --- | --- | --- |");
  for (const store of ["r2", "s3"] as const) {
    for (const driver of ["retry", "jspi"] as const) {
      const times = { start: [], cold: [], warm: [], empty: [] } as Record<string, number[]>;
      let requests = 0;
      for (let i = 0; i < STARTS; i++) {
        const worker = start(store, driver);
        await worker.ready;
        await write(store, worker);
        times["start"]?.push(await timed(worker, `/notes/${ROWS / 2}`));
        const status = await worker.dispatchFetch("http://worker/status");
        ({ requests } = (await status.json()) as { requests: number });
        for (let query = 0; query < QUERIES; query++) {
          times["cold"]?.push(await timed(worker, `/notes/${1 + query * 1_300}`));
          times["warm"]?.push(await timed(worker, `/notes/${1 + query * 1_300}`));
          times["empty"]?.push(await timed(worker, "/status"));
        }
        await worker.dispose();
      }
      const cells = Object.values(times).map((all) => `${median(all).toFixed(1)} ms`);
      console.log(`| ${[store === "r2" ? "R2" : "S3", driver, ...cells, requests].join(" | ")} |`);
    }
  }
} finally {
  await s3.close();
}
