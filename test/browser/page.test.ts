import { mkdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { createAdaptorServer, type ServerType } from "@hono/node-server";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { Hono } from "hono";
import { openReplicated } from "pagestream";
import { replicaRoutes } from "pagestream/http";
import { formatFileName } from "pagestream/ltx";
import { memoryStore } from "pagestream/transports/memory";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startBrowser, type TestBrowser } from "./browser.ts";

/** Screenshots of every run, for people. */
const SHOTS = fileURLToPath(new URL("../../.shots", import.meta.url));
const AXE = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const MANY = 5000;

let browser: TestBrowser;
let server: ServerType;
let origin: string;
let app: Awaited<ReturnType<typeof openReplicated>>;

/** A replica of many files, which nobody reads. */
async function manyFiles() {
  const store = memoryStore();
  const start = Date.UTC(2026, 0, 1);
  for (let i = 1; i <= MANY; i++) {
    const metadata = { "litestream-timestamp": new Date(start + i * 1000).toISOString() };
    const level = i === 1 ? 9 : 0;
    const name = formatFileName(BigInt(i), BigInt(i));
    await store.put(`ltx/${level}/${name}`, new Uint8Array(200), { metadata });
  }
  return store;
}

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await startBrowser();
  const store = memoryStore();
  const sqlite3 = await sqlite3InitModule();
  // Without levels the files are those that were written, at whatever time of the clock that was.
  app = await openReplicated({ sqlite3, path: "notes.db", replica: store, groupMs: 1, levels: [] });
  const write = async (sql: string): Promise<void> => {
    app.db.exec(sql);
    await app.replication.durable();
  };
  await write("CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
  await write("INSERT INTO note(body) VALUES ('first')");
  await write("INSERT INTO note(body) VALUES ('second')");
  const many = await manyFiles();
  const routes = new Hono();
  const databases = () => ["notes", "guarded"].map((name) => ({ name, path: `/db/${name}` }));
  const shared = { databases, freshMs: 0 };
  routes.route(
    "/db/notes",
    replicaRoutes({ ...shared, replica: () => store, sqlite3, authorize: "public" }),
  );
  routes.route(
    "/db/guarded",
    replicaRoutes({
      ...shared,
      replica: () => store,
      authorize: (c) => c.req.header("authorization") === "Bearer of notes",
    }),
  );
  routes.route("/db/many", replicaRoutes({ replica: () => many, authorize: "public" }));
  server = createAdaptorServer(routes);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await browser.close();
  await new Promise((resolve) => server.close(resolve));
  await app.close();
});

/** What is asked for until it is as expected: the machine may be busy with other suites. */
function soon(look: () => Promise<string | readonly string[] | null>) {
  return expect.poll(look, { timeout: 15_000 });
}

/** A page, with all that it logs and asks for. */
async function open(path: string, options: Parameters<TestBrowser["blank"]>[0] = {}) {
  const page = await browser.blank({ viewport: { width: 1280, height: 1000 }, ...options });
  const logged: string[] = [];
  const asked: string[] = [];
  page.on("console", (message) => logged.push(message.text()));
  page.on("pageerror", (error) => logged.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(origin + path);
  return { page, logged, asked };
}

function text(page: Page, id: string): Promise<string | null> {
  return page.locator(`#${id}`).textContent();
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // Half-way from one theme to the other a colour is of neither.
    await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    return (await axe.run()).violations;
  });
  return found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

/** Whether the time line has the mark of the chosen state in a colour. */
function isDrawnIn(page: Page, colour: readonly number[]): Promise<boolean> {
  return page.evaluate((wanted) => {
    const canvas = document.querySelector("canvas") as HTMLCanvasElement;
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
    return data.some((_, i) => i % 4 === 0 && wanted.every((value, j) => data[i + j] === value));
  }, colour);
}

