/**
 * Chromium with a bundled page, and the server it talks to.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { startStoreServer, type StoreServer } from "../helpers/http-store-server.ts";

/** A browser, a folder for bundles and the server of both. */
export interface TestBrowser {
  /** Put bundles here: the server serves them below `/` and, with COOP and COEP, below `/isolated/`. */
  readonly folder: string;
  readonly server: StoreServer;
  /** Name and version. */
  readonly version: string;
  /**
   * Opens a page of the server, or at another address, in a profile of its own unless that is on disk; what it logs is
   * printed.
   */
  open(path: string): Promise<Page>;
  /** Opens an empty page in a profile of its own; whoever asks listens to what it logs. */
  blank(options?: BrowserContextOptions): Promise<Page>;
  close(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL("../../.tools/bin/chromium", import.meta.url));

const FLAGS = [
  // Containers have neither the rights for a sandbox nor room in /dev/shm.
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the browser that `scripts/tools.mjs` installs. */
export async function startBrowser(
  options: {
    /** Whether what pages store goes to a disk. @default false */
    readonly onDisk?: boolean;
  } = {},
): Promise<TestBrowser> {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-browser-"));
  const server = await startStoreServer({ folder });
  const launch = { executablePath: PROGRAM, args: FLAGS };
  const shared = options.onDisk
    ? await chromium.launchPersistentContext(join(folder, ".profile"), launch)
    : undefined;
  const browser = shared?.browser() ?? (await chromium.launch(launch));
  return {
    folder,
    server,
    version: `Chromium ${browser.version()}`,
    async open(path) {
      const page = await (shared ?? (await browser.newContext())).newPage();
      page.on("pageerror", (error) => console.error(error));
      page.on("console", (message) => {
        // Chromium logs each answer that is an error; a store expects them.
        const text = message.text();
        if (!text.startsWith("Failed to load resource")) console.log(text);
      });
      await page.goto(new URL(path, server.origin).href);
      return page;
    },
    async blank(context) {
      return await (await browser.newContext(context)).newPage();
    },
    async close() {
      await shared?.close();
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
