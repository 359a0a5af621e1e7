import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { memoryStore } from "pagestream/transports/memory";
import { writeHttpIndex } from "pagestream/transports/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { largeReplica, titleOf, writeLarge } from "../helpers/large-replica.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";
import type { QueriesRequest, QueriesResult, ReadsRequest, ReadsResult } from "./reads/worker.ts";

let browser: TestBrowser;
let databaseSize: number;

beforeAll(async () => {
  browser = await startBrowser();
  const folder = join(browser.folder, "reads");
  await build({
    entryPoints: [
      new URL("./reads/worker.ts", import.meta.url),
      new URL("./reads/helper.ts", import.meta.url),
    ].map((url) => fileURLToPath(url)),
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
  });
  const module = "../../node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm";
  copyFileSync(new URL(module, import.meta.url), join(folder, "sqlite3.wasm"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>Lazy reads</title>");
  const replica = largeReplica(4_000);
  ({ databaseSize } = replica);
  const store = memoryStore();
  await writeLarge(store, replica);
  await writeHttpIndex(store);
  for await (const { key } of store.list()) {
    const path = join(browser.folder, "replica", key);
    mkdirSync(dirname(path), { recursive: true });
    const { body } = await store.get(key);
    writeFileSync(path, new Uint8Array(await new Response(body as BodyInit).arrayBuffer()));
  }
});
afterAll(() => browser.close());

/** Gives a request to the worker of a page. */
async function inWorker<Result>(
  page: string,
  request: ReadsRequest | QueriesRequest,
): Promise<Result> {
  const opened = await browser.open(page);
  return (await opened.evaluate(
    (data) =>
      new Promise<unknown>((resolve, reject) => {
        const worker = new Worker("worker.js", { type: "module" });
        worker.onmessage = (event) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(data);
      }),
    request,
  )) as Result;
}

/** Asks on the page itself. */
async function onPage(page: string, request: QueriesRequest): Promise<QueriesResult> {
  const opened = await browser.open(page);
  await opened.addScriptTag({ type: "module", url: "worker.js" });
  await opened.waitForFunction("globalThis.query !== undefined");
  return await opened.evaluate(
    (data) =>
      (globalThis as unknown as { query(data: QueriesRequest): Promise<QueriesResult> }).query(
        data,
      ),
    request,
  );
}

describe.concurrent("queries in Chromium", () => {
  test.for<["page" | "worker", QueriesRequest["driver"], string]>([
    ["page", "auto", "jspi"],
    ["page", "retry", "retry"],
    ["worker", "auto", "jspi"],
  ])("a %s reads a replica lazily with the driver %s", async ([place, driver, chosen]) => {
    const request = { replica: `${browser.server.origin}/replica`, driver };
    const path = "/reads/index.html";
    const result = await (place === "page"
      ? onPage(path, request)
      : inWorker<QueriesResult>(path, request));
    expect(result).toMatchObject({
      driver: chosen,
      titles: [1, 4_000, 2].map(titleOf),
      count: 4_000,
    });
    expect(result.requests).toBeLessThanOrEqual(8);
    expect(result.bytes).toBeLessThan(databaseSize / 10);
  });
});

describe("blocking reads in Chromium", () => {
  test.for<[string, ReadsRequest["way"], string]>([
    ["a helper worker of an isolated page", "helper", "/isolated/reads/index.html"],
    ["synchronous XHR in any worker", "xhr", "/reads/index.html"],
  ])("the synchronous API reads a replica lazily by %s", async ([, way, page]) => {
    const replica = `${browser.server.origin}/replica`;
    const result = await inWorker<ReadsResult>(page, { replica, way });
    expect(result.titles).toEqual([1, 4_000, 2].map(titleOf));
    expect(result.requests).toBeLessThanOrEqual(8);
    expect(result.bytes).toBeLessThan(databaseSize / 10);
    expect(result.missing).toMatch(/^NOT_FOUND Cannot read ltx\/0\/none\.ltx/);
    expect(result.refused).toMatch(/^STORE Cannot read ltx\/0\/none\.ltx: the request was blocked/);
    // Without isolation there is no shared memory.
    expect(result.unsupported).toMatch(way === "helper" ? /^$/ : /^UNSUPPORTED /);
  });
});
