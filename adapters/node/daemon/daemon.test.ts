/** @module */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesSink, InvalidArgumentError, IoError, type ObjectStore, restore } from "pagestream";
import { fakePlatform, faultyStore, storeFault } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ModelDatabase } from "../../../test/helpers/model-database.ts";
import type { Config, DatabaseConfig, DirectoryConfig } from "../config/config.ts";
import { Daemon } from "./daemon.ts";
import type { SourceEvents } from "./member.ts";
import type { DaemonEvent } from "./status.ts";

/** A database whose pages a test writes, as the daemon opens it. */
class Source extends ModelDatabase {
  readonly walBytes = 4152;
  closed = false;
  async close(): Promise<void> {
    this.closed = true;
  }
}

let root: string;
let platform: ReturnType<typeof fakePlatform>;
let stores: Map<string, ObjectStore>;
let sources: Map<string, Source[]>;
let openError: Error | undefined;
let tell: SourceEvents;
let daemon: Daemon;
let events: DaemonEvent[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pagestream-daemon-"));
  platform = fakePlatform(1);
  stores = new Map();
  sources = new Map();
  openError = undefined;
  events = [];
});
afterEach(async () => {
  await run(daemon.close({ deadlineMs: 0 }));
  rmSync(root, { recursive: true, force: true });
});

function database(path: string): DatabaseConfig {
  return {
    path,
    metaPath: `${path}-state`,
    replica: { type: "file", name: path.replace(root, "/backup"), keys: { path } },
    otherReplicas: [],
    restoreIfMissing: false,
    walLimit: undefined,
    options: { groupMs: 10, lease: false },
  };
}

/** The file that stands for a database, and its configuration. */
function made(name: string): DatabaseConfig {
  const path = join(root, name);
  writeFileSync(path, "x");
  return database(path);
}

function begin(changed: Partial<Config>): Daemon {
  const config: Config = {
    path: undefined,
    notices: [],
    addr: undefined,
    healthAddr: undefined,
    healthMaxLagMs: 60_000,
    socket: { enabled: false, path: "", permissions: 0o600 },
    exec: undefined,
    validationIntervalMs: undefined,
    heartbeat: undefined,
    shutdown: { timeoutMs: 30_000, intervalMs: 500 },
    logging: { level: "info", type: "text", stderr: undefined, source: false },
    requestsPerHour: undefined,
    stateFile: undefined,
    databases: [],
    directories: [],
    database(path, replica) {
      if (replica.startsWith("bogus:")) {
        throw new InvalidArgumentError({
          operation: "use",
          object: "bogus",
          what: "it is no store",
        });
      }
      return database(path);
    },
    ...changed,
  };
  daemon = new Daemon(config, {
    platform,
    open(each, told) {
      if (openError !== undefined) throw openError;
      tell = told;
      const source = new Source();
      sources.set(each.path, [...(sources.get(each.path) ?? []), source]);
      return source;
    },
    openStore: async ({ keys }) => storeOf(String(keys.path)),
  });
  daemon.subscribe((event) => events.push(event));
  return daemon;
}

function storeOf(path: string): ObjectStore {
  const store = stores.get(path) ?? memoryStore();
  stores.set(path, store);
  return store;
}

function sourceOf({ path }: DatabaseConfig): Source {
  return sources.get(path)?.at(-1) as Source;
}

/** Lets time pass until a promise has settled. */
async function run<T>(work: Promise<T>): Promise<T> {
  const outcome: unknown[] = [];
  const settled = (): unknown => outcome.push(true);
  work.then(settled, settled);
  for (let i = 0; i < 10_000 && outcome.length === 0; i++) {
    await new Promise(setImmediate);
    await platform.clock.advanceAsync(10);
  }
  return await work;
}

async function replicaOf({ path }: DatabaseConfig): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(storeOf(path), sink);
  return sink.bytes;
}

const types = (): readonly string[] => events.map(({ type }) => type);

