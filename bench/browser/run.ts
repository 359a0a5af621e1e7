/**
 * What capture costs over the private files of an origin: `node bench/browser/run.ts`.
 *
 * In Chromium with a profile on disk, the same VFS with and without capture in turn, LTX encoding included. Target: a
 * transaction of two pages takes at most 1.15 times as long over `opfs-sahpool`.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { startBrowser } from "../../test/browser/browser.ts";
import { describeMachine } from "../harness.ts";
import type { Timing } from "./app/worker.ts";

const TARGET = 1.15;

const browser = await startBrowser({ onDisk: true });
try {
  await build({
    configFile: false,
    logLevel: "error",
    root: fileURLToPath(new URL("app", import.meta.url)),
    base: "./",
    build: { outDir: join(browser.folder, "bench"), target: "es2022", assetsInlineLimit: 0 },
    worker: { format: "es" },
  });
  // The parent `opfs` exists only with the headers that this path brings.
  const page = await browser.open("/isolated/bench/index.html");
  const timings = (await page.evaluate("result")) as readonly Timing[];
  console.log(`${describeMachine()}, ${browser.version}`);
  console.log("\nmicroseconds of a transaction: alone, captured and encoded, pages, times as long");
  for (const { parent, mode, plainUs, capturedUs, ratio, commits, pages } of timings) {
    const times = [plainUs, capturedUs].map((us) => us.toFixed(0).padStart(7)).join("");
    const counts = `${(pages / commits).toFixed(1)} pages`;
    const verdict = parent !== "opfs-sahpool" ? "" : ratio <= TARGET ? ": held" : ": MISSED";
    console.log(
      `  ${parent.padEnd(13)}${mode.padEnd(9)}${times}  ${counts}  ${ratio.toFixed(2)} x${verdict}`,
    );
  }
  console.log(`  at most ${TARGET} x over opfs-sahpool is the target`);
} finally {
  await browser.close();
}
