/** @module */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openReplicaReader } from "../api/open-replica-reader.ts";
import { replicaRoutes, type ReplicaRoutes, type ReplicaRoutesOptions } from "./replica-routes.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { type FakePlatform, fakePlatform } from "../testing/fake-platform.ts";
import { faultyStore } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import { lz4Frame, pageOf, snapshotKey, storeWith } from "../../test/helpers/legacy-replica.ts";
import { type SqlReplica, sqlReplica } from "../../test/helpers/sql-replica.ts";

const hex = (txid: number): string => txid.toString(16).padStart(16, "0");

let database: SqlReplica;
let platform: FakePlatform;
let app: ReplicaRoutes;

function routes(options: Partial<ReplicaRoutesOptions> = {}): ReplicaRoutes {
  const { store } = database;
  return replicaRoutes({ replica: () => store, authorize: "public", platform, ...options });
}

beforeEach(async () => {
  database = sqlReplica();
  platform = fakePlatform(1, Date.UTC(2026, 1, 1));
  await database.commit("CREATE TABLE a(x); CREATE TABLE b(x); CREATE INDEX b_x ON b(x)");
  app = routes();
});

afterEach(async () => {
  await app.close();
  database[Symbol.dispose]();
});

describe("GET /pages/{pgno}", () => {
  test("GET /pages/{pgno} sends a page of the newest state, and of one that stays as it is", async () => {
    await database.commit("INSERT INTO a VALUES ('secret')");
    const newest = await app.request("/pages/2");
    expect(newest.status).toBe(200);
    expect(Object.fromEntries(newest.headers)).toMatchObject({
      "cache-control": "public, no-cache",
      "content-length": "1024",
      "content-type": "application/octet-stream",
      "pagestream-commit": "4",
      "pagestream-position": hex(2),
    });
    expect(Buffer.from(await newest.arrayBuffer()).includes("secret")).toBe(true);
    const first = await app.request(`/pages/2?txid=${hex(1)}`);
    expect(first.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(Buffer.from(await first.arrayBuffer()).includes("secret")).toBe(false);
    const etag = first.headers.get("etag") as string;
    const headers = { "if-none-match": etag };
    expect((await app.request(`/pages/2?txid=${hex(1)}`, { headers })).status).toBe(304);
    expect((await app.request("/pages/2", { headers })).status).toBe(200);
    const head = await app.request("/pages/2", { method: "HEAD" });
    expect([head.headers.get("content-length"), head.body]).toEqual(["1024", null]);
  });

  test.each([
    ["/pages/0", 400],
    ["/pages/01", 400],
    ["/pages/-1", 400],
    ["/pages/1e1", 400],
    ["/pages/99999999999999999999", 400],
    ["/pages/5", 404],
    ["/pages/4294967296", 404],
    [`/pages/1?txid=${hex(9)}`, 404],
    ["/pages/1?timestamp=1999-01-01T00:00:00Z", 404],
    ["/pages/1?txid=nonsense", 400],
  ])("GET /pages/{pgno} answers %s with %i", async (path, status) => {
    expect((await app.request(path)).status).toBe(status);
  });

  test("GET /pages/{pgno} sees a new state as soon as a client knows of it", async () => {
    expect((await app.request("/pages/1")).headers.get("pagestream-position")).toBe(hex(1));
    await database.commit("INSERT INTO a VALUES (1)");
    expect((await app.request("/pages/1")).headers.get("pagestream-position")).toBe(hex(1));
    const asking = Promise.resolve(
      app.request("/pages/1", { headers: { "pagestream-position": hex(2) } }),
    );
    let status = 0;
    void asking.then((response) => (status = response.status));
    await vi.waitUntil(
      async () => {
        await platform.clock.advanceAsync(50);
        return status !== 0;
      },
      { interval: 1, timeout: 10_000 },
    );
    expect((await asking).headers.get("pagestream-position")).toBe(hex(2));
  });
});

interface SentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** Reads a feed event by event; comments are events without a name. */
async function* eventsOf(response: Response): AsyncGenerator<SentEvent | string> {
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const text = decoder.decode(chunk);
    expect(text.endsWith("\n\n")).toBe(true);
    if (text.startsWith(":")) {
      yield text.trim();
      continue;
    }
    const fields = Object.fromEntries(
      text
        .trim()
        .split("\n")
        .map((line) => line.split(/: (.*)/s).slice(0, 2)),
    ) as { id: string; event: string; data: string };
    yield { ...fields, data: JSON.parse(fields.data) as SentEvent["data"] };
  }
}

