import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bytesSink, restore } from "pagestream";
import type { Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PageApi, Place } from "./app/main.ts";
import type { Base, Commands, OpenRequest } from "./app/session.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";

let browser: TestBrowser;

beforeAll(async () => {
  browser = await startBrowser();
  await build({
    configFile: false,
    logLevel: "error",
    root: fileURLToPath(new URL("app", import.meta.url)),
    base: "./",
    build: { outDir: join(browser.folder, "smoke"), target: "es2022", minify: false },
    worker: { format: "es" },
  });
});
afterAll(() => browser.close());

/** A page, and where on it the commands run. */
class Driver {
  readonly page: Page;
  readonly #place: Place;

  constructor(page: Page, place: Place) {
    this.page = page;
    this.#place = place;
  }

  run<Command extends keyof Commands>(
    command: Command,
    ...argument: Parameters<Commands[Command]>
  ): ReturnType<Commands[Command]> {
    const call = [this.#place, command, argument[0]] as const;
    return this.page.evaluate(
      ([place, command, argument]) =>
        (globalThis as unknown as { api: PageApi }).api.run(place, command, argument),
      call,
    ) as ReturnType<Commands[Command]>;
  }

  /** Ends the worker or the page at whatever instruction it is. */
  async crash(): Promise<void> {
    if (this.#place === "page") await this.page.reload();
    else {
      await this.page.evaluate(() => (globalThis as unknown as { api: PageApi }).api.terminate());
    }
  }
}

interface Setting {
  readonly base: Base;
  readonly place: Place;
  readonly journalMode: string;
  /** Whether the page has COOP and COEP. @default false */
  readonly isolated?: boolean;
  readonly durability: "async" | "hold-jspi";
}

const SETTINGS: readonly Setting[] = [
  { base: "memory", place: "page", journalMode: "memory", durability: "async" },
  { base: "memory", place: "page", journalMode: "memory", durability: "hold-jspi" },
  { base: "memory", place: "worker", journalMode: "memory", durability: "async" },
  { base: "opfs-sahpool", place: "worker", journalMode: "truncate", durability: "async" },
  { base: "opfs-sahpool", place: "worker", journalMode: "wal", durability: "async" },
  { base: "opfs", place: "worker", journalMode: "wal", durability: "async", isolated: true },
];

const SOME = 12;

describe("Chromium", () => {
  test.for(SETTINGS)(
    "a database in $base, $journalMode, $durability, survives that the $place ends while it writes",
    async ({ isolated = false, ...setting }) => {
      const { base, place, journalMode } = setting;
      const name = Object.values(setting).join("-");
      const request: OpenRequest = { ...setting, replica: browser.server.storeUrl(name) };
      const page = await browser.open(`${isolated ? "/isolated" : ""}/smoke/index.html`);
      const driver = new Driver(page, place);
      expect(await driver.run("open", request)).toMatchObject({
        rows: 0,
        restored: false,
        journalMode,
      });
      expect(await driver.run("write", SOME)).toMatchObject({ rows: SOME, durable: SOME });

      await driver.run("writeForever");
      let kept: number;
      do kept = await driver.run("durable");
      while (kept < 2 * SOME);
      const before = await driver.run("state");
      await driver.crash();

      const after = await driver.run("open", request);
      expect(after).toMatchObject({ check: "ok", restored: base === "memory", journalMode });
      expect(after.rows).toBeGreaterThanOrEqual(kept);
      if (base !== "memory") expect(after.rows).toBeGreaterThanOrEqual(before.rows);
      const more = await driver.run("write", SOME);
      expect(more.rows).toBe(after.rows + SOME);
      await expectRestorable(driver, name);
      expect(await driver.run("drill", request.replica)).toEqual([]);

      if (base === "memory") return;
      // The files are lost: what was closed comes back from the replica, and goes on from there.
      await driver.run("close");
      const again = await driver.run("open", { ...request, fresh: true });
      expect(again).toMatchObject({ rows: more.rows, check: "ok", restored: true });
      expect(await driver.run("write", SOME)).toMatchObject({ rows: more.rows + SOME });
      await expectRestorable(driver, name);
    },
  );
});

/** What restores elsewhere is what SQLite has there, byte for byte. */
async function expectRestorable(driver: Driver, name: string): Promise<void> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(browser.server.store(name), sink);
  const files = `${name}-file`;
  await driver.run("export", browser.server.storeUrl(files));
  const { body } = await browser.server.store(files).get("database");
  expect(Buffer.compare(sink.bytes, await new Response(body).bytes())).toBe(0);
}
