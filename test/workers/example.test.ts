import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Miniflare } from "miniflare";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleWorker, startWorker } from "../helpers/bundle-worker.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-workers-"));
let modules: Awaited<ReturnType<typeof bundleWorker>>;
let worker: Miniflare;

function start(): void {
  worker = startWorker(modules, { r2: { bucket: "BUCKET", folder } });
}

beforeAll(async () => {
  modules = await bundleWorker(new URL("../../examples/workers/worker.ts", import.meta.url));
  start();
});
afterAll(async () => {
  await worker.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe("examples/workers", () => {
  test("examples/workers has in R2 what it answered for", async () => {
    const post = async (body: string): Promise<unknown> =>
      (await worker.dispatchFetch("http://worker/", { method: "POST", body })).json();
    expect(await post("one")).toEqual(["one"]);
    expect(await post("two")).toEqual(["one", "two"]);
    await worker.dispose();
    start();
    expect(await post("three")).toEqual(["one", "two", "three"]);
  });
});
