/** @module */
import { Hono } from "hono";
import { beforeEach, describe, expect, test } from "vitest";
import { bytesSink } from "../api/bytes-sink.ts";
import { restore } from "../api/restore.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { encryptedStore } from "../transports/encrypted.ts";
import { PreconditionFailedError } from "../transports/errors.ts";
import { httpStore } from "../transports/http.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import type { Authorize } from "./route.ts";
import { replicaRoutes, type ReplicaRoutes, type ReplicaRoutesOptions } from "./replica-routes.ts";

const NAME = "0000000000000001-0000000000000001.ltx";
const FILE = `/ltx/0/${NAME}`;
const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i);
const TOKEN = "0123456789abcdef";
const authorize: Authorize = (c) => c.req.header("authorization") === `Bearer ${TOKEN}`;

let store: ObjectStore;
beforeEach(async () => {
  store = memoryStore();
  await store.put(`ltx/0/${NAME}`, BYTES, {
    metadata: { "litestream-timestamp": "2026-11-20T12:00:00Z", note: "not for others" },
  });
  for (const key of ["lock.json", "pagestream/pointer.json", "ltx/0/notes.txt", "ltx/10/x.ltx"]) {
    await store.put(key, new Uint8Array(1));
  }
});

type Options = Partial<ReplicaRoutesOptions>;

function routes(options: Options = {}): ReplicaRoutes {
  return replicaRoutes({ replica: () => store, authorize: "public", ...options });
}

async function ask(
  path: string,
  request: RequestInit = {},
  options: Options = {},
): Promise<Response> {
  return await routes(options).request(path, request);
}

async function bytesOf(response: Response): Promise<readonly number[]> {
  return [...new Uint8Array(await response.arrayBuffer())];
}

