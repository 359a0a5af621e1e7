import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { StoreError } from "../transports/errors.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { installCaptureVfs } from "../vfs/capture-vfs.ts";
import { installMemoryVfs } from "../vfs/memory-vfs.ts";
import { bytesSink } from "./bytes-sink.ts";
import { replicate } from "./replicate.ts";
import { restore } from "./restore.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3, { name: "start-within" });
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });

/** A store that can be away: every call then fails as one without a network does. */
function away(): { readonly store: ObjectStore; isAway: boolean } {
  const inner = memoryStore();
  const check = (): void => {
    const details = { operation: "reach", object: "the store", what: "it is away" };
    if (made.isAway) throw new StoreError(details, { retryable: true });
  };
  const made = {
    isAway: true,
    store: {
      ...inner,
      get: async (...call: Parameters<ObjectStore["get"]>) => (check(), await inner.get(...call)),
      put: async (...call: Parameters<ObjectStore["put"]>) => (check(), await inner.put(...call)),
      head: async (...call: Parameters<ObjectStore["head"]>) => (
        check(),
        await inner.head(...call)
      ),
      async *list(...call: Parameters<ObjectStore["list"]>) {
        check();
        yield* inner.list(...call);
      },
    },
  };
  return made;
}

const rows = (path: string): unknown => {
  const db = new sqlite3.oo1.DB(path, "c", memory.name);
  try {
    return db.selectValue("SELECT count(*) FROM note");
  } finally {
    db.close();
  }
};

test("replicate() with startWithinMs begins without a store, and brings it all once flush() finds it back", async () => {
  const net = away();
  const db = new sqlite3.oo1.DB("/offline.db", "c", vfs.name);
  db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('before')");
  await using replication = await replicate(vfs.source(db), net.store, {
    startWithinMs: 0,
    lease: false,
  });
  db.exec("INSERT INTO note VALUES ('offline')");
  const early = replication.durable().then(
    () => "durable",
    () => "failed",
  );
  // Not even what was there before is said to be safe.
  expect(await Promise.race([early, new Promise((resolve) => setTimeout(resolve, 50))])).not.toBe(
    "durable",
  );
  net.isAway = false;
  const flushed = async (): Promise<boolean> => {
    await replication.flush({ signal: AbortSignal.timeout(2000) }).catch(() => {});
    return replication.position.replicated > 0n;
  };
  await expect.poll(flushed, { timeout: 10_000 }).toBe(true);
  db.exec("INSERT INTO note VALUES ('online')");
  await replication.durable();
  const sink = bytesSink();
  await restore(net.store, sink);
  memory.write("/restored.db", sink.bytes);
  expect(rows("/restored.db")).toBe(3);
  db.close();
});

test("replicate() with startWithinMs ends while its store is away", async () => {
  const net = away();
  const db = new sqlite3.oo1.DB("/ends.db", "c", vfs.name);
  db.exec("CREATE TABLE note(body)");
  const replication = await replicate(vfs.source(db), net.store, {
    startWithinMs: 1,
    lease: false,
  });
  await expect(replication.close({ deadlineMs: 10 })).rejects.toThrow();
  db.close();
  net.isAway = false;
  // The attempt that was under way has ended with it.
  for await (const { key } of net.store.list()) expect(key).toBe("none");
});

test("replicate() with startWithinMs rejects what no store can mend, and a durability that needs one", async () => {
  const db = new sqlite3.oo1.DB("/refused.db", "c", vfs.name);
  db.exec("CREATE TABLE note(body)");
  const broken: ObjectStore = {
    ...memoryStore(),
    async *list() {
      yield* [];
      throw new StoreError({ operation: "list", object: "the store", what: "access is denied" });
    },
  };
  await expect(
    replicate(vfs.source(db), broken, { startWithinMs: 60_000, lease: false }),
  ).rejects.toThrow(/access is denied/);
  await expect(
    replicate(vfs.source(db), memoryStore(), { startWithinMs: 5, durability: "hold-retry" }),
  ).rejects.toThrow(/startWithinMs is a time/);
  db.close();
});
