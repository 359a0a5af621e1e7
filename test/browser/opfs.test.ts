import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SHORT_CONTRACT_TESTS } from "../runtime/short-contract.ts";
import { recordGuarantees } from "../stores/guarantees.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";
import type { OpfsApi } from "./opfs/main.ts";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

let browser: TestBrowser;

beforeAll(async () => {
  browser = await startBrowser();
  const folder = join(browser.folder, "opfs");
  await esbuild.build({
    entryPoints: [source("opfs/main.ts")],
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    alias: {
      pagestream: source("../../src/api/index.ts"),
      "pagestream/testing": source("../../src/testing/index.ts"),
      "pagestream/transports/opfs": source("../../src/transports/opfs.ts"),
    },
  });
  mkdirSync(folder, { recursive: true });
  const page =
    '<!doctype html><link rel="icon" href="data:," /><script type="module" src="main.js">';
  writeFileSync(join(folder, "index.html"), `${page}</script>`);
});
afterAll(() => browser.close());

async function open(): Promise<Page> {
  const page = await browser.open("/opfs/index.html");
  await page.waitForFunction("globalThis.api !== undefined");
  return page;
}

function call<Name extends keyof OpfsApi>(
  page: Page,
  name: Name,
  ...argument: Parameters<OpfsApi[Name]>
): ReturnType<OpfsApi[Name]> {
  return page.evaluate(
    ([name, ...parameters]) =>
      (globalThis as unknown as { api: Record<string, (...a: unknown[]) => unknown> }).api[
        name as string
      ]!(...parameters),
    [name as string, ...(argument as unknown[])],
  ) as ReturnType<OpfsApi[Name]>;
}

describe("opfsFollowTarget in Chromium", () => {
  test("opfsFollowTarget() keeps a copy, refuses a second follower, and survives the end of its worker", async () => {
    const page = await open();
    const expected = { same: true, second: "DATABASE_LOCKED" };
    expect(await call(page, "follow", 3, false)).toEqual({ ...expected, position: "4" });
    expect(await call(page, "follow", 2, false)).toEqual({ ...expected, position: "6" });
    // Ended in the middle of the step to 8: the next worker finds the copy at 7 and goes on.
    expect(await call(page, "follow", 1, true)).toBe("hangs");
    expect(await call(page, "follow", 0, false)).toEqual({ ...expected, position: "8" });
  });
});

describe("opfsStore in Chromium", () => {
  test.for([
    ["contract", 40],
    ["contractInWorker", SHORT_CONTRACT_TESTS],
  ] as const)("opfsStore() keeps the contract (%s)", async ([name, least]) => {
    const results = await call(await open(), name);
    expect(results.filter(({ detail }) => detail !== "")).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(least);
  });

  test("opfsStore() lets one of the writers of a page and a worker create an object", async () => {
    expect(await call(await open(), "race", 5)).toEqual(Array.from({ length: 5 }, () => 1));
  });

  test("opfsStore() shows nothing of a write that the end of the page cuts, and sweeps it up", async () => {
    const page = await open();
    await call(page, "hang", "cut");
    await call(page, "put", "whole");
    // The writer lives, so its file stays.
    const left = await call(page, "files");
    expect(left.map((name) => name.replace(/[0-9a-f]{16}/, "x"))).toEqual([
      ".pagestream-x.tmp",
      ".pagestream-x.tmp.crswap",
      "whole",
    ]);
    await page.reload();
    await page.waitForFunction("globalThis.api !== undefined");
    expect(await call(page, "keys")).toEqual(["whole"]);
    await call(page, "put", "next");
    expect(await call(page, "files")).toEqual(["next", "whole"]);
  });

  test("opfsStore() guarantees what its page says", () => {
    const yes = {
      conditionalPut: true,
      conditionalReplace: true,
      conditionalLarge: true,
      conditionalDelete: true,
    };
    const capabilities = { ...yes, metadataInList: false, rangedGet: true, watch: false };
    expect(
      recordGuarantees({ store: "OPFS", server: "Chromium", capabilities, timeFrom: "header" }),
    ).toEqual([]);
  });
});
