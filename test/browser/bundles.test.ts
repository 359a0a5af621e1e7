import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import * as vite from "vite";
import webpack from "webpack";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startBrowser, type TestBrowser } from "./browser.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const example = join(root, "examples/browser");
const entry = join(example, "worker.ts");

let browser: TestBrowser;

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser.close());

/** How each bundler makes `worker.js`, and SQLite's module beside it, in a folder. */
const BUNDLERS: Readonly<Record<string, (folder: string) => Promise<unknown>>> = {
  Vite: (folder) =>
    vite.build({
      configFile: false,
      logLevel: "error",
      root: example,
      base: "./",
      build: {
        outDir: folder,
        target: "es2022",
        rolldownOptions: { input: entry, output: { entryFileNames: "[name].js" } },
      },
    }),

  async esbuild(folder) {
    await esbuild.build({
      entryPoints: [entry],
      outdir: folder,
      bundle: true,
      format: "esm",
      target: "es2022",
      logLevel: "error",
    });
    // Left where the code looks for it: esbuild does not follow `new URL(…, import.meta.url)`.
    const module = "node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm";
    copyFileSync(join(root, module), join(folder, "sqlite3.wasm"));
  },

  async webpack(folder) {
    const compiler = webpack({
      // Not "production", which takes half a minute for SQLite's glue code.
      mode: "none",
      target: "webworker",
      context: example,
      entry: { worker: entry },
      output: { path: folder, filename: "[name].js", module: true, publicPath: "auto" },
      experiments: { outputModule: true },
    });
    await new Promise<void>((resolve, reject) => {
      compiler!.run((error, stats) => {
        if (error !== null) reject(error);
        else if (stats!.hasErrors()) reject(new Error(stats!.toString("errors-only")));
        else resolve();
      });
    });
  },
};

describe("examples/browser", () => {
  test.for(Object.keys(BUNDLERS))("examples/browser runs when %s bundled it", async (name) => {
    const folder = join(browser.folder, name);
    await BUNDLERS[name]!(folder);
    copyFileSync(join(example, "index.html"), join(folder, "index.html"));
    expect(existsSync(join(folder, "worker.js"))).toBe(true);
    const page = await browser.open(`/${name}/index.html`);
    const output = page.locator("output");
    const patience = { timeout: 20_000 };
    await expect.poll(() => output.textContent(), patience).toBe("ready");
    for (const rows of ["1", "2"]) {
      await page.locator("input").fill("a note");
      await page.locator("button").click();
      await expect.poll(() => output.textContent(), patience).toBe(rows);
    }
  });
});