describe("the page", () => {
  test("the page shows the replica, asks nobody else, and follows it", async () => {
    const { page, logged, asked } = await open("/db/notes");
    await soon(() => text(page, "live-text")).toBe("Live");
    expect(await text(page, "txid")).toBe("3");
    expect(await text(page, "count")).toBe("3");
    expect(await text(page, "stored-note")).toContain("3 files in");
    const names = () => page.locator("#databases a").allTextContents();
    await soon(names).toEqual(["notes", "guarded"]);
    app.db.exec("INSERT INTO note(body) VALUES ('third')");
    await app.replication.durable();
    await soon(() => text(page, "txid")).toBe("4");
    expect(await text(page, "said")).toBe("New state, TXID 4");
    expect(asked.filter((url) => !url.startsWith(`${origin}/db/notes`))).toEqual([]);
    expect(logged).toEqual([]);
    await page.context().close();
  });

  test("the page chooses a restore point by slider, keys and time, and downloads it", async () => {
    const { page } = await open("/db/notes/page");
    await soon(() => text(page, "chosen-txid")).toContain("0004");
    const slider = page.getByRole("slider", { name: "Restore point" });
    await slider.focus();
    await page.keyboard.press("Home");
    expect(await text(page, "chosen-txid")).toBe("TXID 0000000000000001");
    await page.keyboard.press("ArrowRight");
    expect(await slider.getAttribute("aria-valuetext")).toContain("TXID 2, 2 of 4");
    await page.getByRole("button", { name: "Newer restore point" }).press("Enter");
    expect(await text(page, "slider-note")).toBe("3 of 4");
    await page.locator("#when").fill("2020-01-01T00:00:00");
    expect(await text(page, "slider-note")).toBe("1 of 4");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: /^Download/ }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("0000000000000001.db");
    expect(
      readFileSync(await download.path())
        .subarray(0, 15)
        .toString(),
    ).toBe("SQLite format 3");
    await page.context().close();
  });

  test("the page queries the replica now and as of a restore point, from the keyboard", async () => {
    const { page, logged } = await open("/db/notes");
    await soon(() => text(page, "txid")).toBe("4");
    const sql = page.getByLabel("SQL", { exact: true });
    await sql.fill("SELECT count(*) AS notes, max(body) AS last FROM note");
    await sql.press("Control+Enter");
    const cells = () => page.locator("#result td").allTextContents();
    await soon(() => text(page, "result-note")).toContain("as of TXID 4");
    expect(await cells()).toEqual(["3", "third"]);
    await page.getByRole("slider").press("Home");
    await page.getByRole("button", { name: "Newer restore point" }).click();
    await page.getByRole("radio", { name: /^the restore point/ }).check();
    await page.getByRole("button", { name: "Run" }).press("Enter");
    await soon(cells).toEqual(["1", "first"]);
    expect(await text(page, "result-note")).toContain("as of TXID 2");
    expect(logged).toEqual([]);
    await sql.fill("DELETE FROM note");
    await sql.press("Control+Enter");
    await soon(() => page.locator("#result-note").getAttribute("data-bad")).toBe("");
    expect(await text(page, "result-note")).toMatch(/\w/);
    expect(await page.locator("#result").isVisible()).toBe(false);
    const error = { code: "NOT_FOUND", message: "no state of this TXID can be restored" };
    await page.route("**/query", (route) => route.fulfill({ status: 404, json: { error } }));
    await sql.press("Control+Enter");
    await soon(() => text(page, "result-note")).toBe(error.message);
    await page.context().close();
  });

  test("the page asks for a token, and keeps it in the tab alone", async () => {
    const { page } = await open("/db/guarded");
    const token = page.getByLabel("Bearer token");
    await token.fill("of somebody else");
    await token.press("Enter");
    await soon(() => text(page, "token-problem")).toContain("does not open");
    expect(await page.locator("#content").isVisible()).toBe(false);
    expect(await violations(page)).toEqual([]);
    await token.fill("of notes");
    await token.press("Enter");
    await soon(() => text(page, "txid")).toBe("4");
    const kept = await page.evaluate(() => [
      Object.keys(localStorage),
      Object.keys(sessionStorage),
      document.cookie,
    ]);
    expect(kept).toEqual([[], ["pagestream-token"], ""]);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: /^Download/ }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("0000000000000004.db");
    // This one was given no SQLite.
    expect(await page.getByLabel("SQL", { exact: true }).isVisible()).toBe(false);
    await page.context().close();
  });

  test("the page shows thousands of files, by line and by table, from the keyboard", async () => {
    const { page } = await open("/db/many");
    await soon(() => text(page, "line-note")).toContain("5,000 files");
    const order: string[] = [];
    for (let i = 0; i < 16; i++) {
      await page.keyboard.press("Tab");
      order.push(
        await page.evaluate(
          () => document.activeElement?.id || document.activeElement?.textContent || "",
        ),
      );
    }
    const path = ["Skip to content", "theme", "Hour", "Day", "All", "slider", "older", "when"];
    expect(order.filter((each) => path.includes(each) && each !== "")).toEqual(
      expect.arrayContaining(path),
    );
    await page.locator("#files summary").press("Enter");
    await soon(() => text(page, "files-note")).toContain("1 to 100 of 5,000 files");
    expect(await page.locator("#files-body tr").count()).toBe(100);
    await page.getByRole("button", { name: "Next" }).press("Enter");
    expect(await text(page, "files-note")).toContain("101 to 200");
    await page.getByLabel("Level", { exact: true }).selectOption("9");
    expect(await text(page, "files-note")).toContain("1 to 1 of 1 file,");
    await page.context().close();
  });

  test("the page can be used by everybody, in both themes and on a phone", async () => {
    const { page } = await open("/db/notes", { colorScheme: "light" });
    const theme = page.locator("#theme");
    const shoot = (name: string) =>
      page.screenshot({ path: `${SHOTS}/page-${name}.png`, fullPage: true });
    await soon(() => text(page, "txid")).toBe("4");
    await page.locator("#files summary").click();
    expect(await violations(page)).toEqual([]);
    expect(await isDrawnIn(page, [0x1b, 0x1e, 0x23])).toBe(true);
    await shoot("light");
    await theme.click();
    expect(await page.locator("html").getAttribute("data-theme")).toBe("dark");
    expect(await violations(page)).toEqual([]);
    expect(await isDrawnIn(page, [0xe9, 0xe7, 0xe2])).toBe(true);
    await shoot("dark");
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect(await violations(page)).toEqual([]);
    await shoot("phone-dark");
    await theme.click();
    await shoot("phone-light");
    await page.reload();
    expect(await page.locator("html").getAttribute("data-theme")).toBe("light");
    await page.context().close();
    const dark = await open("/db/notes", { colorScheme: "dark" });
    await soon(() => text(dark.page, "theme")).toContain("Light");
    await dark.page.context().close();
  });

  test.for([
    ["there is no feed", 404],
    ["the feed ends", 200],
  ] as const)("the page looks again every ten seconds where %s", async ([, status]) => {
    const page = await browser.blank();
    let feeds = 0;
    await page.route("**/changes", async (route) => {
      feeds++;
      await route.fulfill({ status, contentType: "text/event-stream", body: "" });
    });
    await page.clock.install();
    await page.goto(`${origin}/db/notes`);
    await soon(() => text(page, "live-text")).toBe("Live");
    const before = Number(await text(page, "txid"));
    app.db.exec("INSERT INTO note(body) VALUES ('polled')");
    await app.replication.durable();
    const later = async () => {
      await page.clock.fastForward(10_000);
      return await text(page, "txid");
    };
    await soon(later).toBe(String(before + 1));
    // What has ended may come back; what is not there is not asked for again.
    await later();
    if (status === 404) expect(feeds).toBe(1);
    else await soon(async () => (await later(), feeds > 1 ? "again" : "once")).toBe("again");
    await page.context().close();
  });
});
