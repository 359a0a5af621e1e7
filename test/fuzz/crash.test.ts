/**
 * A process that replicates a database dies at a random file call, of itself or with the power, again and again. What
 * was confirmed must be in the replica, what is in the replica must restore, and the next life must go on.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { openReplicated } from "../../src/api/open-replicated.ts";
import { restore } from "../../src/api/restore.ts";
import { webPlatform } from "../../src/api/web-platform.ts";
import type { Platform } from "../../src/core/platform.ts";
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import { type MemorySyncFiles, memorySyncFiles } from "../../src/testing/memory-sync-files.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { memoryStore } from "../../src/transports/memory.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";

// PAGESTREAM_SEED replays one seed; PAGESTREAM_BUDGET_MS is the time of each kind of crash.
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";
const budgetMs = Number(process.env["PAGESTREAM_BUDGET_MS"] ?? (nightly ? 600_000 : 20_000)) / 2;
const replay = process.env["PAGESTREAM_SEED"];
const LEAST_SEEDS = 4;
const LIVES = 4;
const PATH = "/data/app.db";

/** A new wasm instance: what a new process has. */
async function newSqlite3() {
  const sqlite3 = await sqlite3InitModule();
  const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
  quiet.config.warn = quiet.config.error = () => {};
  return sqlite3;
}

/** A store and a platform that end with a process: after `kill` nothing is sent and no timer rings. */
function mortal(store: ObjectStore) {
  const life = { alive: true };
  const never = new Promise<never>(() => {});
  const wrapped: ObjectStore = {
    ...store,
    put: (...args) => (life.alive ? store.put(...args) : never),
    get: (...args) => (life.alive ? store.get(...args) : never),
    head: (...args) => (life.alive ? store.head(...args) : never),
  };
  const platform: Platform = {
    ...webPlatform,
    clock: {
      ...webPlatform.clock,
      schedule: (callback, delayMs) =>
        webPlatform.clock.schedule(() => life.alive && callback(), delayMs),
    },
  };
  return { store: wrapped, platform, kill: () => void (life.alive = false) };
}

async function restored(store: ObjectStore): Promise<Uint8Array> {
  const sink = bytesSink();
  await restore(store, sink, { position: false });
  return sink.bytes;
}

/** The number of rows in the newest state of the replica, which must be sound. */
async function restoredRows(store: ObjectStore): Promise<number> {
  const sqlite3 = await newSqlite3();
  const app = await openReplicated({ sqlite3, path: PATH, replica: store });
  expect(app.db.selectValue("PRAGMA integrity_check")).toBe("ok");
  return app.db.selectValue("SELECT count(*) FROM note") as number;
}

async function lives(kind: "process" | "power", seed: number): Promise<void> {
  const random = seededRandom(seed * 1_000 + kind.length);
  const replica = memoryStore();
  const calls = { left: Number.POSITIVE_INFINITY };
  const files: MemorySyncFiles = memorySyncFiles({
    onOperation: () => {
      if (--calls.left < 0) throw new Error("the machine is gone");
    },
  });
  files.makeDirectory("/data");
  files.syncDirectory("/");
  let confirmed = 0;
  for (let life = 0; life < LIVES; life++) {
    calls.left = Number.POSITIVE_INFINITY;
    const { store, platform, kill } = mortal(replica);
    const sqlite3 = await newSqlite3();
    const app = await openReplicated({
      sqlite3,
      files,
      path: PATH,
      replica: store,
      platform,
      groupMs: 0,
    });
    app.db.exec("CREATE TABLE IF NOT EXISTS note(body)");
    let rows = app.db.selectValue("SELECT count(*) FROM note") as number;
    expect(rows).toBeGreaterThanOrEqual(confirmed);
    await app.replication.durable();
    expect(await restored(replica)).toEqual(files.bytes(PATH));
    calls.left = 20 + random.int(400);
    try {
      for (let i = 0; i < 60; i++) {
        app.db.exec(`INSERT INTO note VALUES (randomblob(${random.int(6_000)}))`);
        rows++;
        if (random.int(3) > 0) continue;
        await app.replication.durable();
        confirmed = rows;
      }
    } catch {
      // The crash.
    }
    kill();
    files.crash(kind, random);
    calls.left = Number.POSITIVE_INFINITY;
    expect(await restoredRows(replica)).toBeGreaterThanOrEqual(confirmed);
  }
}

for (const kind of ["process", "power"] as const) {
  const timeout = Math.max(60_000, 4 * budgetMs);
  test(`a ${kind} crash at any file call loses nothing confirmed`, { timeout }, async () => {
    const end = performance.now() + budgetMs;
    const first = replay === undefined ? 1 : Number(replay);
    let seed = first;
    for (; ; seed++) {
      const enough = replay === undefined ? LEAST_SEEDS : 1;
      if (seed - first >= enough && (replay !== undefined || performance.now() > end)) break;
      await lives(kind, seed).catch((error: unknown) => {
        throw new Error(`seed ${seed}: replay with PAGESTREAM_SEED=${seed}`, { cause: error });
      });
    }
    console.log(`${kind}: seeds ${first}..${seed - 1}, ${(seed - first) * LIVES} crashes`);
  });
}
