import { expect, test } from "vitest";
import { buildLtx } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { type FaultyStore, faultyStore } from "../testing/faulty-store.ts";
import { encryptedStore } from "../transports/encrypted.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import { encodeLease } from "./lease-object.ts";
import { encodePointer, POINTER_KEY } from "./pointer.ts";
import { openReplica } from "./replica.ts";
import { readStatus, type ReplicaStatus } from "./status.ts";

const status = (store: ObjectStore): Promise<ReplicaStatus> =>
  readStatus(openReplica(store, { platform: fakePlatform(1) }));

const pages = { 1: 1 };

async function replicaIn(store: ObjectStore): Promise<FaultyStore> {
  const files = [
    [0, buildLtx({ minTxid: 4n, pages, timestamp: 4000 })],
    [0, buildLtx({ minTxid: 5n, pages, timestamp: 5000 })],
    [9, buildLtx({ minTxid: 1n, maxTxid: 4n, pages, timestamp: 4000 })],
  ] as const;
  for (const [level, { name, bytes, timestamp }] of files) {
    const metadata = { "litestream-timestamp": formatTimestamp(timestamp) };
    await store.put(`ltx/${level}/${name}`, bytes, { metadata });
  }
  return faultyStore(store);
}

test("readStatus() tells position, levels, snapshot and lease by one listing", async () => {
  const store = await replicaIn(memoryStore());
  const record = { generation: 3, expiresAt: 9000, owner: "host:1", nonce: "n" };
  await store.put("lock.json", encodeLease(record));
  await store.put(POINTER_KEY, encodePointer([{ level: 0, minTxid: 4n, maxTxid: 4n }]));
  store.reset();
  const { levels, ...rest } = await status(store);
  expect(rest).toEqual({
    newest: { txid: 5n, time: new Date(5000) },
    snapshot: { txid: 4n, time: new Date(4000) },
    lease: { generation: 3, expiresAt: new Date(9000), owner: "host:1" },
    pointer: 4n,
    encrypted: false,
  });
  const times = { firstTime: new Date(4000), lastTime: new Date(5000) };
  expect(levels[0]).toMatchObject({ level: 0, files: 2, minTxid: 4n, maxTxid: 5n, ...times });
  expect(levels[1]).toMatchObject({ level: 9, files: 1, minTxid: 1n, maxTxid: 4n });
  expect({ all: store.count(), lists: store.count("list") }).toEqual({ all: 4, lists: 1 });
});

test("readStatus() asks for exact times where a listing does not tell them", async () => {
  const inner = memoryStore();
  await replicaIn(inner);
  const store: ObjectStore = {
    ...inner,
    capabilities: { ...inner.capabilities, metadataInList: false },
    async *list(options) {
      for await (const { metadata: _, ...info } of inner.list(options)) yield info;
    },
  };
  const { newest, snapshot, lease, pointer } = await status(store);
  expect([newest.time.getTime(), snapshot?.time.getTime()]).toEqual([5000, 4000]);
  expect([lease, pointer]).toEqual([undefined, undefined]);
});

test("readStatus() says that a replica is encrypted, with the key and without, and that a lease is none", async () => {
  const inner = memoryStore();
  const store = encryptedStore(inner, { keys: { one: new Uint8Array(32) }, keyId: "one" });
  await replicaIn(store);
  await inner.put("lock.json", new Uint8Array(3));
  for (const each of [inner, store]) {
    expect(await status(each)).toMatchObject({ encrypted: true, lease: "unreadable" });
  }
  await expect(status(memoryStore())).rejects.toMatchObject({ code: "NO_BACKUP" });
});
