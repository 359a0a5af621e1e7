/** @module */
import { gunzipSync } from "fflate";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { buildLtx, type BuiltLtx } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { MeteredStore } from "../replica/reader-meter.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { chooseEncoding, gzip } from "./encoding.ts";
import { replicaRoutes, type ReplicaRoutesOptions } from "./replica-routes.ts";

/** Pages of the test database: three runs of a restore. */
const PAGES = 1200;
const PAGE_SIZE = 4096;
const SIZE = PAGES * PAGE_SIZE;
const hex = (txid: number): string => txid.toString(16).padStart(16, "0");

let store: ObjectStore;

async function add({ name, bytes, timestamp }: BuiltLtx): Promise<void> {
  const metadata = { "litestream-timestamp": new Date(timestamp).toISOString() };
  await store.put(`ltx/0/${name}`, bytes, { metadata });
}

const all = Object.fromEntries(Array.from({ length: PAGES }, (_, i) => [i + 1, { seed: i }]));
const files = [
  buildLtx({ pages: all }),
  buildLtx({ minTxid: 2n, pages: { 7: 0xab }, commit: PAGES }),
];
const third = buildLtx({ minTxid: 3n, pages: { 9: { seed: 9 } }, commit: PAGES });
const image = new Uint8Array(SIZE);
/** The database after TXID 1 and 2. */
const images = files.map(({ pages }) => {
  for (const [pgno, page] of pages) image.set(page, (pgno - 1) * PAGE_SIZE);
  return image.slice();
});

beforeEach(async () => {
  store = memoryStore();
  for (const file of files) await add(file);
});

function ask(
  path: string,
  request: RequestInit = {},
  options: Partial<ReplicaRoutesOptions> = {},
): Response | Promise<Response> {
  const app = replicaRoutes({ replica: () => store, authorize: "public", freshMs: 0, ...options });
  return app.request(path, request);
}

async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

/** Whether bytes are equal, without a message of megabytes where they are not. */
function same(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0;
}

