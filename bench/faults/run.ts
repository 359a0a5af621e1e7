/**
 * What each way to wait for a page costs in each runtime: `node scripts/build.mjs && node bench/faults/run.ts`.
 *
 * A replica of 20 MB lies behind a server of plain files on 127.0.0.1, so a fault is one request without a network. `cold`
 * opens the replica and asks for one row, `fault` is a query of a page that is not in memory, without read-ahead, `warm` one
 * of a page that is. The fastest of five rounds counts; the last column relates the faults to those of `retry` in the same runtime. An argument leaves out the runtimes whose name does not begin with it.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { memoryStore } from "pagestream/transports/memory";
import { writeHttpIndex } from "pagestream/transports/http";
import { startBrowser, type TestBrowser } from "../../test/browser/browser.ts";
import { bundleWorker } from "../../test/helpers/bundle-worker.ts";
import { largeReplica, writeLarge } from "../../test/helpers/large-replica.ts";
import { describeMachine } from "../harness.ts";
import { type FaultsResult, ROWS, type Step, timeSteps } from "./steps.ts";
import type { WebRequest } from "./web.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const DENO = ["run", "--allow-all", "--no-config", "--node-modules-dir=manual", "--quiet"];

/** Programs of the runtimes, and whether they can suspend WebAssembly. */
const RUNTIMES: Readonly<
  Record<string, { readonly run: readonly string[]; readonly jspi: boolean }>
> = {
  "Node 22": { run: [join(root, ".tools/bin/node22")], jspi: false },
  "Node 24": { run: [process.execPath], jspi: true },
  Deno: { run: [join(root, "node_modules/.bin/deno"), ...DENO], jspi: true },
  Bun: { run: [join(root, "node_modules/.bin/bun")], jspi: true },
};

/** The runtimes to be measured: those whose names begin so. */
const only = process.argv[2]?.toLowerCase() ?? "";

const DRIVERS = { retry: "retry", jspi: "JSPI", block: "helper worker" } as const;

async function inProcess(
  program: readonly string[],
  replica: string,
  driver: string,
): Promise<FaultsResult> {
  const [command = "", ...flags] = program;
  const args = [...flags, here("process.ts"), replica, driver];
  const { stdout } = await promisify(execFile)(command, args, { cwd: root });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as FaultsResult;
}

async function inWorkerd(replica: string, driver: string): Promise<FaultsResult> {
  const worker = new Miniflare({
    modules: await bundleWorker(new URL("./worker.ts", import.meta.url)),
    modulesRoot: "/worker",
    compatibilityDate: "2026-07-01",
    durableObjects: { STEPS: "Steps" },
    bindings: { REPLICA: replica, DRIVER: driver },
  });
  try {
    return await timeSteps(async (step: Step) => {
      const response = await worker.dispatchFetch(`http://worker/${step}`);
      if (!response.ok) throw new Error(await response.text());
      return (await response.json()) as number;
    });
  } finally {
    await worker.dispose();
  }
}

async function inBrowser(
  browser: TestBrowser,
  request: WebRequest,
  place: "page" | "worker",
): Promise<FaultsResult> {
  const page = await browser.open("/isolated/faults/index.html");
  const result = await page.evaluate(
    ([data, thread]) => {
      if (thread === "page") {
        const { measureWeb } = globalThis as unknown as {
          measureWeb(data: WebRequest): Promise<FaultsResult>;
        };
        return measureWeb(data);
      }
      return new Promise<FaultsResult>((resolve, reject) => {
        const worker = new Worker("web.js", { type: "module" });
        worker.onmessage = (event) => resolve(event.data as FaultsResult);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(data);
      });
    },
    [request, place] as const,
  );
  await page.close();
  return result;
}

/** Puts the replica and the program where the server of the browser finds them. */
async function publish(browser: TestBrowser): Promise<string> {
  const store = memoryStore();
  await writeLarge(store, largeReplica(ROWS));
  await writeHttpIndex(store);
  for await (const { key } of store.list()) {
    const path = join(browser.folder, "replica", key);
    mkdirSync(dirname(path), { recursive: true });
    const { body } = await store.get(key);
    writeFileSync(path, new Uint8Array(await new Response(body as BodyInit).arrayBuffer()));
  }
  const outdir = join(browser.folder, "faults");
  const entryPoints = [here("web.ts")];
  await build({ entryPoints, outdir, bundle: true, format: "esm", target: "es2022" });
  const module = join(root, "node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm");
  copyFileSync(module, join(outdir, "sqlite3.wasm"));
  const script = '<!doctype html><script type="module" src="web.js"></script>';
  writeFileSync(join(outdir, "index.html"), script);
  return `${browser.server.origin}/replica`;
}

const browser = await startBrowser();
try {
  const replica = await publish(browser);
  console.log(`${describeMachine()}, ${browser.version}`);
  console.log(`\n| runtime | driver | cold | fault | warm | fault, against retry |`);
  console.log("| --- | --- | --- | --- | --- | --- |");
  let retryMs = 0;
  const row = async (
    runtime: string,
    driver: string,
    measure: () => Promise<FaultsResult>,
  ): Promise<void> => {
    if (!runtime.toLowerCase().startsWith(only)) return;
    const { coldMs, coldRequests, faultMs, warmMs } = await measure();
    if (driver === "retry") retryMs = faultMs;
    const cells = [
      runtime,
      driver,
      `${coldMs.toFixed(1)} ms, ${coldRequests} requests`,
      `${(faultMs * 1000).toFixed(0)} µs`,
      `${(warmMs * 1000).toFixed(0)} µs`,
      (faultMs / retryMs).toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  };
  for (const [runtime, { run, jspi }] of Object.entries(RUNTIMES)) {
    for (const [driver, name] of Object.entries(DRIVERS)) {
      if (driver !== "jspi" || jspi)
        await row(runtime, name, () => inProcess(run, replica, driver));
    }
  }
  for (const [way, name] of [
    ["retry", "retry"],
    ["jspi", "JSPI"],
    ["helper", "helper worker"],
    ["xhr", "synchronous XHR"],
  ] as const) {
    await row("Chromium, worker", name, () => inBrowser(browser, { replica, way }, "worker"));
  }
  for (const way of ["retry", "jspi"] as const) {
    await row("Chromium, page", DRIVERS[way], () => inBrowser(browser, { replica, way }, "page"));
  }
  for (const way of ["retry", "jspi"] as const) {
    await row("workerd", DRIVERS[way], () => inWorkerd(replica, way));
  }
} finally {
  await browser.close();
}
