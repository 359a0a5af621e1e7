import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  blockingUploader,
  bytesSink,
  type ObjectStore,
  replicate,
  type Replication,
  restore,
} from "pagestream";
import { fileStore } from "pagestream/files-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type HoldWorkerData, PUT_MODES } from "../../test/helpers/hold-worker.ts";
import { ModelDatabase } from "../../test/helpers/model-database.ts";

const DEADLINE_MS = 400;

let directory: string;
let worker: Worker;
let store: ObjectStore;
let word: Int32Array;
let database: ModelDatabase;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "pagestream-hold-"));
  store = fileStore(directory);
  database = new ModelDatabase();
  const mode = new SharedArrayBuffer(4);
  word = new Int32Array(mode);
  const workerData: HoldWorkerData = { directory, mode };
  worker = new Worker(new URL("../../test/helpers/hold-worker.ts", import.meta.url), {
    workerData,
    // Not those of the test runner.
    execArgv: [],
  });
  await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
});

afterEach(async () => {
  await worker.terminate();
  rmSync(directory, { recursive: true, force: true });
});

function start(holdDeadlineMs = DEADLINE_MS): Promise<Replication> {
  return replicate(database, store, {
    durability: "hold-block",
    blockingUploader: blockingUploader(worker),
    holdDeadlineMs,
  });
}

function puts(mode: (typeof PUT_MODES)[number]): void {
  Atomics.store(word, 0, PUT_MODES.indexOf(mode));
}

async function restored(txid?: bigint): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(store, sink, { txid });
  return sink.bytes;
}

describe("durability hold-block", () => {
  test("returns from COMMIT once the worker has had the file confirmed", async () => {
    const replication = await start();
    for (let i = 1; i <= 5; i++) {
      database.write([1, i]);
      expect(replication.position.replicated).toBe(BigInt(i));
    }
    expect(await restored()).toEqual(database.bytes);
    await replication.close();
    expect(replication.stats).toMatchObject({ commits: 5, files: 5 });
  });

  test("resolves a lost response by reading", async () => {
    const replication = await start(20_000);
    database.write([1, 2]);
    puts("lose");
    database.write([2]);
    expect(replication.position.replicated).toBe(2n);
    expect(await restored()).toEqual(database.bytes);
    await replication.close();
  });

  test("has what waits confirmed before it: files of commits that were not held", async () => {
    const replication = await start();
    database.write([1, 2, 3]);
    database.commitUnprepared([1]);
    database.write([2]);
    await replication.durable();
    expect(await restored()).toEqual(database.bytes);
    await replication.close();
  });

  for (const mode of ["hang", "swallow", "die"] as const) {
    test(`fails COMMIT after the deadline when the upload does ${mode}, and sets the replica right`, async () => {
      const replication = await start();
      database.write([1, 2, 3]);
      const before = database.bytes;
      puts(mode);
      const begun = performance.now();
      expect(() => database.write([2, 4])).toThrow(
        expect.objectContaining({ code: "OUTCOME_UNKNOWN" }),
      );
      expect(performance.now() - begun).toBeGreaterThan(DEADLINE_MS - 50);
      expect(database.bytes).toEqual(before);
      // The asking thread's own uploader finds out.
      await replication.durable();
      expect(await restored()).toEqual(before);
      expect(replication.position.replicated).toBe(mode === "swallow" ? 3n : 2n);
      puts("work");
      if (mode !== "die") {
        database.write([3, 5]);
        expect(await restored()).toEqual(database.bytes);
      }
      await replication.close();
    });
  }

  test("fails COMMIT at once when another writer has the name, and every later one", async () => {
    const replication = await start();
    database.write([1, 2]);
    await store.put("ltx/0/0000000000000002-0000000000000002.ltx", new Uint8Array(200));
    expect(() => database.write([2])).toThrow("another writer");
    await expect(replication.durable()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(() => database.write([2])).toThrow(expect.objectContaining({ code: "CONFLICT" }));
    await replication.close().catch(() => {});
  });

  test("is refused without a worker, and on a thread that must not block", async () => {
    const common = { durability: "hold-block" } as const;
    await expect(replicate(database, store, common)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    const { wait } = Atomics;
    Atomics.wait = () => {
      throw new TypeError("Atomics.wait cannot be called in this context");
    };
    try {
      await expect(start()).rejects.toMatchObject({ code: "UNSUPPORTED" });
    } finally {
      Atomics.wait = wait;
    }
  });
});
