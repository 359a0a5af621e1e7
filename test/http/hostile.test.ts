/** @module */
import { createHash } from "node:crypto";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  replicaRoutes,
  type ReplicaRoutes,
  type ReplicaRoutesOptions,
} from "../../src/http/index.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { type SqlReplica, sqlReplica } from "../helpers/sql-replica.ts";
import { askRaw, getRaw, sendRaw, startServer, type TestServer } from "./server.ts";

const NAME = "0000000000000001-0000000000000001.ltx";
const FILE = `/ltx/0/${NAME}`;
const SECRET = "s3cr3t-of-the-store";
const TOKEN = "token-of-a-client";

let database: SqlReplica;
let app: ReplicaRoutes;
let server: TestServer;

/** The store, which tells its secrets in every failure and has more in it than a replica. */
function leaky(): ObjectStore {
  const { store } = database;
  const failing = (key: string): boolean => key.includes("00ff");
  return {
    ...store,
    description: `s3://${SECRET}@bucket/${SECRET}`,
    async get(key, options) {
      if (failing(key)) throw new Error(`https://bucket/?X-Amz-Signature=${SECRET}`);
      return await store.get(key, options);
    },
    async head(key, options) {
      if (failing(key)) throw new Error(`https://bucket/?X-Amz-Signature=${SECRET}`);
      return await store.head(key, options);
    },
  };
}

function routes(options: Partial<ReplicaRoutesOptions> = {}): ReplicaRoutes {
  const store = leaky();
  const authorize = (c: { req: { header(name: string): string | undefined } }): boolean =>
    c.req.header("authorization") === `Bearer ${TOKEN}`;
  return replicaRoutes({ replica: () => store, authorize, ...options });
}

const AUTH = `Authorization: Bearer ${TOKEN}\r\n`;

beforeAll(async () => {
  database = sqlReplica();
  await database.commit("CREATE TABLE a(x); INSERT INTO a VALUES ('in the database')");
  for (const key of ["lock.json", "pagestream-probe", "ltx/0/notes.txt", "secret.ltx"]) {
    await database.store.put(key, new TextEncoder().encode(SECRET));
  }
  app = routes();
  server = await startServer(app);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await app.close();
  database[Symbol.dispose]();
});

/** Every path of the document with values for its parameters, and its methods. */
async function everyRoute(): Promise<{ readonly path: string; readonly method: string }[]> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const { paths } = (await (await app.request("/openapi.json", { headers })).json()) as {
    readonly paths: Record<string, Record<string, unknown>>;
  };
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => ({
      method: method.toUpperCase(),
      path: path.replace("{level}", "0").replace("{name}", NAME).replace("{pgno}", "1"),
    })),
  );
}

describe("paths", () => {
  test.each([
    "/../lock.json",
    "/ltx/0/../../lock.json",
    "/ltx/0/..%2f..%2flock.json",
    "/ltx/0/%2e%2e/%2e%2e/lock.json",
    "/ltx/0/%252e%252e/lock.json",
    "/ltx/0/..\\..\\lock.json",
    "/ltx/0/..%5c..%5clock.json",
    "/lock.json",
    "//lock.json",
    "/./lock.json",
    "/pagestream-probe",
    "/secret.ltx",
    "/ltx/0/notes.txt",
    "/ltx/0/",
    `/ltx/00/${NAME}`,
    `/ltx/0x0/${NAME}`,
    `/ltx/-1/${NAME}`,
    `/ltx/10/${NAME}`,
    `/ltx/%30/${NAME}/..`,
    `/ltx/0/${NAME}%00`,
    `/ltx/0/${NAME}%0a`,
    `/ltx/0/%00${NAME}`,
    `/ltx/0/${NAME.toUpperCase()}`,
    `/ltx/0/${NAME.replace("0", "%EF%BC%90")}`,
    "/ltx/0/%c0%ae%c0%ae%c0%aflock.json",
    "/ltx/0/%e0%80%ae",
    "/pages/1/../../lock.json",
    "/pages/%31%00",
    "/pages/1.0",
    "/pages/٣",
    "/SNAPSHOT",
    "/snapshot/",
    "/snapshot;x=1",
    "/snapshot%3ftxid=1",
    "http://elsewhere.example/lock.json",
    "/%",
    "/%zz",
    "/%ff%fe",
    "*",
  ])("the path %s leads to nothing that is not served", async (path) => {
    const { status, text } = await getRaw(server.port, path, AUTH);
    expect([400, 404]).toContain(status);
    expect(text).not.toContain(SECRET);
  });

  test("a path that is far too long, and a query that is, end in an answer", async () => {
    const long = "a".repeat(12_000);
    expect((await getRaw(server.port, `/ltx/0/${long}`, AUTH)).status).toBe(404);
    expect((await getRaw(server.port, `/snapshot?timestamp=${long}`, AUTH)).status).toBe(400);
    expect((await getRaw(server.port, `/${long.repeat(3)}`, AUTH)).status).toBe(431);
    const deep = `/${"x/".repeat(5000)}`;
    expect((await getRaw(server.port, deep, AUTH)).status).toBe(404);
  });
});

