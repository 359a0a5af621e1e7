import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAdaptorServer } from "@hono/node-server";
import * as esbuild from "esbuild";
import { memoryStore } from "pagestream/transports/memory";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { notesServer } from "../../examples/notes/server.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const example = join(root, "examples/notes");

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

let browser: TestBrowser;
let server: ReturnType<typeof createAdaptorServer>;
let origin: string;
let isReachable = true;
const sockets = new Set<Socket>();

beforeAll(async () => {
  browser = await startBrowser();
  const folder = join(browser.folder, "notes");
  mkdirSync(folder);
  await esbuild.build({
    entryPoints: [join(example, "page.ts"), join(example, "worker.ts")],
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    alias: {
      pagestream: join(root, "src/api/index.ts"),
      "pagestream/transports/http": join(root, "src/transports/http.ts"),
    },
  });
  for (const name of ["index.html", "service-worker.js"]) {
    copyFileSync(join(example, name), join(folder, name));
  }
  const module = "node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm";
  copyFileSync(join(root, module), join(folder, "sqlite3.wasm"));

  const app = notesServer(memoryStore());
  app.get("/:name?", (c) => {
    const name = c.req.param("name") ?? "index.html";
    const type = TYPES[extname(name)] ?? "text/plain";
    return c.body(readFileSync(join(folder, name)), 200, { "content-type": type });
  });
  server = createAdaptorServer(app);
  server.on("connection", (socket: Socket) => {
    if (!isReachable) socket.destroy();
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(async () => {
  await browser.close();
  await new Promise((resolve) => server.close(resolve));
});

const patience = { timeout: 20_000, interval: 20 };

/** What a page shows: its notes, each with its state, the newest first. */
async function expectNotes(page: Page, ...notes: readonly string[]): Promise<void> {
  // In one step: between two of them the page may show its list anew, and an item that has gone is waited for.
  const shown = (): Promise<string[]> =>
    page.locator("li").evaluateAll((items) =>
      items.map((item) => {
        const parts = [...item.querySelectorAll("p, small")];
        return parts.map(({ textContent }) => textContent).join(": ");
      }),
    );
  await expect.poll(shown, patience).toEqual(notes);
}

async function keep(page: Page, body: string): Promise<void> {
  await page.getByLabel("New note").fill(body);
  await page.getByRole("button", { name: "Keep" }).click();
}

function expectStatus(page: Page, text: string): Promise<void> {
  const status = page.getByRole("status");
  return expect.poll(() => status.textContent(), patience).toContain(text);
}

describe("examples/notes", () => {
  test("notes survive a killed tab offline, go to another tab, and come back on another profile", async () => {
    const first = await browser.open(origin);
    await expectStatus(first, "All notes are safe");
    await keep(first, "one");
    await expectNotes(first, "one: safe");
    await first.evaluate(() => navigator.serviceWorker.ready);
    const context = first.context();
    const notebook = new URL(first.url()).hash;

    isReachable = false;
    for (const socket of sockets) socket.destroy();
    await keep(first, "two");
    await expectNotes(first, "two: only here", "one: safe");
    const killed = await context.newCDPSession(first);
    const { targetInfo } = await killed.send("Target.getTargetInfo");
    // Keeps the profile while the other tab is gone.
    const second = await context.newPage();
    const control = await context.newCDPSession(second);
    await control.send("Target.closeTarget", { targetId: targetInfo.targetId });
    await second.goto(origin);
    await expectNotes(second, "two: not checked", "one: not checked");
    await keep(second, "three");
    await expectNotes(second, "three: only here", "two: not checked", "one: not checked");

    isReachable = true;
    await second.evaluate(() => dispatchEvent(new Event("online")));
    await expectNotes(second, "three: safe", "two: safe", "one: safe");

    const third = await context.newPage();
    await third.goto(origin);
    await expectNotes(third, "three: safe", "two: safe", "one: safe");
    await expectStatus(second, "open in another tab");
    await keep(third, "four");
    await second.getByRole("button", { name: "Use this tab" }).click();
    await expectNotes(second, "four: safe", "three: safe", "two: safe", "one: safe");
    await expectStatus(third, "open in another tab");
    // As one that was sent before the page could be told.
    await third.getByLabel("New note").fill("five");
    await third.locator("form").evaluate((form) => (form as HTMLFormElement).requestSubmit());
    const unsaved = third.getByLabel("New note");
    await expect.poll(() => unsaved.inputValue(), patience).toBe("five");
    await second.getByRole("button", { name: "Delete note: two" }).click();
    const left = ["four: safe", "three: safe", "one: safe"];
    await expectNotes(second, ...left);
    // Once the deletion is safe, too.
    await expectStatus(second, "All notes are safe");

    const elsewhere = await browser.open(origin + notebook);
    await expectNotes(elsewhere, ...left);
  });

  test("says of an empty notebook that it is safe once the server was asked, and not before", async () => {
    const page = await browser.open(origin);
    await expectStatus(page, "All notes are safe");
    await page.evaluate(() => navigator.serviceWorker.ready);
    isReachable = false;
    for (const socket of sockets) socket.destroy();
    await page.reload();
    await expectStatus(page, "Not checked");
    isReachable = true;
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await expectStatus(page, "All notes are safe");
  });
});
