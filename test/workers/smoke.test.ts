import type { Miniflare } from "miniflare";
import { bytesSink, restore } from "pagestream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bundleWorker, startWorker } from "../helpers/bundle-worker.ts";
import { startStoreServer } from "../helpers/http-store-server.ts";

const server = await startStoreServer();
let modules: Awaited<ReturnType<typeof bundleWorker>>;
let worker: Miniflare | undefined;

beforeAll(async () => {
  modules = await bundleWorker(new URL("worker.ts", import.meta.url));
});
afterEach(() => crash());
afterAll(() => server.close());

function begin(replica: string): void {
  worker = startWorker(modules, { variables: { REPLICA: server.storeUrl(replica) } });
}

/** Ends workerd as an eviction does: nothing is told, nothing is closed. */
async function crash(): Promise<void> {
  await worker?.dispose();
  worker = undefined;
}

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await worker!.dispatchFetch(`http://worker${path}`);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as Answer;
}

interface State {
  readonly rows: number;
  readonly check: string;
  readonly restored: boolean;
  readonly pages: number;
}

/** What restores elsewhere is what SQLite has there, byte for byte. */
async function expectRestorable(replica: string): Promise<void> {
  const sink = bytesSink();
  await restore(server.store(replica), sink);
  const response = await worker!.dispatchFetch("http://worker/bytes");
  expect(Buffer.compare(sink.bytes, await response.bytes())).toBe(0);
}

describe("workerd", () => {
  test("a database survives that the Worker dies while it writes", async () => {
    begin("smoke");
    expect(await ask<State>("/write?count=30&durable")).toMatchObject({
      rows: 30,
      restored: false,
    });
    // A request that never ends, and what it commits is not waited for.
    const written = ask("/write?count=100000&slowly").catch(() => undefined);
    const rows = async (): Promise<number> => (await ask<State>("/state")).rows;
    await expect.poll(rows, { timeout: 30_000 }).toBeGreaterThan(80);
    await crash();
    await written;

    begin("smoke");
    const after = await ask<State>("/state");
    expect(after).toMatchObject({ check: "ok", restored: true });
    expect(after.rows).toBeGreaterThanOrEqual(30);
    const more = await ask<State>("/write?count=5&durable");
    expect(more.rows).toBe(after.rows + 5);
    // Continued with what changed, not with the whole database.
    expect(more.pages).toBeLessThanOrEqual(2 * 5 + 1);

    await expectRestorable("smoke");
  });

  test("a COMMIT is held until the store has what it commits, and a drill restores it", async () => {
    begin("held");
    expect(await ask<State>("/write?count=3&held")).toMatchObject({ rows: 3, check: "ok" });
    await expectRestorable("held");
    expect(await ask("/drill")).toEqual([]);
    await ask("/write?count=1&held");
    expect(await ask("/drill")).toEqual([
      { code: "PROBE", message: "SELECT count(*) FROM note: found 4, expected 3" },
    ]);
  });

  test("patchWorkerd() is what makes SQLite start", async () => {
    begin("unpatched");
    expect(await ask("/unpatched")).toEqual({
      error: expect.stringContaining("Wasm code generation disallowed by embedder"),
    });
    expect(await ask("/untrampolined")).toEqual({
      error: expect.stringContaining("Import pagestream/trampoline.wasm"),
    });
  });

  test("hybridFunction() suspends SQLite's stack", async () => {
    begin("suspend");
    expect(await ask("/suspend")).toEqual({ plain: 5, suspended: 21 });
  });
});
