import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { presignS3, type S3SignRequest } from "pagestream/transports/s3";
import type { Page, Request } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SHORT_CONTRACT_TESTS } from "../runtime/short-contract.ts";
import { webStores } from "../runtime/web-stores.ts";
import { part } from "../servers/server.ts";
import { describeWebStores } from "../servers/web-suite.ts";
import { s3Options, sessionKeys } from "../stores/s3-kit.ts";
import type { BucketRequest, BucketResult } from "./app/bucket.ts";
import type { StoresApi } from "./app/stores.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describeWebStores("Chromium", (addresses) => {
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    browser = await startBrowser();
    const folder = join(browser.folder, "stores");
    mkdirSync(folder);
    await build({
      entryPoints: ["stores", "bucket"].map((name) => source(`app/${name}.ts`)),
      outdir: folder,
      bundle: true,
      format: "esm",
      target: "es2022",
      logLevel: "error",
    });
    const module = "../../node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm";
    copyFileSync(source(module), join(folder, "sqlite3.wasm"));
    const html = '<!doctype html><script type="module" src="stores.js"></script>';
    writeFileSync(join(folder, "index.html"), html);
    page = await browser.open("/stores/index.html");
  });
  afterAll(() => browser.close());

  // The page and a worker share network and CORS: by turns, to save time.
  const places = webStores(addresses).map(({ name }, i) => ({
    name,
    place: i % 2 === 0 ? ("inWorker" as const) : ("onPage" as const),
  }));
  test.each(places)("the $name store passes its contract $place", async ({ name, place }) => {
    const request = { addresses, name, path: place };
    const results = await page.evaluate(
      ([where, what]) => (globalThis as unknown as { stores: StoresApi }).stores[where](what),
      [place, request] as const,
    );
    const failed = results.filter(({ detail }) => detail !== "");
    // Where a redirect leads a browser does not show: that a folder was meant stays hidden, and it is an error.
    const hidden = failed.filter(({ detail }) => detail.includes('"dir STORE" instead of'));
    expect(hidden.length).toBe(name === "http" ? 1 : 0);
    expect(failed.filter((each) => !hidden.includes(each))).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(SHORT_CONTRACT_TESTS);
  });

  test.for([
    ["addresses that its server signs", "sign"],
    ["session keys", "keys"],
  ] as const)("a database in OPFS is replicated to one's own bucket by %s", async ([, route]) => {
    const { s3 = {} } = addresses;
    const bucket = part(s3, "bucket");
    const options = s3Options(s3, bucket);
    const path = `own-${route}`;
    // The server's part, as docs/stores/s3.md has it.
    await page.route("**/stores/sign", async (call) => {
      const { method, key, query, headers } = call.request().postDataJSON() as S3SignRequest;
      const isOwn =
        key === undefined
          ? method === "GET" && query?.["prefix"]?.startsWith(`${path}/`)
          : key.startsWith(`${path}/`) && headers?.["x-amz-copy-source"] === undefined;
      if (isOwn !== true) return await call.fulfill({ status: 403 });
      const signed = await presignS3(options, { method, key, query, headers, expiresInS: 60 });
      await call.fulfill({ json: signed });
    });
    await page.route("**/stores/keys", async (call) => {
      await call.fulfill({ json: await sessionKeys(options, path) });
    });
    const sent: Request[] = [];
    page.on("request", (request) => {
      if (request.url().startsWith(part(s3, "endpoint"))) sent.push(request);
    });
    const request: BucketRequest = { bucket, endpoint: part(s3, "endpoint"), path, route };
    const answer = await page.evaluate(
      (data) =>
        new Promise<{ result?: BucketResult; error?: string }>((resolve, reject) => {
          const worker = new Worker("bucket.js", { type: "module" });
          worker.onmessage = (event) => {
            worker.terminate();
            resolve(event.data);
          };
          worker.onerror = (event) => reject(new Error(event.message));
          worker.postMessage(data);
        }),
      request,
    );
    expect(answer).toEqual({ result: { rows: 2, restored: true, outside: "STORE" } });
    const isRight = (each: Request): boolean =>
      route === "sign"
        ? each.url().includes("X-Amz-Signature=") && !("authorization" in each.headers())
        : "x-amz-security-token" in each.headers();
    expect(sent.length).toBeGreaterThan(10);
    expect(sent.filter((each) => !isRight(each)).map((each) => each.url())).toEqual([]);
  });
});