describe("headers", () => {
  test("a bomb of headers is refused, one that never ends is cut off, and the server goes on", async () => {
    const bomb = Array.from({ length: 3000 }, (_, i) => `X-${i}: ${"y".repeat(20)}\r\n`).join("");
    expect((await getRaw(server.port, "/", bomb)).status).toBe(431);
    expect((await getRaw(server.port, "/", `X: ${"y".repeat(40_000)}\r\n`)).status).toBe(431);
    expect((await askRaw(server.port, "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n")).status).toBe(
      400,
    );
    expect((await getRaw(server.port, "/", AUTH)).status).toBe(200);
  });

  test.each([
    ["Range: bytes=0-0,2-3", 200],
    ["Range: bytes=5-4", 200],
    ["Range: bytes=-", 200],
    ["Range: bytes=-0", 416],
    ["Range: bytes=--1", 200],
    ["Range: bytes=0x0-0x9", 200],
    ["Range: bytes=1e3-", 200],
    ["Range: bytes=9007199254740993-", 200],
    ["Range: bytes=999999999999999-", 416],
    ["Range: bytes=0-9007199254740993", 200],
    ["Range: bytes=99999999999999999999999-", 200],
    ["Range: bytes=-99999999999999999999999", 200],
    ["Range: bytes=-999999999999999", 206],
    [`Range: bytes=${"0-0,".repeat(3000)}0-0`, 200],
    ["Range: items=0-1", 200],
    [`If-None-Match: ${'"a",'.repeat(3000)}"b"`, 200],
    ['If-Match: "other"', 412],
    ["If-Match: *", 200],
  ])("the header %s is answered with %i", async (header, status) => {
    for (const path of [FILE, `/snapshot?txid=${NAME.slice(0, 16)}`]) {
      const answer = await getRaw(server.port, path, `${AUTH}${header}\r\n`);
      expect([path, answer.status]).toEqual([path, status]);
    }
  });
});

