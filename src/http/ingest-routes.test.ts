/** @module */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { bytesSink } from "../api/bytes-sink.ts";
import { openReplicated } from "../api/open-replicated.ts";
import { restore } from "../api/restore.ts";
import { type BuiltLtx, buildLtx, type LtxSpec } from "../testing/build-ltx.ts";
import { FAKE_START } from "../testing/fake-clock.ts";
import { type FakePlatform, fakePlatform } from "../testing/fake-platform.ts";
import { collect, failure } from "../testing/test-kit.ts";
import { httpStore, type HttpStoreOptions } from "../transports/http.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { ingestRoutes, type IngestRoutesOptions } from "./ingest-routes.ts";
import { replicaRoutes } from "./replica-routes.ts";

type Options = Partial<IngestRoutesOptions>;

/** Later than all files that are built here. */
const NOW_MS = 3_600_000;

function platformAt(): FakePlatform {
  const platform = fakePlatform(1);
  platform.clock.advance(NOW_MS);
  return platform;
}

function server(store: ObjectStore, options: Options = {}): Hono {
  const shared = { replica: () => store, authorize: "public", ...options } as const;
  const app = new Hono();
  app.route("/db", replicaRoutes({ ...shared, limits: {}, freshMs: 0 }));
  app.route("/db", ingestRoutes({ platform: platformAt(), ...shared }));
  return app;
}

function client(app: Hono, options: HttpStoreOptions = {}): ObjectStore {
  const send = async (url: string, init: RequestInit): Promise<Response> =>
    await app.request(url, init);
  return httpStore("http://server.test/db", { fetch: send, ...options });
}

function pathOf(level: number, file: BuiltLtx): string {
  return `/db/ltx/${level}/${file.name}`;
}

async function put(app: Hono, path: string, body: BodyInit, more: RequestInit = {}) {
  const response = await app.request(path, { method: "PUT", body, ...more });
  const text = await response.text();
  const { error } = text === "" ? { error: undefined } : JSON.parse(text);
  return { status: response.status, code: error?.code as string | undefined, error, response };
}

const putFile = (app: Hono, level: number, file: BuiltLtx) =>
  put(app, pathOf(level, file), file.bytes);

/** A file of level 0 of three pages, or what is asked for. */
function l0(txid: bigint, spec: Partial<LtxSpec> = {}): BuiltLtx {
  const pages = txid === 1n ? { 1: 1, 2: 2, 3: 3 } : { 2: Number(txid) };
  return buildLtx({ pageSize: 512, minTxid: txid, pages, commit: 3, ...spec });
}

async function keys(store: ObjectStore): Promise<string[]> {
  return (await collect(store.list())).map(({ key }) => key);
}

