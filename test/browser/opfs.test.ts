import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated, verify } from "pagestream";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SHORT_CONTRACT_TESTS } from "../runtime/short-contract.ts";
import { recordGuarantees } from "../stores/guarantees.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";
import type { Commands, DatabaseApi, OpenRequest } from "./opfs/database.ts";
import type { OpfsApi } from "./opfs/main.ts";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

let browser: TestBrowser;

beforeAll(async () => {
  browser = await startBrowser();
  const folder = join(browser.folder, "opfs");
  await esbuild.build({
    entryPoints: [source("opfs/main.ts"), source("opfs/database.ts")],
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    alias: {
      pagestream: source("../../src/api/index.ts"),
      "pagestream/vfs": source("../../src/vfs/index.ts"),
      "pagestream/testing": source("../../src/testing/index.ts"),
      "pagestream/transports/store-kit": source("../../src/transports/store-kit.ts"),
      "pagestream/transports/opfs": source("../../src/transports/opfs.ts"),
    },
  });
  mkdirSync(folder, { recursive: true });
  for (const [page, script] of [
    ["index", "main"],
    ["database", "database"],
  ]) {
    const html = `<!doctype html><link rel="icon" href="data:," /><script type="module" src="${script}.js">`;
    writeFileSync(join(folder, `${page}.html`), `${html}</script>`);
  }
  writeFileSync(join(folder, "empty.html"), "<!doctype html>");
  for (const asset of ["sqlite3.wasm", "sqlite3-opfs-async-proxy.js"]) {
    const dist = "../../node_modules/@sqlite.org/sqlite-wasm/dist/";
    copyFileSync(source(dist + asset), join(folder, asset));
  }
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

/** A tab with a worker that has databases. */
class Tab {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** A tab of a profile of its own, or of another page's. */
  static async open(isolated: boolean, beside?: Page): Promise<Tab> {
    const path = `${isolated ? "/isolated" : ""}/opfs/database.html`;
    const page = beside ? await beside.context().newPage() : await browser.open(path);
    if (beside !== undefined) await page.goto(browser.server.origin + path);
    await page.waitForFunction("globalThis.api !== undefined");
    return new Tab(page);
  }

  run<Name extends keyof Commands>(
    command: Name,
    ...argument: Parameters<Commands[Name]>
  ): ReturnType<Commands[Name]> {
    return this.page.evaluate(
      ([command, argument]) =>
        (globalThis as unknown as { api: DatabaseApi }).api.run(command, argument),
      [command, argument[0]] as const,
    ) as ReturnType<Commands[Name]>;
  }

  api<Name extends "hold" | "release" | "call" | "flushOnHide" | "requestPersistence">(
    name: Name,
    ...argument: Parameters<DatabaseApi[Name]>
  ): ReturnType<DatabaseApi[Name]> {
    return this.page.evaluate(
      ([name, argument]) =>
        (globalThis as unknown as { api: Record<string, (a: unknown) => unknown> }).api[name]!(
          argument,
        ),
      [name as string, argument[0] as unknown] as const,
    ) as ReturnType<DatabaseApi[Name]>;
  }

  /** Waits until so many bytes were fetched by what runs, which is told where it fails before. */
  async hasFetched(bytes: number, running: Promise<unknown>): Promise<void> {
    let failure: unknown;
    running.catch((error: unknown) => (failure = error));
    while ((await this.run("fetched")) < bytes) if (failure !== undefined) throw failure;
  }

  log(): Promise<string[]> {
    return this.page.evaluate(() => (globalThis as unknown as { api: DatabaseApi }).api.log);
  }

  /** Ends the process behind the tab, as a crash does. */
  async crash(): Promise<void> {
    const session = await this.page.context().newCDPSession(this.page);
    const crashed = new Promise((resolve) => this.page.once("crash", resolve));
    void session.send("Page.crash").catch(() => undefined);
    await crashed;
    await this.page.close();
  }
}

describe("opfsState in Chromium", () => {
  test("opfsState() keeps the contract of a local state", async () => {
    const results = await (await Tab.open(false)).run("contract");
    expect(results.filter(({ detail }) => detail !== "")).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(5);
  });
});

const BASES: readonly (Pick<OpenRequest, "base" | "journalMode"> & {
  readonly end: "crash" | "closeTarget";
})[] = [
  { base: "opfs-sahpool", journalMode: "truncate", end: "closeTarget" },
  { base: "opfs-sahpool", journalMode: "wal", end: "crash" },
  { base: "opfs", journalMode: "truncate", end: "crash" },
];

describe("openReplicated over OPFS in Chromium", () => {
  test.for(BASES)(
    "openReplicated() goes on with $base, $journalMode, after $end in a burst of commits",
    async ({ base, journalMode, end }) => {
      const name = `burst-${base}-${journalMode}`;
      const isolated = base === "opfs";
      const request: OpenRequest = {
        base,
        journalMode,
        replica: browser.server.storeUrl(name),
      };
      // Keeps the profile while the other tab is gone.
      const keeper = await browser.open("/opfs/empty.html");
      const tab = await Tab.open(isolated, keeper);
      expect(await tab.run("open", request)).toMatchObject({ rows: 0, restored: false });
      await tab.run("fill", 4);
      await tab.run("writeForever");
      let kept: number;
      do kept = await tab.run("durable");
      while (kept < 20);
      if (end === "crash") await tab.crash();
      else await tab.page.close({ runBeforeUnload: false });

      const next = await Tab.open(isolated, keeper);
      const found = await next.run("open", request);
      expect(found).toMatchObject({ check: "ok", restored: false, evicted: false });
      expect(found.rows).toBeGreaterThanOrEqual(kept);
      // Continued by its marker: only files that were on their way are read again.
      expect(found.fetched).toBeLessThan(300_000);
      await next.run("work");
      expect(await next.run("write", 5)).toMatchObject({ check: "ok" });
      expect(await next.run("same", request.replica)).toBe(true);
      const { faults } = await verify(browser.server.store(name));
      expect(faults).toEqual([]);

      if (base !== "opfs-sahpool" || journalMode !== "truncate") return;
      const { rows } = await next.run("state");
      const other = await Tab.open(false, keeper);
      await expect(other.run("open", request)).rejects.toThrow(/DatabaseLockedError|has it open/);
      await other.page.close();
      for (const all of [false, true]) {
        await next.run("close");
        await next.run("evict", all);
        const back = await next.run("open", { ...request, remembered: all });
        expect(back).toMatchObject({ rows, check: "ok", restored: true, evicted: true });
      }
      await next.run("close");
      expect(await next.run("open", request)).toMatchObject({ restored: false, evicted: false });
    },
  );
});

describe("copies of a replica in OPFS in Chromium", () => {
  const name = "large";

  beforeAll(async () => {
    const app = await openReplicated({
      sqlite3: await sqlite3InitModule(),
      path: `/${name}.db`,
      replica: browser.server.store(name),
      lease: false,
    });
    app.db.exec("CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
    app.db.exec(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)" +
        " INSERT INTO note SELECT i, randomblob(100000) FROM n",
    );
    // A compaction meanwhile would make other files of it.
    await app.close();
  });

  test("hydrate() into opfsHydrationTarget() goes on after a reload", async () => {
    const replica = browser.server.storeUrl(name);
    const tab = await Tab.open(false);
    // More than the two ranges of two mebibytes that are under way at once: one of them is on disk.
    await tab.hasFetched(5_000_000, tab.run("hydrate", { replica, limit: 5_000_000 }));
    await tab.page.reload();
    await tab.page.waitForFunction("globalThis.api !== undefined");
    const { fetched, same } = await tab.run("hydrate", { replica });
    expect(same).toBe(true);
    expect(fetched).toBeLessThan(5_000_000);
  });

  test.for(["opfs-sahpool", "opfs"] as const)(
    "a restore into %s goes on where its tab ended, and tells of a full disk",
    async (base) => {
      const replica = browser.server.storeUrl(name);
      const isolated = base === "opfs";
      const keeper = await browser.open("/opfs/empty.html");
      const tab = await Tab.open(isolated, keeper);
      const request = { base, replica, path: "/restored.db" };
      await tab.hasFetched(4_000_000, tab.run("restore", { ...request, limit: 4_000_000 }));
      await tab.page.close({ runBeforeUnload: false });

      const session = await keeper.context().newCDPSession(keeper);
      const { origin } = browser.server;
      const next = await Tab.open(isolated, keeper);
      await next.run("load", base);
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 5_000_000 });
      const full = await next.run("restore", request);
      expect(full).toMatchObject({ code: "QUOTA", present: false });
      await session.send("Storage.overrideQuotaForOrigin", { origin });
      const done = await next.run("restore", request);
      expect(done).toMatchObject({ code: "", present: true });
      expect(done.progress.bytes).toBe(done.progress.totalBytes);
      // What the full disk had no room for is fetched twice, and nothing else.
      const missing = done.progress.totalBytes - 3_000_000;
      for (const { fetched } of [full, done]) expect(fetched).toBeLessThan(missing);
      expect(await next.run("restore", request)).toMatchObject({ code: "TARGET_EXISTS" });
      if (base === "opfs-sahpool") {
        expect(await next.run("example", replica)).toEqual({ rows: 61, full: false });
      }
    },
  );
});

