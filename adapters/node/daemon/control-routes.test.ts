/** @module */
import { ClosedError, InvalidArgumentError, IoError } from "pagestream";
import { beforeEach, describe, expect, test } from "vitest";
import { type ControlledDaemon, controlRoutes } from "./control-routes.ts";
import type { DaemonDatabase } from "./status.ts";

const PATH = "/data/app.db";
const START = Date.UTC(2026, 10, 20, 12);

/** What the routes asked for, and what they are told. */
class FakeDaemon implements ControlledDaemon {
  readonly calls: unknown[] = [];
  databases: DaemonDatabase[] = [];
  failure: Error | undefined;
  ran = false;
  status(): ReturnType<ControlledDaemon["status"]> {
    return { startedAt: START, databases: this.databases, requests: undefined };
  }
  get(path: string): DaemonDatabase | undefined {
    return this.databases.find((each) => each.path === path);
  }
  register(...args: Parameters<ControlledDaemon["register"]>): "registered" | "already_registered" {
    this.#called("register", args);
    return this.get(args[0]) === undefined ? "registered" : "already_registered";
  }
  async unregister(
    ...args: Parameters<ControlledDaemon["unregister"]>
  ): ReturnType<ControlledDaemon["unregister"]> {
    this.#called("unregister", args);
    const database = this.get(args[0]);
    return database && { position: database.position, error: database.error };
  }
  async startDatabase(
    ...args: Parameters<ControlledDaemon["startDatabase"]>
  ): ReturnType<ControlledDaemon["startDatabase"]> {
    this.#called("start", args);
    return { ran: this.ran, txid: 7n };
  }
  async stopDatabase(
    ...args: Parameters<ControlledDaemon["stopDatabase"]>
  ): ReturnType<ControlledDaemon["stopDatabase"]> {
    this.#called("stop", args);
    return { ran: this.ran, txid: 7n };
  }
  async snapshot(path: string): ReturnType<ControlledDaemon["snapshot"]> {
    this.#called("snapshot", [path]);
    return { txid: 7n, size: 4096 };
  }
  async sync(...args: Parameters<ControlledDaemon["sync"]>): ReturnType<ControlledDaemon["sync"]> {
    const [path, { wait = false } = {}] = args;
    this.#called("sync", [path, wait]);
    return { status: wait ? "synced" : "synced_local", txid: 7n, replicatedTxid: wait ? 7n : 6n };
  }
  #called(name: string, args: readonly unknown[]): void {
    this.calls.push([name, ...args]);
    if (this.failure !== undefined) throw this.failure;
  }
}

let daemon: FakeDaemon;
beforeEach(() => {
  daemon = new FakeDaemon();
  daemon.databases = [database()];
});

function database(changed: Partial<DaemonDatabase> = {}): DaemonDatabase {
  return {
    path: PATH,
    replicaType: "file",
    replica: "/backup",
    state: "replicating",
    error: undefined,
    position: { local: 7n, staged: 7n, replicated: 6n },
    stats: undefined,
    destinations: [],
    sizeBytes: 8192,
    walBytes: 4152,
    syncedAt: undefined,
    updatedAt: undefined,
    snapshotting: false,
    ...changed,
  };
}

async function ask(
  method: "GET" | "POST" | "PUT",
  route: string,
  body?: object | string,
): Promise<{ readonly status: number; readonly body: unknown }> {
  const app = controlRoutes(daemon, { version: "1.2.3", now: () => START + 90_500 });
  const text = typeof body === "object" ? JSON.stringify(body) : body;
  const response = await app.request(route, {
    method,
    ...(text === undefined ? {} : { body: text }),
  });
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  return { status: response.status, body: isJson ? await response.json() : await response.text() };
}

const details = { operation: "start", object: PATH, what: "it is locked" };