describe("replicaRoutes()", () => {
  test("replicaRoutes() serves a file whole, with what caches need", async () => {
    const response = await ask(FILE);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toEqual({
      "accept-ranges": "bytes",
      "cache-control": "public, max-age=31536000, immutable",
      "content-length": "100",
      "content-type": "application/octet-stream",
      etag: '"v1"',
      "last-modified": (await store.head(FILE.slice(1))).lastModified.toUTCString(),
      "x-content-type-options": "nosniff",
    });
    expect(await bytesOf(response)).toEqual([...BYTES]);
    const head = await ask(FILE, { method: "HEAD" });
    expect(head.status).toBe(200);
    expect([...head.headers]).toEqual([...response.headers]);
    expect(head.body).toBeNull();
  });

  test.each([
    ["bytes=10-19", 206, "bytes 10-19/100", BYTES.slice(10, 20)],
    ["bytes=0-0", 206, "bytes 0-0/100", BYTES.slice(0, 1)],
    ["bytes=90-", 206, "bytes 90-99/100", BYTES.slice(90)],
    ["bytes=90-500", 206, "bytes 90-99/100", BYTES.slice(90)],
    ["bytes=-5", 206, "bytes 95-99/100", BYTES.slice(95)],
    ["bytes=-500", 206, "bytes 0-99/100", BYTES],
    ["bytes=0-1,5-6", 200, null, BYTES],
    ["bytes=9-8", 200, null, BYTES],
    ["pages=1-2", 200, null, BYTES],
    ["bytes=-", 200, null, BYTES],
  ])("replicaRoutes() answers the range %s with %i", async (range, status, contentRange, bytes) => {
    const response = await ask(FILE, { headers: { range } });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(contentRange);
    expect(response.headers.get("content-length")).toBe(String(bytes.length));
    expect(await bytesOf(response)).toEqual([...bytes]);
  });

  test.each(["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=999999999999999-"])(
    "replicaRoutes() answers the range %s, which the file does not have, with 416",
    async (range) => {
      const response = await ask(FILE, { headers: { range } });
      expect(response.status).toBe(416);
      expect(response.headers.get("content-range")).toBe("bytes */100");
      expect(response.headers.get("cache-control")).toBe("no-store");
    },
  );

  test("replicaRoutes() honours conditions", async () => {
    const statusOf = async (headers: Record<string, string>): Promise<number> =>
      (await ask(FILE, { headers })).status;
    expect(await statusOf({ "if-none-match": '"v1"' })).toBe(304);
    expect(await statusOf({ "if-none-match": '"x", W/"v1"' })).toBe(304);
    expect(await statusOf({ "if-none-match": "*" })).toBe(304);
    expect(await statusOf({ "if-none-match": '"v2"' })).toBe(200);
    expect(await statusOf({ "if-match": '"v1"' })).toBe(200);
    expect(await statusOf({ "if-match": 'W/"v1"' })).toBe(412);
    const range = "bytes=0-0";
    expect(await statusOf({ range, "if-range": '"v1"' })).toBe(206);
    expect(await statusOf({ range, "if-range": '"v0"' })).toBe(200);
    const unchanged = await ask(FILE, { headers: { "if-none-match": '"v1"' } });
    expect(unchanged.headers.get("etag")).toBe('"v1"');
    expect(unchanged.body).toBeNull();
  });

  test.each([
    ["/lock.json", 404],
    ["/pagestream/pointer.json", 404],
    ["/ltx/0/notes.txt", 404],
    ["/ltx/10/x.ltx", 404],
    ["/ltx/0/", 404],
    [`/ltx/1/${NAME}`, 404],
    [`/0000/${NAME}`, 404],
    [`/ltx/0/../../lock.json`, 404],
    [`/ltx/0/..%2f..%2flock.json`, 404],
    [`/ltx/0/%2e%2e/%2e%2e/lock.json`, 404],
    [`/ltx/0/%252e%252e/${NAME}`, 404],
    [`/ltx%252f0/${NAME}`, 404],
    [`//ltx/0/${NAME}`, 404],
    [`/ltx/0/${NAME}%00`, 404],
    [`/ltx/0/${NAME}/`, 404],
    [`/ltx/0/\\${NAME}`, 404],
    ["/ltx/0/%zz", 404],
    ["/%zz", 400],
    ["/ltx/0/%ff", 404],
    ["/%ff", 400],
    [`/ltx%2F0/${NAME}`, 404],
    [`${FILE}?anything`, 200],
  ])("replicaRoutes() answers the path %s with %i", async (path, status) => {
    expect((await ask(`http://localhost${path}`)).status).toBe(status);
  });

  test("replicaRoutes() knows reading only", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const response = await ask(FILE, { method });
      expect([method, response.status]).toEqual([method, 405]);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
    }
  });

  test("replicaRoutes() leads from its mount with a final slash to the one without", async () => {
    const app = new Hono().route("/db/:user", routes({ authorize: () => false }));
    const slashed = await app.request("/db/alice/");
    expect([slashed.status, slashed.headers.get("location")]).toEqual([308, "../alice"]);
    const others = [
      await app.request("/db/alice/info/"),
      await app.request("/db/alice/", { method: "POST" }),
    ];
    expect(others.map(({ status }) => status)).toEqual([401, 401]);
    expect((await routes().request("/")).status).toBe(200);
  });

  test("replicaRoutes() makes the index of one listing for all who ask within a second", async () => {
    let listings = 0;
    const platform = fakePlatform(1);
    const counting: ObjectStore = {
      ...store,
      list: (options) => (listings++, store.list(options)),
    };
    const app = routes({ replica: () => counting, platform });
    const index = async (query = ""): Promise<{ objects: { key: string }[]; more?: true }> =>
      (await app.request(`/pagestream-index.json${query}`)).json();
    const [first] = await Promise.all([index(), index(), app.request("/info")]);
    const { lastModified } = await store.head(FILE.slice(1));
    expect(first).toEqual({
      objects: [
        {
          key: `ltx/0/${NAME}`,
          size: 100,
          lastModified: lastModified.toISOString(),
          etag: '"v1"',
          metadata: { "litestream-timestamp": "2026-11-20T12:00:00Z" },
        },
      ],
    });
    expect(listings).toBe(1);
    platform.clock.advance(999);
    expect((await index("?prefix=ltx/1/")).objects).toEqual([]);
    expect((await index(`?startAfter=ltx/0/${NAME}`)).objects).toEqual([]);
    expect(listings).toBe(1);
    platform.clock.advance(1);
    await index();
    expect(listings).toBe(2);
    const { headers } = await app.request("/pagestream-index.json", { method: "HEAD" });
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("replicaRoutes() pages the index where pages are asked for", async () => {
    const hex = (txid: number): string => txid.toString(16).padStart(16, "0");
    for (let txid = 2; txid <= 5001; txid++) {
      await store.put(`ltx/0/${hex(txid)}-${hex(txid)}.ltx`, new Uint8Array(1));
    }
    const whole = (await (await ask("/pagestream-index.json")).json()) as { objects: object[] };
    expect(whole.objects).toHaveLength(5001);
    expect(whole).not.toHaveProperty("more");
    const app = routes();
    const reader = httpStore("http://localhost", {
      fetch: async (url, init) => await app.request(url, init),
      listUrl: "http://localhost/pagestream-index.json?prefix={prefix}&startAfter={startAfter}",
    });
    const keys = new Set<string>();
    for await (const { key } of reader.list({ prefix: "ltx/0/" })) keys.add(key);
    expect(keys.size).toBe(5001);
  });

  test("replicaRoutes() tells a listing that failed to those who waited, not to the next", async () => {
    const failures: string[] = [];
    const faulty = faultyStore(store);
    faulty.failNext("list", { before: storeFault("a secret place is away", false) });
    const app = routes({ replica: () => faulty, onFailure: (_, path) => failures.push(path) });
    const [a, b] = await Promise.all([app.request("/info"), app.request("/pagestream-index.json")]);
    expect([a.status, b.status]).toEqual([502, 502]);
    expect(await a.json()).toEqual({
      error: { code: "STORE", message: "the replica could not be read" },
    });
    expect(failures.toSorted()).toEqual(["/info", "/pagestream-index.json"]);
    expect((await app.request("/info")).status).toBe(200);
  });

  test("replicaRoutes() tells how the replica stands", async () => {
    const response = await ask("/info");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({
      txid: "0000000000000001",
      time: "2026-11-20T12:00:00.000Z",
      restore_points: 1,
      decrypted: false,
      queries: false,
      levels: [{ level: 0, files: 1, bytes: 100 }],
    });
    const empty = await ask("/info", {}, { replica: () => memoryStore() });
    expect(await empty.json()).toMatchObject({ txid: null, time: null, restore_points: 0 });
  });

  test("replicaRoutes() gives httpStore a replica of either layout to restore, decrypted", async () => {
    const { bytes } = buildLtx({ pages: { 1: { seed: 1 } } });
    const keys = { keys: { a: new Uint8Array(32) }, keyId: "a" };
    for (const layout of ["directory", "hex"] as const) {
      const source = encryptedStore({ ...memoryStore(), layout }, keys);
      await source.put(layout === "hex" ? `0000/${NAME}` : `ltx/0/${NAME}`, bytes);
      const app = routes({ replica: () => source, authorize });
      const sink = bytesSink();
      const reader = httpStore("http://localhost", {
        fetch: async (url, init) => await app.request(url, init),
        headers: { authorization: `Bearer ${TOKEN}` },
      });
      expect(await restore(reader, sink)).toMatchObject({ txid: 1n });
    }
  });

  test("replicaRoutes() lets pages of the given origins read", async () => {
    const options = { corsOrigins: ["https://a.example"], authorize };
    const preflight = (origin: string): Promise<Response> =>
      ask(
        FILE,
        { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } },
        options,
      );
    const allowed = await preflight("https://a.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect(allowed.headers.get("access-control-allow-headers")).toContain("range");
    const other = await preflight("https://b.example");
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
    const headers = { origin: "https://a.example", authorization: `Bearer ${TOKEN}` };
    const read = await ask(FILE, { headers }, options);
    const exposed = read.headers.get("access-control-expose-headers");
    for (const name of ["content-range", "pagestream-position", "pagestream-commit"]) {
      expect(exposed).toContain(name);
    }
    const any = await ask(FILE, { headers }, { corsOrigins: ["*"] });
    expect(any.headers.get("access-control-allow-origin")).toBe("*");
  });

  test("replicaRoutes() refuses options that would bound nothing, or let nobody in", () => {
    for (const options of [
      { limits: { streams: 0 } },
      { limits: { listeners: -1 } },
      { limits: { snapshots: 1.5 } },
      { limits: { stallMs: 2 ** 31 } },
      { limits: { query: { ms: Number.NaN } } },
      { pollMs: 0 },
      { rate: { perSecond: 0 } },
      { rate: { perSecond: 1, burst: 0.5 } },
      { corsOrigins: ["https://a.example/"] },
      { corsOrigins: ["a.example"] },
    ] satisfies Options[]) {
      expect(() => routes(options), JSON.stringify(options)).toThrow(/^Cannot make replica routes/);
    }
    const corsOrigins = ["*", "http://localhost:3000", "capacitor://localhost", "http://[::1]:80"];
    expect(() => routes({ corsOrigins, limits: { streams: 1 } })).not.toThrow();
  });

  test("replicaRoutes() sends no more files at a time than it may", async () => {
    const app = routes({ limits: { streams: 2 } });
    const [a, b] = [await app.request(FILE), await app.request(FILE)];
    const refused = await app.request(FILE);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("1");
    await a.body?.cancel();
    const again = await app.request(FILE);
    expect(again.status).toBe(200);
    await bytesOf(b);
    await bytesOf(again);
    // What sends no body gives its place back at once.
    for (const request of [{ method: "HEAD" }, { headers: { range: "bytes=100-" } }]) {
      for (let i = 0; i < 3; i++) expect((await app.request(FILE, request)).status).not.toBe(503);
    }
    for (let i = 0; i < 3; i++) {
      expect((await app.request(`/ltx/1/${NAME}`)).status).toBe(404);
    }
  });

  test("replicaRoutes() ends what the store cut with an error, and says when a file was replaced", async () => {
    const faulty = faultyStore(store);
    faulty.failNext("get", { cutAfter: 10 });
    const app = routes({ replica: () => faulty, limits: { streams: 1 } });
    await expect((await app.request(FILE)).arrayBuffer()).rejects.toThrow("the body broke off");
    faulty.failNext("get", {
      before: new PreconditionFailedError({
        operation: "read",
        object: FILE,
        what: "another version",
      }),
    });
    expect((await app.request(FILE)).status).toBe(503);
    expect((await app.request(FILE)).status).toBe(200);
  });

  test("replicaRoutes() gives up a client that takes nothing", async () => {
    const platform = fakePlatform(1);
    const app = routes({ platform, limits: { streams: 1, stallMs: 1000 } });
    const stalled = await app.request(FILE);
    platform.clock.advance(1000);
    await expect(stalled.arrayBuffer()).rejects.toThrow("does not take what it asked for");
    expect((await app.request(FILE)).status).toBe(200);
  });
});