describe("GET /snapshot", () => {
  test("GET /snapshot streams the newest state, or the one of a TXID or a time", async () => {
    const newest = await ask("/snapshot");
    expect(newest.status).toBe(200);
    expect(Object.fromEntries(newest.headers)).toEqual({
      "accept-ranges": "bytes",
      "cache-control": "public, no-cache",
      "content-disposition": `attachment; filename="${hex(2)}.db"`,
      "content-length": String(SIZE),
      "content-location": `/snapshot?txid=${hex(2)}`,
      "content-type": "application/vnd.sqlite3",
      etag: `"${hex(2)}-1767225602000-4096-${SIZE}"`,
      "last-modified": "Thu, 01 Jan 2026 00:00:02 GMT",
      "pagestream-position": hex(2),
      vary: "accept-encoding",
      "x-content-type-options": "nosniff",
    });
    expect(same(await bytesOf(newest), images[1])).toBe(true);
    for (const query of [`txid=${hex(1)}`, "timestamp=2026-01-01T00:00:01.5Z"]) {
      const earlier = await ask(`/snapshot?${query}`);
      expect(earlier.headers.get("pagestream-position")).toBe(hex(1));
      expect(same(await bytesOf(earlier), images[0])).toBe(true);
    }
  });

  test("GET /snapshot compresses for those who take gzip, under another tag", async () => {
    const headers = { "accept-encoding": "br, gzip" };
    const response = await ask("/snapshot", { headers });
    expect(response.headers.get("content-encoding")).toBe("gzip");
    expect(response.headers.get("content-length")).toBeNull();
    expect(response.headers.get("etag")).toMatch(/-gzip"$/);
    expect(same(gunzipSync(await bytesOf(response)), images[1])).toBe(true);
    const none = await ask("/snapshot", { headers: { "accept-encoding": "br, identity;q=0" } });
    expect(none.status).toBe(406);
  });

  test("GET /snapshot tells a HEAD all, and sends nothing", async () => {
    const head = await ask("/snapshot", { method: "HEAD" });
    const get = await ask("/snapshot");
    expect([...head.headers]).toEqual([...get.headers]);
    expect(head.body).toBeNull();
    await get.body?.cancel();
  });

  test("GET /snapshot goes on where a download broke off, with the state it began with", async () => {
    const tag = (await ask("/snapshot", { method: "HEAD" })).headers.get("etag") as string;
    await add(third);
    const middle = 2 * 1024 * 1024 + 77;
    const range = `bytes=${middle}-`;
    const rest = await ask("/snapshot", { headers: { range, "if-range": tag } });
    expect(rest.status).toBe(206);
    expect(rest.headers.get("pagestream-position")).toBe(hex(2));
    expect(rest.headers.get("content-range")).toBe(`bytes ${middle}-${SIZE - 1}/${SIZE}`);
    expect(same(await bytesOf(rest), images[1]?.subarray(middle))).toBe(true);

    // The tag of no state, and the part of who knows what: the whole newest state.
    for (const other of [undefined, '"x"', tag.replace("1767", "1768"), `W/${tag}`]) {
      const headers: Record<string, string> = { range };
      if (other !== undefined) headers["if-range"] = other;
      const whole = await ask("/snapshot", { headers });
      expect([other, whole.status]).toEqual([other, 200]);
      expect(whole.headers.get("pagestream-position")).toBe(hex(3));
      await whole.body?.cancel();
    }
  });

  test.each([
    ["bytes=0-0", 0, 1],
    ["bytes=4095-4096", 4095, 4097],
    [`bytes=-5`, SIZE - 5, SIZE],
    [`bytes=${SIZE - 1}-999999999`, SIZE - 1, SIZE],
    ["bytes=2097151-2097152", 2097151, 2097153],
  ])("GET /snapshot sends %s of a TXID", async (range, offset, end) => {
    const response = await ask(`/snapshot?txid=${hex(1)}`, { headers: { range } });
    expect(response.status).toBe(206);
    expect(response.headers.get("content-length")).toBe(String(end - offset));
    expect(same(await bytesOf(response), images[0]?.subarray(offset, end))).toBe(true);
  });

  test("GET /snapshot reads little of the store for the end of the file", async () => {
    const meter = { requests: 0, bytes: 0, pages: 0, hits: 0 };
    const options = { replica: () => new MeteredStore(store, meter, fakePlatform(1).clock) };
    const length = 64 * 1024;
    const headers = { range: `bytes=-${length}` };
    const response = await ask(`/snapshot?txid=${hex(2)}`, { headers }, options);
    expect(response.status).toBe(206);
    expect(same(await bytesOf(response), images[1]?.subarray(SIZE - length))).toBe(true);
    expect(meter.bytes).toBeLessThan(SIZE / 16);
  });

  test("GET /snapshot refuses what there is not", async () => {
    const statusOf = async (query: string, headers: Record<string, string> = {}): Promise<number> =>
      (await ask(`/snapshot?${query}`, { headers })).status;
    expect(await statusOf(`txid=${hex(1)}`, { range: `bytes=${SIZE}-` })).toBe(416);
    expect(await statusOf(`txid=${hex(1)}`, { range: "bytes=-0" })).toBe(416);
    expect(await statusOf(`txid=${hex(9)}`)).toBe(404);
    expect(await statusOf("timestamp=2020-01-01T00:00:00Z")).toBe(404);
    for (const query of [
      "txid=1",
      `txid=${hex(0)}`,
      "timestamp=soon",
      "timestamp=2026-02-30T00:00:00Z",
    ]) {
      expect([query, await statusOf(query)]).toEqual([query, 400]);
    }
    expect(await statusOf(`txid=${hex(1)}&timestamp=2026-01-01T00:00:01Z`)).toBe(400);
    const empty = await ask("/snapshot", {}, { replica: () => memoryStore() });
    expect(empty.status).toBe(404);
  });

  test("GET /snapshot honours conditions", async () => {
    const tag = (await ask("/snapshot", { method: "HEAD" })).headers.get("etag") as string;
    const statusOf = async (headers: Record<string, string>): Promise<number> => {
      const response = await ask("/snapshot", { headers });
      await response.body?.cancel();
      return response.status;
    };
    expect(await statusOf({ "if-none-match": tag })).toBe(304);
    expect(await statusOf({ "if-none-match": tag, "accept-encoding": "gzip" })).toBe(200);
    expect(await statusOf({ "if-match": tag })).toBe(200);
    expect(await statusOf({ "if-match": '"x"' })).toBe(412);
  });

  test("GET /snapshot waits for the position of the client, and not for long", async () => {
    const platform = fakePlatform(1);
    const position = (txid: number): RequestInit => ({
      headers: { "pagestream-position": hex(txid) },
    });
    const options = { platform, limits: { positionMs: 1000 } };
    const coming = Promise.resolve(ask("/snapshot", { ...position(3), method: "HEAD" }, options));
    await vi.waitUntil(() => platform.clock.pending > 0);
    await add(third);
    await platform.clock.advanceAsync(50);
    expect((await coming).headers.get("pagestream-position")).toBe(hex(3));

    let isOver = false;
    const never = Promise.resolve(ask("/snapshot", position(4), options)).finally(
      () => (isOver = true),
    );
    await vi.waitUntil(async () => {
      await platform.clock.advanceAsync(100);
      return isOver;
    });
    const refused = await never;
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.headers.get("pagestream-position")).toBe(hex(3));
    expect(await refused.json()).toMatchObject({ error: { code: "REPLICA_BEHIND" } });
    expect((await ask("/snapshot", { headers: { "pagestream-position": "x" } })).status).toBe(400);
  });

  test("GET /snapshot breaks off where the replica is damaged, and tells the server", async () => {
    const bytes = third.bytes.slice();
    bytes[2000] = (bytes[2000] ?? 0) ^ 1;
    await add({ ...third, bytes });
    const failures: string[] = [];
    const onFailure = (_: unknown, path: string): void => void failures.push(path);
    const response = await ask("/snapshot", {}, { onFailure });
    expect(response.status).toBe(200);
    await expect(response.arrayBuffer()).rejects.toThrow();
    expect(failures).toEqual(["/snapshot"]);
  });

  test("GET /snapshot restores no more at a time than it may, and no further for who has gone", async () => {
    const app = replicaRoutes({
      replica: () => store,
      authorize: "public",
      limits: { snapshots: 1 },
    });
    const first = await app.request("/snapshot");
    expect((await app.request("/snapshot")).status).toBe(503);
    await first.body?.cancel();
    const second = await app.request("/snapshot");
    expect(same(await bytesOf(second), images[1])).toBe(true);
  });
});