describe("controlRoutes()", () => {
  test("GET /info tells which daemon this is", async () => {
    const body = {
      version: "1.2.3",
      pid: process.pid,
      uptime_seconds: 90,
      started_at: "2026-11-20T12:00:00.000Z",
      database_count: 1,
    };
    expect(await ask("GET", "/info")).toEqual({ status: 200, body });
  });

  test("GET /list tells of every database in Litestream's words", async () => {
    daemon.databases = [
      database({ syncedAt: START }),
      database({ state: "resting" }),
      database({ state: "starting" }),
      database({ state: "stopped" }),
      database({ state: "waiting", error: new IoError(details) }),
    ];
    const { body } = await ask("GET", "/list");
    expect(body).toEqual({
      databases: [
        { path: PATH, status: "replicating", last_sync_at: "2026-11-20T12:00:00.000Z" },
        { path: PATH, status: "replicating" },
        { path: PATH, status: "open" },
        { path: PATH, status: "stopped" },
        { path: PATH, status: "waiting", error: `Cannot start ${PATH}: it is locked` },
      ],
    });
    daemon.databases = [];
    expect((await ask("GET", "/list")).body).toEqual({ databases: [] });
  });

  test("GET /txid tells the local TXID of one database", async () => {
    expect(await ask("GET", `/txid?path=${PATH}`)).toEqual({ status: 200, body: { txid: 7 } });
    expect(await ask("GET", "/txid")).toEqual({ status: 400, body: { error: "path required" } });
    const body = { error: "database not found" };
    expect(await ask("GET", "/txid?path=/no")).toEqual({ status: 404, body });
  });

  test("GET /debug/sync-status tells of all databases or one, and leaves out what is nothing", async () => {
    daemon.databases.push(
      database({ path: "/idle", position: { local: 7n, staged: 7n, replicated: 7n }, walBytes: 0 }),
    );
    const first = {
      path: PATH,
      active: true,
      operation: "sync",
      phase: "replicating",
      txid: 7,
      wal_size: 4152,
      last_synced_wal_offset: 4152,
    };
    const idle = { path: "/idle", active: false, txid: 7 };
    expect((await ask("GET", "/debug/sync-status")).body).toEqual({ databases: [first, idle] });
    const one = await ask("GET", "/debug/sync-status?path=/idle");
    expect(one.body).toEqual({ databases: [idle] });
    expect((await ask("GET", "/debug/sync-status?path=/no")).status).toBe(404);
  });

  test("GET /debug/sync-status tells of a running database what its replica lacks", async () => {
    const stats = { commits: 1, pages: 1, bytes: 1, files: 1, lagMs: 1500, pendingBytes: 8192 };
    daemon.databases = [database({ stats })];
    const { body } = await ask("GET", "/debug/sync-status");
    const expected = expect.objectContaining({
      lag_seconds: 1.5,
      pending_bytes: 8192,
      started_at: new Date(START + 89_000).toISOString(),
      elapsed_seconds: 1.5,
    });
    expect(body).toEqual({ databases: [expected] });
  });

  test("GET /debug/sync-status tells of a snapshot, and when there was anything to tell", async () => {
    const position = { local: 7n, staged: 7n, replicated: 7n };
    daemon.databases = [database({ position, snapshotting: true, updatedAt: START })];
    const { body } = await ask("GET", "/debug/sync-status");
    const updated_at = new Date(START).toISOString();
    const expected = expect.objectContaining({
      active: true,
      operation: "snapshot",
      snapshotting: true,
      updated_at,
    });
    expect(body).toEqual({ databases: [expected] });
  });

  test.each(["start", "stop", "sync", "snapshot", "register", "unregister"])(
    "POST /%s needs a body with a path",
    async (name) => {
      const missing = { status: 400, body: { error: "path required" } };
      expect(await ask("POST", `/${name}`, {})).toEqual(missing);
      expect(await ask("POST", `/${name}`, { path: "" })).toEqual(missing);
      for (const bad of ["x", "[]x", "null", '{"path":1}', `{"path":"/x","timeout":"1"`]) {
        const { status, body } = await ask("POST", `/${name}`, bad);
        expect(status).toBe(400);
        expect(body).toMatchObject({ error: "invalid request body", details: expect.any(String) });
      }
      expect(daemon.calls).toEqual([]);
    },
  );

  test("POST /start and /stop tell whether the database ran already", async () => {
    const of = async (route: string): Promise<unknown> =>
      (await ask("POST", route, { path: PATH, timeout: 2 })).body;
    expect(await of("/start")).toEqual({ status: "started", path: PATH, txid: 7 });
    expect(await of("/stop")).toEqual({ status: "already_stopped", path: PATH, txid: 7 });
    daemon.ran = true;
    expect(await of("/start")).toEqual({ status: "already_running", path: PATH, txid: 7 });
    expect(await of("/stop")).toEqual({ status: "stopped", path: PATH, txid: 7 });
    expect(daemon.calls).toContainEqual(["stop", PATH, { deadlineMs: 2000 }]);
  });

  test.each(["start", "stop"])(
    "POST /%s fails for an unknown database, and tells why",
    async (name) => {
      const body = { error: "database not found: /no" };
      expect(await ask("POST", `/${name}`, { path: "/no" })).toEqual({ status: 500, body });
      daemon.failure = new IoError(details);
      const failed = { status: 500, body: { error: `Cannot start ${PATH}: it is locked` } };
      expect(await ask("POST", `/${name}`, { path: PATH })).toEqual(failed);
    },
  );

  test("POST /sync tells what it came to", async () => {
    const local = { status: "synced_local", path: PATH, txid: 7, replicated_txid: 6 };
    expect(await ask("POST", "/sync", { path: PATH })).toEqual({ status: 200, body: local });
    const waited = { status: "synced", path: PATH, txid: 7, replicated_txid: 7 };
    expect((await ask("POST", "/sync", { path: PATH, wait: true, timeout: 1 })).body).toEqual(
      waited,
    );
    expect(daemon.calls).toEqual([
      ["sync", PATH, false],
      ["sync", PATH, true],
    ]);
  });

  test("POST /sync is 404 for an unknown database, and 409 for one that does not run", async () => {
    const unknown = { status: 404, body: { error: "database not found: /no" } };
    expect(await ask("POST", "/sync", { path: "/no" })).toEqual(unknown);
    daemon.failure = new ClosedError(details);
    const closed = { status: 409, body: { error: `database not open: ${PATH}` } };
    expect(await ask("POST", "/sync", { path: PATH })).toEqual(closed);
    daemon.failure = new Error("disk on fire");
    expect((await ask("POST", "/sync", { path: PATH })).status).toBe(500);
  });

  test("POST /snapshot uploads one of a database that runs", async () => {
    const take = (path: string): ReturnType<typeof ask> => ask("POST", "/snapshot", { path });
    const uploaded = { status: "uploaded", path: PATH, txid: 7, size: 4096 };
    expect(await take(PATH)).toEqual({ status: 200, body: uploaded });
    expect((await take("/no")).status).toBe(404);
    daemon.failure = new ClosedError({ operation: "snapshot", object: PATH, what: "not open" });
    expect((await take(PATH)).status).toBe(409);
  });

  test("POST /register needs a URL, and tells of a database that is registered", async () => {
    const missing = { status: 400, body: { error: "replica_url required" } };
    expect(await ask("POST", "/register", { path: "/new" })).toEqual(missing);
    const body = { path: "/new", replica_url: "file:///backup/new" };
    expect((await ask("POST", "/register", body)).body).toEqual({
      status: "registered",
      path: "/new",
    });
    expect(daemon.calls).toEqual([["register", "/new", "file:///backup/new"]]);
    const again = await ask("POST", "/register", { ...body, path: PATH });
    expect(again.body).toEqual({ status: "already_registered", path: PATH });
    daemon.failure = new InvalidArgumentError({ ...details, what: "bogus:// is no store" });
    const bad = await ask("POST", "/register", body);
    expect(bad.status).toBe(400);
    expect(bad.body).toEqual({ error: expect.stringMatching(/^invalid replica url: .*bogus/) });
  });

  test("POST /unregister tells the last TXID, and nothing of a database that is unknown", async () => {
    const known = { status: "unregistered", path: PATH, txid: 6 };
    expect((await ask("POST", "/unregister", { path: PATH })).body).toEqual(known);
    const body = { status: "already_unregistered", path: "/no", txid: 0 };
    expect(await ask("POST", "/unregister", { path: "/no" })).toEqual({ status: 200, body });
    daemon.databases = [database({ error: new IoError(details) })];
    expect((await ask("POST", "/unregister", { path: PATH })).status).toBe(500);
  });

  test("another method is 405, another route 404, both in plain text", async () => {
    expect(await ask("GET", "/start")).toEqual({ status: 405, body: "Method Not Allowed\n" });
    expect(await ask("POST", "/list", {})).toEqual({ status: 405, body: "Method Not Allowed\n" });
    expect(await ask("PUT", "/sync", {})).toMatchObject({ status: 405 });
    expect(await ask("GET", "/nope")).toEqual({ status: 404, body: "404 page not found\n" });
  });

  test("a body that is too large is refused", async () => {
    const { status } = await ask("POST", "/sync", { path: "x".repeat(2 << 20) });
    expect(status).toBe(413);
  });
});
