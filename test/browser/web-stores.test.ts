import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SHORT_CONTRACT_TESTS } from "../runtime/short-contract.ts";
import { webStores } from "../runtime/web-stores.ts";
import { describeWebStores } from "../servers/web-suite.ts";
import type { StoresApi } from "./app/stores.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";

describeWebStores("Chromium", (addresses) => {
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    browser = await startBrowser();
    const folder = join(browser.folder, "stores");
    mkdirSync(folder);
    await build({
      entryPoints: [fileURLToPath(new URL("app/stores.ts", import.meta.url))],
      outfile: join(folder, "stores.js"),
      bundle: true,
      format: "esm",
      target: "es2022",
      logLevel: "error",
    });
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
});
