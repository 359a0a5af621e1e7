/**
 * What a database of a fleet weighs while it is idle, and how far a fleet falls behind while every database commits once a
 * second: `node --expose-gc bench/fleet/run.ts [--idle N] [--pages N] [--busy N] [--seconds N] [--only idle,busy]`.
 *
 * Idle databases have been through all that was due for their last commit, by a clock that is turned: levels, snapshot,
 * removals. Their weight is what closing the fleet frees; sources, stores and what is stored are not in it. Busy ones are
 * databases of SQLite in one process, in real time, into a store in memory.
 *
 * @module
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { createFleet, type Fleet } from "../../src/api/index.ts";
import { fakePlatform } from "../../src/testing/index.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";
import { prefixedStore } from "../../src/transports/prefixed.ts";
import { installCaptureVfs } from "../../src/vfs/capture-vfs.ts";
import { installMemoryVfs } from "../../src/vfs/memory-vfs.ts";
import { describeMachine } from "../harness.ts";
import { LightSource } from "./light-source.ts";

const { values } = parseArgs({
  options: {
    idle: { type: "string", default: "10000" },
    pages: { type: "string", default: "16" },
    busy: { type: "string", default: "1000" },
    seconds: { type: "string", default: "70" },
    only: { type: "string", default: "idle,busy" },
  },
});
const only = values.only.split(",");
const HOUR = 3_600_000;
/** Accepted weight of an idle database in bytes, its page table not counted, and accepted lag in milliseconds. */
const IDLE_TARGET = 4096;
const LAG_TARGET_MS = 2_000;
/** Commits of one turn of the event loop. */
const COMMITS_AT_ONCE = 10;

console.log(describeMachine());
if (only.includes("idle")) {
  await weighIdle(100, 4);
  const count = Number(values.idle);
  const pages = Number(values.pages);
  const { bytes, requests, timers } = await weighIdle(count, pages);
  const own = bytes - 8 * pages;
  console.log(
    `idle: ${count} databases of ${pages} pages: ${bytes.toFixed(0)} bytes each, ` +
      `${own.toFixed(0)} beside the page table (at most ${IDLE_TARGET}); ` +
      `in 24 h ${requests} requests; timers ${timers}`,
  );
  if (own > IDLE_TARGET || requests > 0 || timers > 0) process.exitCode = 1;
}
if (only.includes("busy")) {
  const lagMs = await runBusy(Number(values.busy), Number(values.seconds) * 1_000);
  if (lagMs > LAG_TARGET_MS) process.exitCode = 1;
}

/** A store that tells of each call, and keeps nothing of it. */
function counting(store: ObjectStore, called: () => void): ObjectStore {
  return {
    ...store,
    get: (...args) => (called(), store.get(...args)),
    put: (...args) => (called(), store.put(...args)),
    head: (...args) => (called(), store.head(...args)),
    delete: (...args) => (called(), store.delete(...args)),
    deleteOne: (...args) => (called(), store.deleteOne(...args)),
    list: (...args) => (called(), store.list(...args)),
  };
}

/** Bytes in use after everything unused is gone. */
function heap(): number {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Run with node --expose-gc");
  for (let i = 0; i < 4; i++) gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function weighIdle(
  count: number,
  pages: number,
): Promise<{ readonly bytes: number; readonly requests: number; readonly timers: number }> {
  const platform = fakePlatform(1);
  const { clock } = platform;
  let asked = 0;
  const bucket = counting(memoryStore({ platform }), () => asked++);
  const members = Array.from({ length: count }, (_, i) => ({
    source: new LightSource(`d${i}`, pages),
    store: prefixedStore(bucket, `d${i}`),
  }));
  let fleet: Fleet | undefined = createFleet({ platform });
  // What `register` resolves with must be held by nobody but the fleet.
  const register = async ({ source, store }: (typeof members)[number]): Promise<void> =>
    void (await fleet!.register(source.name, source, store));
  await turned(Promise.all(members.map(register)));
  await turned(fleet.flush());
  for (const { source } of members) source.write();
  await turned(fleet.flush());
  for (let hour = 0; hour < 49; hour++) await clock.advanceAsync(HOUR);
  asked = 0;
  await clock.advanceAsync(24 * HOUR);
  const requests = asked;
  const timers = clock.pending;
  const before = heap();
  await turned(fleet.close());
  fleet = undefined;
  return { bytes: (before - heap()) / members.length, requests, timers };

  async function turned<T>(promise: Promise<T>): Promise<T> {
    const state = { settled: false };
    const settle = (): void => void (state.settled = true);
    promise.then(settle, settle);
    while (!state.settled) await clock.advanceAsync(Math.min(clock.nextDelay ?? 0, 1_000));
    return await promise;
  }
}

async function runBusy(count: number, lengthMs: number): Promise<number> {
  const sqlite3 = await sqlite3InitModule();
  const capture = installCaptureVfs(sqlite3, { parent: installMemoryVfs(sqlite3).name });
  const bucket = memoryStore();
  const fleet = createFleet();
  const databases = Array.from({ length: count }, (_, i) => {
    const db = new sqlite3.oo1.DB(`file:/d${i}.db?vfs=${capture.name}`, "c");
    db.exec("PRAGMA cache_size = 16; PRAGMA journal_mode = TRUNCATE");
    db.exec("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)");
    return { db, insert: db.prepare("INSERT INTO note(body) VALUES (?)") };
  });
  const started = performance.now();
  await Promise.all(
    databases.map(({ db }, i) =>
      fleet.register(`d${i}`, capture.source(db), prefixedStore(bucket, `d${i}`)),
    ),
  );
  await fleet.flush();
  const startMs = performance.now() - started;

  const lags: number[] = [];
  const turns = monitorEventLoopDelay({ resolution: 1 });
  turns.enable();
  const begin = performance.now();
  const cpu = process.cpuUsage();
  const filesBefore = fleet.status().files;
  let commits = 0;
  while (performance.now() - begin < lengthMs) {
    // Each database has its moment in every second.
    const due = Math.floor(((performance.now() - begin) * count) / 1_000);
    // Applications do not commit in one go what they missed: the event loop turns in between.
    for (let i = 0; i < COMMITS_AT_ONCE && commits < due; i++, commits++) {
      const { insert } = databases[commits % count]!;
      insert.bind([`commit ${commits}`]).stepReset();
    }
    lags.push(fleet.status().lagMs);
    const isLate = commits < due;
    await new Promise((resolve) => (isLate ? setImmediate(resolve) : setTimeout(resolve, 5)));
  }
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - begin) / 1_000;
  turns.disable();
  const files = fleet.status().files - filesBefore;
  lags.sort((a, b) => a - b);
  const lagMs = lags.at(-1) ?? 0;
  const at = (share: number): string => (lags[Math.floor(lags.length * share)] ?? 0).toFixed(0);
  console.log(
    `busy: ${count} databases, ${(commits / seconds).toFixed(0)} commits/s for ${seconds.toFixed(0)} s: ` +
      `largest lag of any database ${lagMs.toFixed(0)} ms (at most ${LAG_TARGET_MS}), ` +
      `median ${at(0.5)} ms, 99 % ${at(0.99)} ms; longest turn of the event loop ` +
      `${(turns.max / 1e6).toFixed(0)} ms; ${files} files; ` +
      `${((user + system) / 1e6 / seconds).toFixed(2)} cores; started in ${(startMs / 1_000).toFixed(1)} s`,
  );
  await fleet.close();
  for (const { db, insert } of databases) {
    insert.finalize();
    db.close();
  }
  return lagMs;
}