describe("chooseEncoding()", () => {
  test.each([
    [undefined, "identity"],
    ["", "identity"],
    ["gzip", "gzip"],
    ["GZIP;q=0.5", "gzip"],
    ["*", "gzip"],
    ["gzip;q=0", "identity"],
    ["gzip;q=0.2, identity;q=0.9", "identity"],
    ["br;q=1, *;q=0.1", "gzip"],
    ["deflate", "identity"],
  ])("chooseEncoding() takes %j for %s", (header, encoding) => {
    expect(chooseEncoding(header)).toBe(encoding);
  });

  test.each(["identity;q=0", "*;q=0", "gzip;q=0, identity;q=0"])(
    "chooseEncoding() refuses %s",
    (header) => {
      expect(() => chooseEncoding(header)).toThrow("there is gzip and identity");
    },
  );
});

test("gzip() does without the runtime where it has to", async () => {
  vi.stubGlobal("CompressionStream", undefined);
  try {
    const bytes = new Uint8Array(300_000).map((_, i) => i % 7);
    const body = new Response(bytes).body as ReadableStream<Uint8Array<ArrayBuffer>>;
    const packed = new Uint8Array(await new Response(await gzip(body)).arrayBuffer());
    expect(packed.length).toBeLessThan(10_000);
    expect(same(gunzipSync(packed), bytes)).toBe(true);
  } finally {
    vi.unstubAllGlobals();
  }
});