describe("ingestRoutes()", () => {
  test("ingestRoutes() refuses to be made without a hook", async () => {
    const make = (): unknown =>
      ingestRoutes({ replica: () => memoryStore() } as unknown as IngestRoutesOptions);
    expect(await failure(make)).toBe("INVALID_ARGUMENT");
    const unbound = (): unknown => server(memoryStore(), { limits: { fileBytes: -1 } });
    expect(await failure(unbound)).toBe("INVALID_ARGUMENT");
  });

  test("ingestRoutes() takes a history file by file, and every replay of it", async () => {
    const store = memoryStore();
    const app = server(store);
    for (const txid of [1n, 2n, 3n]) {
      expect((await putFile(app, 0, l0(txid))).status).toBe(201);
    }
    const again = await putFile(app, 0, l0(2n));
    expect(again.status).toBe(200);
    expect((await store.head(`ltx/0/${l0(2n).name}`)).metadata).toEqual({
      "litestream-timestamp": "2026-01-01T00:00:02Z",
    });
    const sink = bytesSink();
    expect((await restore(client(app), sink)).txid).toBe(3n);
    expect(sink.bytes.length).toBe(3 * 512);
  });

  test("ingestRoutes() refuses what no history leads to, and leaves nothing of it", async () => {
    const store = memoryStore();
    const app = server(store);
    const refusal = async (level: number, file: BuiltLtx): Promise<string> => {
      const { status, code } = await putFile(app, level, file);
      return `${status} ${code}`;
    };
    expect(await refusal(0, l0(2n, { pages: { 1: 1, 2: 2, 3: 3 } }))).toBe("409 CONFLICT");
    await putFile(app, 0, l0(1n));
    await putFile(app, 0, l0(2n));
    const before = await keys(store);
    const refused: readonly (readonly [string, number, BuiltLtx, string])[] = [
      ["a gap", 0, l0(4n), "409 CONFLICT"],
      ["another page size", 0, l0(3n, { pageSize: 1024 }), "409 CONFLICT"],
      [
        "a page that is missing of the growth",
        0,
        l0(3n, { commit: 5, pages: { 4: 4 } }),
        "422 INVALID_FILE",
      ],
      ["a time that goes back", 0, l0(3n, { timestamp: FAKE_START + 2000 }), "409 CONFLICT"],
      ["a time to come", 0, l0(3n, { timestamp: FAKE_START + NOW_MS + 301_000 }), "409 CONFLICT"],
      ["another file of the same name", 0, l0(2n, { pages: { 2: 9 } }), "412 PRECONDITION_FAILED"],
      ["two transactions in level 0", 0, l0(3n, { maxTxid: 4n }), "409 CONFLICT"],
      [
        "a merged file of what is not there",
        1,
        l0(1n, { maxTxid: 3n, timestamp: FAKE_START }),
        "409 CONFLICT",
      ],
      [
        "a merged file of another state",
        1,
        l0(1n, { maxTxid: 2n, timestamp: FAKE_START + 1 }),
        "409 CONFLICT",
      ],
      [
        "a snapshot of another state",
        9,
        l0(1n, { maxTxid: 2n, commit: 2, pages: { 1: 1, 2: 2 } }),
        "409 CONFLICT",
      ],
      ["a snapshot from the middle", 9, l0(2n, { pages: { 1: 1, 2: 2, 3: 3 } }), "409 CONFLICT"],
    ];
    for (const [what, level, file, expected] of refused) {
      expect(`${what}: ${await refusal(level, file)}`).toBe(`${what}: ${expected}`);
    }
    expect(await keys(store)).toEqual(before);
  });

  test("ingestRoutes() takes merged files, snapshots and the files that repair", async () => {
    const store = memoryStore();
    const app = server(store);
    const whole = { 1: 1, 2: 2, 3: 3 };
    for (const txid of [1n, 2n]) await putFile(app, 0, l0(txid));
    const statuses = [
      // Level 1 of both, a snapshot, a new page size, and its file of level 0.
      await putFile(app, 1, l0(1n, { maxTxid: 2n })),
      await putFile(app, 9, l0(1n, { maxTxid: 2n })),
      await putFile(app, 9, l0(1n, { maxTxid: 3n, pageSize: 1024 })),
      await putFile(app, 0, l0(3n, { pageSize: 1024, pages: whole })),
      await putFile(app, 0, l0(4n, { pageSize: 1024 })),
    ];
    expect(statuses.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    // Its L0 file was lost: a bridge leads on, and then its own.
    const bridge = l0(5n, { maxTxid: 9n, pageSize: 1024, pages: whole });
    expect((await putFile(app, 1, bridge)).status).toBe(409);
    await putFile(app, 1, l0(3n, { maxTxid: 4n, pageSize: 1024 }));
    const lacking = l0(5n, { maxTxid: 9n, pageSize: 1024 });
    expect((await putFile(app, 1, lacking)).code).toBe("INVALID_FILE");
    expect((await putFile(app, 1, bridge)).status).toBe(201);
    const partial = await putFile(app, 0, l0(9n, { pageSize: 1024 }));
    expect(partial.code).toBe("INVALID_FILE");
    expect((await putFile(app, 0, l0(9n, { pageSize: 1024, pages: whole }))).status).toBe(201);
  });

  test("ingestRoutes() refuses files that are damaged, cut, too long or too slow, and names", async () => {
    const store = memoryStore();
    const platform = platformAt();
    const file = l0(1n);
    const path = pathOf(0, file);
    const app = server(store, { platform, limits: { fileBytes: 4096, stallMs: 1000 } });
    const flipped = file.bytes.slice();
    flipped[150]! ^= 1;
    const bodies: readonly (readonly [BodyInit, string])[] = [
      [flipped, "INVALID_FILE"],
      [file.bytes.subarray(0, file.bytes.length - 1), "INVALID_FILE"],
      [file.bytes.subarray(0, 50), "INVALID_FILE"],
      [new Uint8Array([...file.bytes, 0]), "INVALID_FILE"],
      ["", "INVALID_FILE"],
      [new Uint8Array(5000), "TOO_LARGE"],
    ];
    for (const [body, code] of bodies) expect((await put(app, path, body)).code).toBe(code);
    const other = path.replace("1-", "2-").replace("1.ltx", "2.ltx");
    expect((await put(app, other, file.bytes)).code).toBe("CONFLICT");
    for (const name of ["/db/ltx/0/x.ltx", "/db/ltx/10/1-1.ltx", "/db/ltx/0/..%2f..%2flock.json"]) {
      expect((await put(app, name, file.bytes)).code).toBe("BAD_REQUEST");
    }
    const slow = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(file.bytes.subarray(0, 120)),
    });
    const waiting = put(app, path, slow, { duplex: "half" } as RequestInit);
    await expect.poll(() => platform.clock.pending).toBeGreaterThan(0);
    const second = await put(app, path, file.bytes);
    expect([second.status, second.code]).toEqual([503, "BUSY"]);
    await platform.clock.advanceAsync(1000);
    expect((await waiting).code).toBe("BODY_TIMEOUT");
    expect(await keys(store)).toEqual([]);
    expect((await put(app, path, file.bytes)).status).toBe(201);
  });

  test("ingestRoutes() leaves nothing of a file whose sender is gone", async () => {
    const store = memoryStore();
    const app = server(store);
    const file = l0(1n);
    const broken = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(file.bytes.subarray(0, file.bytes.length - 1));
        controller.error(new Error("gone"));
      },
    });
    const how = { duplex: "half" } as RequestInit;
    expect((await put(app, pathOf(0, file), broken, how)).status).toBe(400);
    expect(await keys(store)).toEqual([]);
    expect((await putFile(app, 0, file)).status).toBe(201);
  });

  test("ingestRoutes() lets the hook decide whose database is written", async () => {
    const stores = new Map(["a", "b"].map((name) => [name, memoryStore()]));
    const seen: string[] = [];
    const app = new Hono();
    const routes = ingestRoutes({
      platform: platformAt(),
      replica: (c) => stores.get(c.req.param("tenant") ?? "") ?? memoryStore(),
      authorize: (c, operation) => {
        seen.push(operation);
        return c.req.header("authorization") === `Bearer of ${c.req.param("tenant")}`;
      },
      corsOrigins: ["https://app.test"],
    });
    app.route("/:tenant", routes);
    const send = (tenant: string) =>
      put(app, `/${tenant}/ltx/0/${l0(1n).name}`, l0(1n).bytes, {
        headers: { authorization: "Bearer of a", origin: "https://app.test" },
      });
    const [own, others] = [await send("a"), await send("b")];
    expect([own.status, others.status]).toEqual([201, 401]);
    expect(own.response.headers.get("access-control-expose-headers")).toContain("etag");
    expect(seen).toEqual(["putLtxFile", "putLtxFile"]);
    expect(await keys(stores.get("b") as ObjectStore)).toEqual([]);
    const preflight = await app.request(`/a/ltx/0/${l0(1n).name}`, {
      method: "OPTIONS",
      headers: { origin: "https://app.test", "access-control-request-method": "PUT" },
    });
    expect(preflight.headers.get("access-control-allow-methods")).toBe("PUT");
  });

  test("ingestRoutes() removes what retention may, and no more", async () => {
    const store = memoryStore();
    const platform = fakePlatform(1);
    const app = server(store, { platform });
    const remote = client(app);
    for (const txid of [1n, 2n, 3n]) await putFile(app, 0, l0(txid));
    await putFile(app, 1, l0(1n, { maxTxid: 2n }));
    const [first, second, newest] = [1n, 2n, 3n].map((txid) => `ltx/0/${l0(txid).name}`) as [
      string,
      string,
      string,
    ];
    const removal = (...each: string[]): Promise<string> => failure(() => remote.delete(each));
    expect(await removal(first)).toBe("STORE");
    platform.clock.advance(6 * 60_000);
    expect(await removal(first, newest)).toBe("STORE");
    expect((await keys(store)).length).toBe(4);
    await remote.delete([first, second, "ltx/0/absent.ltx"]);
    expect(await keys(store)).toEqual([newest, `ltx/1/${l0(1n, { maxTxid: 2n }).name}`]);
    // A name that retention has freed is not taken again.
    expect((await putFile(app, 0, l0(2n))).code).toBe("CONFLICT");
    expect(await removal("lock.json")).toBe("STORE");
  });

  test("ingestRoutes() keeps the lease and the pointer of a writer, by condition", async () => {
    const app = server(memoryStore());
    const lease = JSON.stringify({ generation: 1, expires_at: "2026-01-01T00:00:00Z" });
    const bytes = new TextEncoder().encode(lease);
    const remote = client(app);
    await remote.probe?.();
    const key = "lock.json";
    const { etag } = await remote.put(key, bytes, { ifNoneMatch: "*" });
    const create = (): unknown => remote.put(key, bytes, { ifNoneMatch: "*" });
    expect(await failure(create)).toBe("PRECONDITION_FAILED");
    const next = await remote.put(key, bytes, { ifMatch: etag });
    expect(await failure(() => remote.put(key, bytes, { ifMatch: etag }))).toBe(
      "PRECONDITION_FAILED",
    );
    expect((await remote.get(key)).etag).toBe(next.etag);
    expect(await failure(() => remote.put(key, bytes))).toBe("STORE");
    for (const other of ["pagestream/pointer.json", key]) {
      expect(await failure(() => remote.put(other, new Uint8Array(5)))).toBe("STORE");
    }
    expect(await failure(() => remote.put("notes.txt", bytes))).toBe("STORE");
  });
});

