import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { isEncrypted } from "../core/encryption-mark.ts";
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { collect, difference, readBody } from "../testing/test-kit.ts";
import { encryptedStore } from "../transports/encrypted.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { bytesFollowTarget } from "../replica/follow-bytes.ts";
import { bytesSink } from "./bytes-sink.ts";
import { compact } from "./compact.ts";
import { follow } from "./follow.ts";
import { memoryDrill } from "./memory-drill.ts";
import { openReplicated, type ReplicatedDatabase } from "./open-replicated.ts";
import { restore } from "./restore.ts";
import { retain } from "./retain.ts";
import { verify, type VerifyReport } from "./verify.ts";

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;

/** A new wasm instance is what a new process has: its memory is empty. */
async function open(replica: ObjectStore): Promise<ReplicatedDatabase<Sqlite3>> {
  return await openReplicated({ sqlite3: await sqlite3InitModule(), path: "app.db", replica });
}

test("an encrypted replica is written, continued, followed, compacted and pruned, and restores after each, answers lost included", async () => {
  const inner = faultyStore(memoryStore());
  const store = encryptedStore(inner, { keys: { one: new Uint8Array(32) }, keyId: "one" });
  const first = await open(store);
  first.db.exec("CREATE TABLE note(body)");
  await first.replication.durable();
  for (let i = 0; i < 5; i++) {
    first.db.exec(`INSERT INTO note VALUES (zeroblob(${100_000 + i}))`);
    inner.failNext("put", { after: storeFault() });
    await first.replication.durable();
  }
  await first.replication.snapshot();
  await first.close();

  const copy = bytesFollowTarget();
  const follower = await follow(store, copy);
  const second = await open(store);
  expect(second.restored?.newestTxid).toBeGreaterThanOrEqual(6n);
  second.db.exec("INSERT INTO note VALUES ('continued')");
  await second.replication.durable();
  expect(await follower.poll()).toBe(second.replication.position.replicated);
  await follower.close();
  const sink = bytesSink();
  await restore(store, sink);
  expect(difference(copy.bytes, sink.bytes)).toBe("");
  await second.close();

  const drill = async (): Promise<VerifyReport> =>
    await verify(store, {
      restore: memoryDrill(await sqlite3InitModule()),
      probes: [{ sql: "SELECT count(*) FROM note", expected: 6 }],
    });
  const levelsOf = (report: VerifyReport): number[] => report.levels.map(({ level }) => level);
  const report = await drill();
  expect(report).toMatchObject({ sound: true, encrypted: "all" });
  expect(levelsOf(report)).toEqual([0, 9]);
  await compact(store);
  const compacted = await drill();
  expect(compacted.faults).toEqual([]);
  expect(levelsOf(compacted)).toEqual([0, 1, 2, 3, 9]);
  const { clock } = webPlatform;
  const later = { ...webPlatform, clock: { ...clock, now: () => clock.now() + 48 * 3_600_000 } };
  await retain(store, { platform: later });
  const retained = await drill();
  expect(retained.faults).toEqual([]);
  expect(retained.levels[0]).toMatchObject({ level: 0, files: 1 });
  for (const { key } of await collect(inner.list())) {
    const { body } = await inner.get(key, { length: 7 });
    expect({ key, encrypted: isEncrypted(await readBody(body)) }).toEqual({ key, encrypted: true });
  }
});