/** The next event, while time passes. */
async function next(
  feed: AsyncGenerator<SentEvent | string>,
): Promise<SentEvent | string | undefined> {
  let result: IteratorResult<SentEvent | string> | undefined;
  const waiting = feed.next().then((each) => (result = each));
  await vi.waitUntil(
    async () => {
      await platform.clock.advanceAsync(1000);
      return result !== undefined;
    },
    { interval: 1, timeout: 10_000 },
  );
  return (await waiting).value as SentEvent | string | undefined;
}

test("pages and changes of a replica of Litestream 0.3 are told not to be had", async () => {
  const bytes = lz4Frame(pageOf(1, 0, 1024));
  const store = await storeWith({ [snapshotKey("0123456789abcdef", 0)]: { bytes, time: 0 } });
  const onFailure = vi.fn();
  app = routes({ replica: () => store, onFailure });
  for (const path of ["/pages/1", "/changes"]) expect((await app.request(path)).status).toBe(501);
  expect(onFailure).not.toHaveBeenCalled();
});

describe("GET /changes", () => {
  test("GET /changes tells of commits, their pages and their tables", async () => {
    const response = await app.request("/changes");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const feed = eventsOf(response);
    expect(await next(feed)).toEqual({
      id: hex(1),
      event: "position",
      data: { txid: hex(1), time: "2026-01-01T00:00:01.000Z", commit: 4 },
    });
    await database.commit("INSERT INTO a VALUES (1)");
    expect(await next(feed)).toEqual({
      id: hex(2),
      event: "change",
      data: {
        txid: hex(2),
        from: hex(1),
        time: "2026-01-01T00:00:02.000Z",
        commit: 4,
        page_count: 2,
        pages: [1, 2],
        tables: ["a"],
        tables_complete: true,
      },
    });
    // Thousands of rows, so that the trees have levels; then one of them, found below its parents.
    const many = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)";
    await database.commit(`${many} INSERT INTO b SELECT printf('%0100d', i) FROM n`);
    expect(await next(feed)).toMatchObject({ data: { tables: ["b"], tables_complete: true } });
    await database.commit("UPDATE b SET x = 'y' || substr(x, 2) WHERE rowid = 4500");
    expect(await next(feed)).toMatchObject({ data: { tables: ["b"], tables_complete: true } });
    await database.commit("CREATE TABLE c(x); DROP TABLE a; DELETE FROM b WHERE rowid > 100");
    const tables = ["a", "b", "c"];
    expect(await next(feed)).toMatchObject({ data: { tables, tables_complete: true } });
    await database.commit("INSERT INTO c VALUES (zeroblob(10000))");
    expect(await next(feed)).toMatchObject({ data: { tables: ["c"], tables_complete: true } });
    // Its row stays as it is: only a page changes to which the value is spilled, and nothing tells of which row.
    await database.commit("UPDATE c SET x = CAST(zeroblob(9999) || x'01' AS BLOB)");
    expect(await next(feed)).toMatchObject({ data: { tables: [], tables_complete: false } });
    await feed.return(undefined);
  });

  test("GET /changes goes on where a client was, or says that it cannot", async () => {
    await database.commit("INSERT INTO a VALUES (1)");
    await database.commit("INSERT INTO b VALUES (1)");
    const first = async (id: string): Promise<SentEvent | string | undefined> => {
      const feed = eventsOf(await app.request("/changes", { headers: { "last-event-id": id } }));
      const event = await next(feed);
      await feed.return(undefined);
      return event;
    };
    expect(await first(hex(1))).toMatchObject({
      id: hex(3),
      event: "change",
      data: { from: hex(1), tables: ["a", "b"] },
    });
    expect(await first(hex(3))).toMatchObject({ id: hex(3), event: "position" });
    // A server that lags behind another one does not send its client back.
    expect(await first(hex(9))).toMatchObject({ id: hex(9), event: "position" });
    expect((await app.request("/changes", { headers: { "last-event-id": "x" } })).status).toBe(400);
  });

  test("GET /changes says reset where the state of a client is gone", async () => {
    await database.commit("INSERT INTO a VALUES (1)");
    const { store } = database;
    const base = await new Response((await app.request("/snapshot")).body).arrayBuffer();
    const pages = Object.fromEntries(
      Array.from({ length: 4 }, (_, i) => [i + 1, new Uint8Array(base, i * 1024, 1024)]),
    );
    const merged = buildLtx({ minTxid: 1n, maxTxid: 2n, pageSize: 1024, pages });
    await store.put(`ltx/1/${merged.name}`, merged.bytes);
    await store.delete([1, 2].map((txid) => `ltx/0/${hex(txid)}-${hex(txid)}.ltx`));
    const headers = { "last-event-id": hex(1) };
    const feed = eventsOf(await app.request("/changes", { headers }));
    expect(await next(feed)).toMatchObject({ id: hex(2), event: "reset" });
    await feed.return(undefined);
  });

  test("GET /changes speaks now and then, lets no more listen than it may, and forgets who has gone", async () => {
    app = routes({ limits: { listeners: 2 } });
    const [a, b] = [await app.request("/changes"), await app.request("/changes")];
    const refused = await app.request("/changes");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    const feed = eventsOf(a);
    await next(feed);
    const before = platform.clock.monotonic();
    expect(await next(feed)).toBe(": nothing new");
    // Before a server of Bun ends the connection.
    expect(platform.clock.monotonic() - before).toBeLessThan(10_000);
    await feed.return(undefined);
    await b.body?.cancel();
    const again = [await app.request("/changes"), await app.request("/changes")];
    for (const each of again) await each.body?.cancel();
    expect(again.map(({ status }) => status)).toEqual([200, 200]);
    await platform.clock.advanceAsync(2000);
    // Only the reader's own rest is waited for.
    expect(platform.clock.pending).toBe(1);
    await platform.clock.advanceAsync(300_000);
    expect(platform.clock.pending).toBe(0);
  });

  test("GET /changes holds no state any more once it has failed to describe a change", async () => {
    let isFailing = false;
    const isPage = (length = 0): boolean => length < 2 * 1024 * 1024;
    const store = faultyStore(database.store, {
      fault: ({ operation, length }) =>
        isFailing && operation === "get" && isPage(length) ? { before: new Error("lost") } : {},
    });
    await using reader = await openReplicaReader(store, { platform, follow: false, cacheBytes: 0 });
    let pins = 0;
    const pin = reader.pin.bind(reader);
    reader.pin = (...args) => {
      pins++;
      const release = pin(...args);
      return () => (pins--, release());
    };
    app = routes({ replica: () => reader });
    const feed = eventsOf(await app.request("/changes"));
    await next(feed);
    expect(pins).toBe(1);
    isFailing = true;
    await database.commit("INSERT INTO a VALUES (1)");
    const failing = expect(feed.next()).rejects.toThrow("lost");
    await platform.clock.advanceAsync(2000);
    await failing;
    expect(pins).toBe(0);
  });

  test("GET /changes answers an empty replica, and a HEAD, at once", async () => {
    expect((await app.request("/changes", { method: "HEAD" })).status).toBe(200);
    app = routes({ replica: () => memoryStore() });
    expect((await app.request("/changes")).status).toBe(404);
  });
});