describe("one writer of an origin in Chromium", () => {
  test("holdWriter() hands over between tabs, and callWriter() reaches whoever writes", async () => {
    const first = await Tab.open(false);
    const second = await Tab.open(false, first.page);
    await first.api("hold", { log: "first" });
    expect(await second.api("call", 1)).toEqual({ who: "first", message: 1 });
    await expect(second.api("call", "fail")).rejects.toThrow("no such note");
    await second.api("hold", { log: "second", refuses: "it is saving" });
    expect(await first.log()).toEqual(["first holds", "first closes", "first ended"]);
    expect(await first.api("call", 2)).toEqual({ who: "second", message: 2 });
    await expect(first.api("hold", { log: "first" })).rejects.toThrow(
      /not hand it over: it is saving/,
    );
    // A tab that ends gives up without being asked.
    const waiting = first.api("hold", { log: "again" }).catch(() => "refused");
    expect(await waiting).toBe("refused");
    await second.page.close({ runBeforeUnload: false });
    await first.api("hold", { log: "last" });
    await first.api("release");
    await expect(first.api("call", 3)).rejects.toThrow(/nobody answered within 2000 ms/);
  });

  test("flushOnHide() flushes when the page is left, and requestPersistence() says what is granted", async () => {
    const tab = await Tab.open(false);
    await tab.api("flushOnHide");
    await tab.page.reload();
    expect(await tab.page.evaluate(() => Number(localStorage["flushed"]))).toBeGreaterThanOrEqual(
      1,
    );
    await tab.page.waitForFunction("globalThis.api !== undefined");
    const { persistent, quota } = await tab.api("requestPersistence");
    expect(typeof persistent).toBe("boolean");
    expect(quota).toBeGreaterThan(0);
  });
});
