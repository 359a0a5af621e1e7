/** @module */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { bytesSink, restore } from "pagestream";
import { httpStore } from "pagestream/transports/http";
import { afterAll, expect, test } from "vitest";
import { bundleWorker } from "../helpers/bundle-worker.ts";
import { type SqlReplica, sqlReplica } from "../helpers/sql-replica.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-http-"));
const start = async (entry: URL, name: string): Promise<Miniflare> =>
  new Miniflare({
    modules: await bundleWorker(entry),
    modulesRoot: "/worker",
    compatibilityDate: "2026-07-01",
    bindings: { TOKEN: "secret" },
    r2Buckets: ["BUCKET"],
    r2Persist: join(folder, name),
  });
const worker = await start(new URL("../../examples/workers/http.ts", import.meta.url), "example");
const shared = await start(new URL("./http-worker.ts", import.meta.url), "shared");

afterAll(async () => {
  await worker.dispose();
  await shared.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Copies a replica into the bucket of a Worker. */
async function upload(database: SqlReplica, into: Miniflare): Promise<void> {
  const bucket = (await into.getR2Bucket("BUCKET")) as unknown as R2Bucket;
  const store = r2Store(bucket, { path: "app" });
  for await (const { key, metadata } of database.store.list()) {
    const { body } = await database.store.get(key);
    const bytes = new Uint8Array(
      await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
    );
    await store.put(key.replace(/^ltx\/(\d)/, "000$1"), bytes, { metadata });
  }
}

test("replicaRoutes() serves a replica in R2 from workerd", async () => {
  using database = sqlReplica();
  await database.commit("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  await database.commit("INSERT INTO t VALUES (2)");
  await upload(database, worker);
  const headers = { authorization: "Bearer secret" };
  const ask = (
    path: string,
    more: Record<string, string> = {},
  ): ReturnType<typeof worker.dispatchFetch> =>
    worker.dispatchFetch(`http://worker/db${path}`, { headers: { ...headers, ...more } });

  expect((await worker.dispatchFetch("http://worker/db")).status).toBe(401);
  expect(await (await ask("")).json()).toMatchObject({
    txid: "0000000000000002",
    restore_points: 2,
  });
  const asked = await worker.dispatchFetch("http://worker/db/query", {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ sql: "SELECT sum(x) FROM t" }),
  });
  expect(await asked.json()).toMatchObject({ txid: "0000000000000002", rows: [[3]] });
  const snapshot = new Uint8Array(
    await (await ask("/snapshot", { "accept-encoding": "gzip" })).arrayBuffer(),
  );
  // Most of the file is restored, a little of it read by pages.
  for (const [range, rest] of [
    ["bytes=1024-", snapshot.subarray(1024)],
    ["bytes=-1024", snapshot.subarray(-1024)],
  ] as const) {
    const part = await ask("/snapshot?txid=0000000000000002", { range });
    expect(part.status).toBe(206);
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(rest);
  }

  const sink = bytesSink();
  const follower = httpStore("http://worker/db", {
    headers,
    fetch: async (url, init) => (await worker.dispatchFetch(url as string, init as never)) as never,
  });
  expect(await restore(follower, sink)).toMatchObject({ txid: 2n });

  const changes = await ask("/changes");
  const reader = (changes.body as unknown as ReadableStream<Uint8Array>).getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toContain("event: position");
  await reader.cancel();
  // The one who listened has gone, and what it began must not keep others waiting.
  expect((await ask("/pages/1")).status).toBe(200);
});

test.for(["nothing", "store", "key"])(
  "replicaRoutes() answers all requests that run at once in workerd where they share %s",
  async (name) => {
    using database = sqlReplica();
    // More than comes with an index, and nothing that compresses: every query has to wait for pages.
    await database.commit(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, x); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, randomblob(1500) FROM n",
    );
    await upload(database, shared);
    const url = `http://worker/${name}`;
    const query = async (from: number): Promise<unknown> => {
      const sql = `SELECT min(id), sum(length(x)) FROM t WHERE id BETWEEN ${from} AND ${from + 9}`;
      const headers = { "content-type": "application/json" };
      const body = JSON.stringify({ sql });
      const answer = await shared.dispatchFetch(`${url}/query`, { method: "POST", headers, body });
      return ((await answer.json()) as { readonly rows: unknown }).rows;
    };
    const page = async (pgno: number): Promise<number> => {
      const answer = await shared.dispatchFetch(`${url}/pages/${pgno}`);
      return (await answer.arrayBuffer()).byteLength;
    };
    for (const round of [1, 2]) {
      const starts = Array.from({ length: 8 }, (_, i) => i * 110 + round * 20);
      const [rows, sizes] = await Promise.all([
        Promise.all(starts.map(query)),
        Promise.all(starts.map(page)),
      ]);
      expect(rows).toEqual(starts.map((from) => [[from, 15_000]]));
      expect(sizes).toEqual(starts.map(() => 1024));
    }
    // What is kept between requests does not keep newer states out.
    await database.commit("UPDATE t SET x = zeroblob(7) WHERE id = 500");
    await upload(database, shared);
    expect(await query(500)).toEqual([[500, 13_507]]);
  },
);