describe("httpStore()", () => {
  test("httpStore() writes nothing to a server without the routes", async () => {
    const app = new Hono();
    app.route("/db", replicaRoutes({ replica: () => memoryStore(), authorize: "public" }));
    for (const fetch of [
      async (url: string, init: RequestInit) => await app.request(url, init),
      async () => new Response("<html>every address is a page</html>"),
    ]) {
      const store = httpStore("http://server.test/db", { fetch });
      expect((await store.probe?.())?.conditionalPut).toBe(false);
      expect(await failure(() => store.put("ltx/0/a.ltx", new Uint8Array(1)))).toBe("UNSUPPORTED");
    }
  });

  test("httpStore() lets a database be replicated through a server, and restored", async () => {
    const store = memoryStore();
    const options = { levels: { l0RetentionMs: 300_000 }, platform: undefined };
    const app = server(store, options);
    const sqlite3 = await sqlite3InitModule();
    const replicated = await openReplicated({
      sqlite3,
      path: "notes.db",
      replica: client(app),
      groupMs: 1,
    });
    replicated.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('one')");
    await replicated.replication.durable();
    replicated.db.exec("INSERT INTO note VALUES (randomblob(20000))");
    await replicated.replication.durable();
    await replicated.replication.snapshot();
    expect((await keys(store)).filter((key) => key.startsWith("ltx/9/")).length).toBe(1);

    // A second writer is told of the first; one that does not ask goes on, and the first one learns of it.
    const open = async (lease: boolean) => {
      const own = { sqlite3: await sqlite3InitModule(), path: `${lease}.db`, groupMs: 1, lease };
      return await openReplicated({ ...own, replica: client(app) });
    };
    expect(await failure(() => open(true))).toBe("CONFLICT");
    const rival = await open(false);
    rival.db.exec("INSERT INTO note VALUES ('rival')");
    await rival.replication.durable();
    replicated.db.exec("INSERT INTO note VALUES ('late')");
    expect(await failure(() => replicated.replication.durable())).toBe("CONFLICT");
    expect(await failure(() => replicated.close())).toBe("CONFLICT");
    await rival.close();
    const again = await openReplicated({
      sqlite3: await sqlite3InitModule(),
      path: "third.db",
      replica: store,
    });
    expect(again.db.selectValues("SELECT body FROM note WHERE typeof(body) = 'text'")).toEqual([
      "one",
      "rival",
    ]);
    await again.close();
  });
});