describe("Daemon", () => {
  test("start() replicates every database, and close() uploads what is left", async () => {
    const [a, b] = [made("a.db"), made("b.db")];
    await run(begin({ databases: [a, b] }).start());
    sourceOf(a).write([1, 2]);
    sourceOf(b).write([1]);
    expect(daemon.size).toBe(2);
    expect(daemon.get(a.path)).toMatchObject({
      path: a.path,
      replicaType: "file",
      replica: "/backup/a.db",
      state: "replicating",
      sizeBytes: 1024,
      walBytes: 4152,
    });
    const ends = await run(daemon.close());
    expect(ends).toEqual([
      { path: a.path, position: expect.objectContaining({ replicated: 1n }), error: undefined },
      { path: b.path, position: expect.objectContaining({ replicated: 1n }), error: undefined },
    ]);
    expect(await replicaOf(a)).toEqual(sourceOf(a).bytes);
    expect(sourceOf(a).closed).toBe(true);
  });

  test("get() tells when anything was last told of a database, and of a snapshot under way", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    sourceOf(a).write([1, 2]);
    await run(daemon.sync(a.path, { wait: true }));
    const before = daemon.get(a.path)?.updatedAt ?? 0;
    await platform.clock.advanceAsync(1_000);
    expect(daemon.get(a.path)).toMatchObject({ updatedAt: before, snapshotting: false });
    const snapshot = daemon.snapshot(a.path);
    expect(daemon.get(a.path)?.snapshotting).toBe(true);
    await run(snapshot);
    expect(daemon.get(a.path)?.snapshotting).toBe(false);
    expect(daemon.get(a.path)?.updatedAt).toBeGreaterThan(before);
  });

  test("subscribe() tells of the checkpoints that are made for a database", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    const checkpoint = { mode: "PASSIVE", durationMs: 5, error: undefined } as const;
    tell.onCheckpoint(checkpoint);
    expect(events.at(-1)).toEqual({ type: "checkpoint", database: a.path, ...checkpoint });
  });

  test("a warning of whoever follows the database is an event of it", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    const error = new IoError({ operation: "watch", object: a.path, what: "no watches are left" });
    tell.onWarning(error);
    expect(events.at(-1)).toEqual({ type: "warning", database: a.path, error });
  });

  test("a database that is not there is waited for, and is no failure at the end", async () => {
    const [a, b] = [database(join(root, "a.db")), database(join(root, "b.db"))];
    await run(begin({ databases: [a, b] }).start());
    expect(daemon.get(a.path)).toMatchObject({ state: "waiting", error: { code: "IO" } });
    made("a.db");
    await platform.clock.advanceAsync(1_000);
    await run(vi.waitFor(() => expect(daemon.get(a.path)?.state).toBe("replicating")));
    expect(await run(daemon.close())).toMatchObject([{ error: undefined }, { error: undefined }]);
  });

  test("a database that cannot be opened is tried again after ever longer pauses", async () => {
    const a = made("a.db");
    openError = new IoError({ operation: "open", object: a.path, what: "it is locked" });
    await run(begin({ databases: [a] }).start());
    expect(daemon.get(a.path)).toMatchObject({ state: "waiting", error: openError });
    await platform.clock.advanceAsync(8_000);
    const pauses = events.map((event) => (event.type === "waiting" ? event.retryMs : undefined));
    expect(pauses.filter((pause) => pause !== undefined)).toEqual([1000, 2000, 4000, 8000]);
    openError = undefined;
    expect(await run(daemon.startDatabase(a.path))).toEqual({ ran: false, txid: 0n });
    expect(daemon.get(a.path)).toMatchObject({ state: "replicating", error: undefined });
  });

  test("close() tries what has never started until the deadline, and tells what it came to", async () => {
    const [a, b] = [made("a.db"), made("b.db")];
    openError = new IoError({ operation: "open", object: a.path, what: "it is locked" });
    await run(begin({ databases: [a, b] }).start());
    const closing = daemon.close({ deadlineMs: 5_000 });
    await platform.clock.advanceAsync(3_000);
    rmSync(b.path);
    await platform.clock.advanceAsync(3_000);
    expect(await run(closing)).toMatchObject([
      { path: a.path, error: openError },
      { error: undefined },
    ]);
  });

  test("close() tells of a database whose replica refuses to the end", async () => {
    const [a, b] = [made("a.db"), made("b.db")];
    let refuses = false;
    const refusing = faultyStore(memoryStore(), {
      fault: () => (refuses ? { before: storeFault("no route") } : undefined),
    });
    stores.set(a.path, refusing);
    await run(begin({ databases: [a, b] }).start());
    refuses = true;
    sourceOf(a).write([1]);
    sourceOf(b).write([1]);
    const ends = await run(daemon.close({ deadlineMs: 5_000 }));
    expect(ends[0]).toMatchObject({ path: a.path, error: { message: expect.any(String) } });
    expect(ends[1]).toMatchObject({ path: b.path, error: undefined });
  });

  test("sync() tells whether there was anything to take, and can wait for the replica", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    expect(await run(daemon.sync(a.path))).toMatchObject({ status: "no_change", txid: 0n });
    sourceOf(a).write([1]);
    expect(await daemon.sync(a.path)).toEqual({
      status: "synced_local",
      txid: 1n,
      replicatedTxid: 0n,
    });
    const waited = { status: "synced", txid: 1n, replicatedTxid: 1n };
    expect(await run(daemon.sync(a.path, { wait: true }))).toEqual(waited);
    const again = { ...waited, status: "no_change" };
    expect(await run(daemon.sync(a.path, { wait: true }))).toEqual(again);
    await expect(daemon.sync("/no")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("stopDatabase() lets go of the database, and startDatabase() continues", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    sourceOf(a).write([1]);
    expect(await run(daemon.stopDatabase(a.path))).toEqual({ ran: true, txid: 1n });
    expect(sourceOf(a).closed).toBe(true);
    expect(daemon.get(a.path)).toMatchObject({ state: "stopped", position: { replicated: 1n } });
    expect(await run(daemon.stopDatabase(a.path))).toEqual({ ran: false, txid: 1n });
    await expect(daemon.sync(a.path)).rejects.toMatchObject({ code: "CLOSED" });
    expect(await run(daemon.startDatabase(a.path))).toMatchObject({ ran: false });
    expect(await run(daemon.startDatabase(a.path))).toMatchObject({ ran: true });
    expect(sources.get(a.path)).toHaveLength(2);
    expect(types()).toEqual(expect.arrayContaining(["registered", "started", "stopped"]));
  });

  test("a database that can no longer be observed is opened anew", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    sourceOf(a).write([1]);
    sourceOf(a).lose(new IoError({ operation: "follow", object: a.path, what: "it was replaced" }));
    await run(vi.waitFor(() => expect(sources.get(a.path)).toHaveLength(2)));
    await run(vi.waitFor(() => expect(daemon.get(a.path)?.state).toBe("replicating")));
    expect(sources.get(a.path)?.[0]?.closed).toBe(true);
  });

  test("register() keeps a database for the next start, and unregister() forgets it", async () => {
    const stateFile = join(root, "state.json");
    const { path } = made("a.db");
    await run(begin({ stateFile }).start());
    expect(daemon.register(path, "file:///backup/a")).toBe("registered");
    expect(daemon.register(path, "file:///backup/a")).toBe("already_registered");
    expect(() => daemon.register("/other", "bogus://x")).toThrow(/it is no store/);
    expect(daemon.size).toBe(1);
    await run(daemon.close());
    await run(begin({ stateFile }).start());
    expect(daemon.get(path)?.state).toBe("replicating");
    sourceOf(database(path)).write([1]);
    const end = await run(daemon.unregister(path));
    expect(end).toMatchObject({ position: { replicated: 1n }, error: undefined });
    expect(daemon.get(path)).toBeUndefined();
    expect(await daemon.unregister(path)).toBeUndefined();
    await run(daemon.close());
    await run(begin({ stateFile }).start());
    expect(daemon.size).toBe(0);
  });

  test("a directory gives its databases, those that come later, and loses those that go", async () => {
    const dir = join(root, "tenants");
    mkdirSync(dir);
    const directory: DirectoryConfig = {
      dir,
      pattern: "*.db",
      recursive: true,
      watch: true,
      members: () => [made("tenants/a.db")],
      memberAt: (path) =>
        path.endsWith(".db") && statSync(path).isFile() ? database(path) : undefined,
    };
    await run(begin({ directories: [directory] }).start());
    expect(daemon.get(join(dir, "a.db"))?.state).toBe("replicating");
    mkdirSync(join(dir, "below"));
    const later = made("tenants/below/b.db");
    writeFileSync(join(dir, "below/notes.txt"), "x");
    await run(vi.waitFor(() => expect(daemon.get(later.path)?.state).toBe("replicating")));
    expect(daemon.size).toBe(2);
    rmSync(join(dir, "below"), { recursive: true });
    await run(vi.waitFor(() => expect(daemon.size).toBe(1)));
    expect(events).toContainEqual({
      type: "unregistered",
      database: later.path,
      replica: "/backup/tenants/below/b.db",
    });
  });

  test("nothing is done once it closes", async () => {
    const a = made("a.db");
    await run(begin({ databases: [a] }).start());
    await run(daemon.close());
    expect(() => daemon.register("/x", "file:///x")).toThrow(/shutting down/);
    await expect(daemon.startDatabase(a.path)).rejects.toMatchObject({ code: "CLOSED" });
    await platform.clock.advanceAsync(600_000);
    expect(platform.clock.pending).toBe(0);
  });
});