describe("who may", () => {
  test("nothing answers without authorization, whatever the method", async () => {
    const every = await everyRoute();
    expect(every.length).toBeGreaterThan(15);
    for (const { path, method } of every) {
      for (const each of [method, "DELETE", "PATCH", "TRACE2"]) {
        for (const authorization of ["", "Bearer", `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
          const response = await app.request(path, { method: each, headers: { authorization } });
          expect([path, each, authorization, response.status]).toEqual([
            path,
            each,
            authorization,
            401,
          ]);
          expect(response.headers.get("cache-control")).toBe("no-store");
        }
      }
    }
    for (const path of ["/none", "/lock.json", "/%"])
      expect((await app.request(path)).status).toBe(401);
  });

  test("routes cannot be made without a decision on who may use them", () => {
    const without = { replica: () => database.store } as unknown as ReplicaRoutesOptions;
    expect(() => replicaRoutes(without)).toThrow("the hook authorize is missing");
    const wrong = { ...without, authorize: "anyone" } as unknown as ReplicaRoutesOptions;
    expect(() => replicaRoutes(wrong)).toThrow("the hook authorize is missing");
  });

  test("a hook that fails, or does not say true, lets nobody in", async () => {
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => void failures.push(error);
    const failing = routes({ authorize: () => Promise.reject(new Error(SECRET)), onFailure });
    const response = await failing.request("/");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain(SECRET);
    expect(failures).toHaveLength(1);
    for (const verdict of [undefined, 1, "yes", {}]) {
      const odd = routes({ authorize: () => verdict as unknown as boolean });
      expect((await odd.request("/")).status).toBe(401);
    }
    const own = routes({ authorize: () => new Response("not you", { status: 403 }) });
    expect((await own.request("/")).status).toBe(403);
    const asked: string[] = [];
    const noting = routes({ authorize: (_, operation) => asked.push(operation) > 0 });
    for (const path of ["/", "/snapshot", "/none"]) await noting.request(path, { method: "HEAD" });
    expect(asked).toEqual(["info", "snapshot", "none"]);
  });

  test("every wrong method is answered with 405 and the right ones", async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    for (const path of new Set((await everyRoute()).map((each) => each.path))) {
      for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]) {
        const response = await app.request(path, { method, headers });
        expect([path, method, response.status]).toEqual([path, method, 405]);
        expect(response.headers.get("allow")).toMatch(/^(GET, HEAD|POST)$/);
      }
    }
  });
});

describe("other origins", () => {
  test("a preflight tells nothing to pages that may not, and is no way in", async () => {
    const open = routes({ corsOrigins: ["https://a.example"] });
    const preflight = (origin: string, method: string): Response | Promise<Response> =>
      open.request("/snapshot", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": method },
      });
    const good = await preflight("https://a.example", "GET");
    expect([good.status, good.headers.get("access-control-allow-origin")]).toEqual([
      204,
      "https://a.example",
    ]);
    for (const origin of ["https://a.example.evil.example", "null", "https://A.example", "*"]) {
      expect(
        (await preflight(origin, "GET")).headers.get("access-control-allow-origin"),
      ).toBeNull();
    }
    expect((await preflight("https://a.example", "DELETE")).status).toBe(401);
    const refused = await open.request("/snapshot", { headers: { origin: "https://a.example" } });
    expect(refused.status).toBe(401);
    // The page is told why it got nothing.
    expect(refused.headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect(good.headers.get("access-control-allow-credentials")).toBeNull();
  });
});

describe("too much", () => {
  test("clients that ask too often are told when to come again, each for itself", async () => {
    const client = (c: { req: { header(name: string): string | undefined } }): string =>
      c.req.header("x-client") ?? "";
    const limited = routes({ authorize: "public", rate: { perSecond: 0.5, burst: 2, client } });
    const ask = (name: string): Response | Promise<Response> =>
      limited.request("/info", { headers: { "x-client": name } });
    const statuses = [(await ask("a")).status, (await ask("a")).status, (await ask("a")).status];
    expect(statuses).toEqual([200, 200, 429]);
    expect((await ask("a")).headers.get("retry-after")).toBe("2");
    expect((await ask("b")).status).toBe(200);
  });

  test("clients are told apart by what the hook found out, and refused ones count, too", async () => {
    const limited = routes({
      authorize(c) {
        c.set("user", c.req.header("x-user"));
        return c.get("user") !== "mallory";
      },
      rate: { perSecond: 0.5, burst: 1, client: (c) => c.get("user") as string },
    });
    const ask = async (user: string): Promise<number> =>
      (await limited.request("/info", { headers: { "x-user": user } })).status;
    const statuses: number[] = [];
    for (const user of ["alice", "alice", "bob", "mallory", "mallory"]) {
      statuses.push(await ask(user));
    }
    expect(statuses).toEqual([200, 429, 200, 401, 429]);
  });

  test("who opens feeds and goes away gives their places back", async () => {
    const patient = routes({
      authorize: "public",
      limits: { listeners: 3 },
    });
    await using busy = await startServer(patient);
    const lines = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const feeds = [1, 2, 3].map(() => sendRaw(busy.port, lines("/changes")));
    await vi.waitFor(async () => {
      expect((await getRaw(busy.port, "/changes")).status).toBe(503);
    });
    for (const socket of feeds) socket.destroy();
    await vi.waitFor(async () => {
      const socket = sendRaw(busy.port, lines("/changes"));
      const [status] = await new Promise<string[]>((resolve) => {
        socket.once("data", (text: string) => resolve([text.slice(9, 12)]));
      });
      socket.destroy();
      expect(status).toBe("200");
    });
    await patient.close();
  });

  test("a query whose body is slow or huge is cut off, and gives its place back", async () => {
    const sqlite3 = await sqlite3InitModule();
    const limits = { queries: 1, query: { bodyBytes: 1000, bodyMs: 200 } };
    const strict = routes({ authorize: "public", sqlite3, limits });
    await using one = await startServer(strict);
    const sql = JSON.stringify({ sql: "SELECT 1" });
    const head = (rest: string): string =>
      `POST /query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n${rest}\r\n\r\n`;
    const good = `${head(`Content-Length: ${sql.length}`)}${sql}`;
    // It says that there is more, and sends nothing.
    const slow = askRaw(one.port, `${head("Content-Length: 500")}{`);
    await vi.waitFor(async () => expect((await askRaw(one.port, good)).status).toBe(503));
    expect(await slow).toMatchObject({ status: 408 });
    const told = await askRaw(
      one.port,
      `${head("Content-Length: 99999999999")}${"x".repeat(5000)}`,
    );
    expect(told.status).toBe(413);
    const chunk = `7d0\r\n${"x".repeat(2000)}\r\n`;
    const untold = await askRaw(one.port, `${head("Transfer-Encoding: chunked")}${chunk}`);
    expect(untold.status).toBe(413);
    const gone = sendRaw(one.port, `${head("Content-Length: 500")}{`);
    await vi.waitFor(async () => expect((await askRaw(one.port, good)).status).toBe(503));
    gone.destroy();
    await vi.waitFor(async () => expect((await askRaw(one.port, good)).status).toBe(200));
    await strict.close();
  });

  test("a hundred downloads at once end in whole files or refusals, and nothing else", async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const url = `${server.url}/snapshot`;
    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const response = await fetch(url, { headers });
        const bytes = new Uint8Array(await response.arrayBuffer());
        return response.status === 200
          ? createHash("sha256").update(bytes).digest("hex")
          : response.status;
      }),
    );
    const whole = new Set(answers.filter((each) => typeof each === "string"));
    expect(whole.size).toBe(1);
    const refused = answers.filter((each) => typeof each === "number");
    expect(refused.every((status) => status === 503)).toBe(true);
    expect((await fetch(url, { headers })).status).toBe(200);
  });
});

describe("secrets", () => {
  test("what the store says in its failures is told to the server alone", async () => {
    const told: string[] = [];
    const watched = routes({
      authorize: "public",
      onFailure: (error, path) => void told.push(`${path}: ${String(error)}`),
    });
    const lost = "/ltx/0/00000000000000ff-00000000000000ff.ltx";
    for (const [path, init] of [
      [lost, {}],
      [lost, { method: "HEAD" }],
      [lost, { headers: { range: "bytes=-5" } }],
    ] as const) {
      const response = await watched.request(path, init);
      expect(response.status).toBe(500);
      expect(await response.text()).not.toContain(SECRET);
    }
    expect(told.filter((each) => each.includes(SECRET))).toHaveLength(3);
    for (const { path } of await everyRoute()) {
      if (path === "/changes") continue;
      const response = await watched.request(path);
      expect(`${JSON.stringify([...response.headers])}${await response.text()}`).not.toContain(
        SECRET,
      );
    }
  });
});
