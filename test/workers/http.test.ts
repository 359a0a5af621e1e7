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
import { sqlReplica } from "../helpers/sql-replica.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-http-"));
const modules = await bundleWorker(new URL("../../examples/workers/http.ts", import.meta.url));
const worker = new Miniflare({
  modules,
  modulesRoot: "/worker",
  compatibilityDate: "2026-07-01",
  bindings: { TOKEN: "secret" },
  r2Buckets: ["BUCKET"],
  r2Persist: folder,
});

afterAll(async () => {
  await worker.dispose();
  rmSync(folder, { recursive: true, force: true });
});

test("replicaRoutes() serves a replica in R2 from workerd", async () => {
  using database = sqlReplica();
  await database.commit("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  await database.commit("INSERT INTO t VALUES (2)");
  const bucket = (await worker.getR2Bucket("BUCKET")) as unknown as R2Bucket;
  const store = r2Store(bucket, { path: "app" });
  for await (const { key, metadata } of database.store.list()) {
    const { body } = await database.store.get(key);
    const bytes = new Uint8Array(
      await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
    );
    await store.put(key.replace(/^ltx\/(\d)/, "000$1"), bytes, { metadata });
  }
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
  // Many at once: what requests share must not belong to one of them.
  const pages = await Promise.all(Array.from({ length: 8 }, () => ask("/pages/2")));
  expect(pages.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  const snapshot = new Uint8Array(
    await (await ask("/snapshot", { "accept-encoding": "gzip" })).arrayBuffer(),
  );
  const part = await ask("/snapshot?txid=0000000000000002", { range: "bytes=1024-" });
  expect(part.status).toBe(206);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(snapshot.subarray(1024));

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
