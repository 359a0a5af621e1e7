import { describe, expect, test } from "vitest";
import { buildLtx } from "../testing/build-ltx.ts";
import { FAKE_START } from "../testing/fake-clock.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { deleteReplicaFiles } from "./delete-replica.ts";
import type { DamagedFileError } from "./errors.ts";
import { type LtxFileInfo, Replica, openReplica } from "./replica.ts";
import { listRestorePoints } from "./list-restore-points.ts";

const platform = fakePlatform(1);

function replicaOf(store: ObjectStore): Replica {
  return openReplica(store, { platform, retry: { attempts: 1, baseMs: 0, capMs: 0, budgetMs: 0 } });
}

function write(replica: Replica, level: number, min: number, max = min): Promise<LtxFileInfo> {
  const built = buildLtx({
    pageSize: 512,
    minTxid: BigInt(min),
    maxTxid: BigInt(max),
    pages: { 1: { seed: max }, 2: { seed: 2 } },
  });
  const { minTxid, maxTxid, timestamp, bytes } = built;
  return replica.write({ level, minTxid, maxTxid, timestamp: BigInt(timestamp) }, bytes);
}

async function* bodyOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

describe("Replica", () => {
  test.each([
    [
      "directory",
      "ltx/0/0000000000000001-0000000000000001.ltx",
      "ltx/9/0000000000000001-00000000000000ff.ltx",
    ],
    [
      "hex",
      "0000/0000000000000001-0000000000000001.ltx",
      "0009/0000000000000001-00000000000000ff.ltx",
    ],
  ] as const)("Replica lays out keys for a %s store", async (layout, level0, level9) => {
    const store: ObjectStore = { ...memoryStore(), layout };
    const replica = replicaOf(store);
    await write(replica, 0, 1);
    await write(replica, 9, 1, 255);
    expect((await replica.files(0)).map((f) => f.key)).toEqual([level0]);
    expect((await replica.files(9)).map((f) => f.key)).toEqual([level9]);
    expect((await store.head(level0)).metadata).toEqual({
      "litestream-timestamp": "2026-01-01T00:00:01Z",
    });
  });

  test("Replica.files() sorts by range and skips what is no LTX file", async () => {
    const store = memoryStore();
    const replica = replicaOf(store);
    for (const [min, max] of [
      [3, 3],
      [1, 9],
      [1, 2],
      [10, 10],
    ] as const)
      await write(replica, 1, min, max);
    for (const name of [
      "0000000000000001-0000000000000001.ltx.tmp",
      "000000000000000A-000000000000000A.ltx",
      "0000000000000001.ltx",
      "sub/0000000000000001-0000000000000001.ltx",
    ]) {
      await store.put(`ltx/1/${name}`, new Uint8Array(200));
    }
    const ranges = (await replica.files(1)).map((f) => `${f.minTxid}-${f.maxTxid}`);
    expect(ranges).toEqual(["1-2", "1-9", "3-3", "10-10"]);
  });

  test("Replica.files() begins at a first TXID", async () => {
    const replica = replicaOf(memoryStore());
    for (const [min, max] of [
      [1, 9],
      [4, 4],
      [5, 5],
      [16, 20],
    ] as const)
      await write(replica, 1, min, max);
    const from = async (txid: bigint): Promise<bigint[]> =>
      (await replica.files(1, { from: txid })).map((f) => f.minTxid);
    expect(await from(5n)).toEqual([5n, 16n]);
    expect(await from(6n)).toEqual([16n]);
    expect(await from(17n)).toEqual([]);
  });

  test("Replica.files() asks each object for its time only where the listing does not tell and it is wanted", async () => {
    const inner = memoryStore();
    await write(replicaOf(inner), 0, 1);
    const received = new Date(FAKE_START + 99_000);
    const store = faultyStore({
      ...inner,
      capabilities: { ...inner.capabilities, metadataInList: false },
      async *list(options) {
        for await (const info of inner.list(options))
          yield { ...info, lastModified: received, metadata: undefined };
      },
    });
    expect((await replicaOf(store).files(0))[0]?.time).toEqual(received);
    expect(store.count("head")).toBe(0);
    expect((await replicaOf(store).files(0, { exactTimes: true }))[0]?.time).toEqual(
      new Date(FAKE_START + 1000),
    );
    expect(store.count("head")).toBe(1);
    const exact = faultyStore(inner);
    expect((await replicaOf(exact).files(0, { exactTimes: true }))[0]?.time).toEqual(
      new Date(FAKE_START + 1000),
    );
    expect(exact.count("head")).toBe(0);
  });

  test("Replica.files() leaves out a file that was removed before its time could be asked for", async () => {
    const inner = memoryStore();
    await write(replicaOf(inner), 0, 1);
    await write(replicaOf(inner), 0, 2);
    const store: ObjectStore = {
      ...inner,
      capabilities: { ...inner.capabilities, metadataInList: false },
      async *list(options) {
        for await (const info of inner.list(options)) yield { ...info, metadata: undefined };
        await inner.delete(["ltx/0/0000000000000001-0000000000000001.ltx"]);
      },
    };
    const files = await replicaOf(store).files(0, { exactTimes: true });
    expect(files.map((f) => f.minTxid)).toEqual([2n]);
  });

  test("Replica.position() is the maximum over all levels", async () => {
    const replica = replicaOf(memoryStore());
    expect(await replica.position()).toMatchObject({ maxTxid: 0n, newestL0: undefined });
    await write(replica, 0, 1);
    await write(replica, 0, 2);
    await write(replica, 1, 1, 5);
    const position = await replica.position();
    expect(position.maxTxid).toBe(5n);
    expect(position.newestL0?.maxTxid).toBe(2n);
    expect(position.maxByLevel).toEqual([2n, 5n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  });

  test("Replica.write() never overwrites", async () => {
    const replica = replicaOf(memoryStore());
    await write(replica, 0, 1);
    const again = write(replica, 0, 1);
    await expect(again).rejects.toMatchObject({ code: "PRECONDITION_FAILED" });
  });

  test("Replica.write() tells what it wrote, as a listing would", async () => {
    const replica = replicaOf(memoryStore());
    const written = await write(replica, 0, 1);
    expect((await replica.files(0))[0]).toEqual(written);
    const file = { level: 0, minTxid: 2n, maxTxid: 2n, timestamp: 1_500n };
    const streamed = await replica.write(file, bodyOf(new Uint8Array(100), new Uint8Array(60)));
    expect(streamed).toMatchObject({ size: 160, time: new Date(1500) });
    expect((await replica.files(0))[1]).toEqual(streamed);
  });

  test("Replica.write() repeats a body that can be repeated, and only that", async () => {
    const retrying = (store: ObjectStore): Replica =>
      new Replica(store, {
        platform: {
          ...platform,
          clock: { ...platform.clock, schedule: (call) => (setImmediate(call), () => {}) },
        },
      });
    const file = { level: 0, minTxid: 1n, maxTxid: 1n, timestamp: 0n };
    const store = faultyStore(memoryStore());
    store.failNext("put", { before: storeFault() });
    const body = (): AsyncGenerator<Uint8Array> => bodyOf(new Uint8Array(50));
    expect((await retrying(store).write(file, body)).size).toBe(50);
    store.failNext("put", { before: storeFault() });
    const once = retrying(store).write({ ...file, minTxid: 2n, maxTxid: 2n }, body());
    await expect(once).rejects.toMatchObject({ code: "STORE" });
    expect(store.count("put")).toBe(3);
  });

  test("Replica.read() gives exactly the bytes asked for", async () => {
    const store = memoryStore();
    const replica = replicaOf(store);
    const file = await write(replica, 0, 1);
    const whole = await replica.read(file);
    expect(whole).toHaveLength(file.size);
    expect(await replica.read(file, { offset: 3, length: 7 })).toEqual(whole.subarray(3, 10));
    expect(await replica.read(file, { offset: file.size })).toHaveLength(0);
    await expect(replica.read(file, { offset: 1, length: file.size })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(replica.read(file, { offset: -1 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });

  test("Replica.read() refuses a file that was replaced after it was listed", async () => {
    const store = memoryStore();
    const replica = replicaOf(store);
    const file = await write(replica, 0, 1);
    await store.put(file.key, await replica.read(file));
    const error = await replica.read(file).catch((e: unknown) => e);
    expect((error as DamagedFileError).file).toBe(file.key);
    await store.put(file.key, new Uint8Array(50));
    await expect(replica.read({ ...file, etag: "" })).rejects.toMatchObject({
      code: "DAMAGED_FILE",
    });
  });

  test("Replica.open() reads a range and knows the whole size", async () => {
    const replica = replicaOf(memoryStore());
    const file = await write(replica, 0, 1);
    const result = await replica.open(file, { offset: 0, length: 4 });
    const { value } = await result.body.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("LTX1");
    expect(result.size).toBe(file.size);
  });

  test("Replica.pageIndex() tells where the pages are", async () => {
    const replica = replicaOf(memoryStore());
    const index = await replica.pageIndex(await write(replica, 0, 1));
    expect([...index.pgnos]).toEqual([1, 2]);
    expect(index.offsets[0]).toBe(100);
  });

  test("openReplica() passes a replica through", () => {
    const replica = replicaOf(memoryStore());
    expect(openReplica(replica, { platform })).toBe(replica);
  });
});

describe("listRestorePoints()", () => {
  test("listRestorePoints() lists the newest first", async () => {
    const replica = replicaOf(memoryStore());
    for (const [level, min, max] of [
      [9, 1, 2],
      [0, 3, 3],
      [0, 4, 4],
      [1, 3, 4],
      [0, 9, 9],
    ] as const) {
      await write(replica, level, min, max);
    }
    const points = await listRestorePoints(replica);
    expect(points.map((p) => [p.txid, p.level, p.time.getTime()])).toEqual([
      [4n, 1, FAKE_START + 4000],
      [3n, 0, FAKE_START + 3000],
      [2n, 9, FAKE_START + 2000],
    ]);
  });
});

describe("deleteReplicaFiles()", () => {
  test("deleteReplicaFiles() wants the description, and removes LTX files alone", async () => {
    const store = memoryStore({ description: "memory of ours" });
    const replica = replicaOf(store);
    await write(replica, 0, 1);
    await write(replica, 9, 1);
    await store.put("ltx/0/note.txt", new Uint8Array(3));
    await store.put("0000/0000000000000001-0000000000000001.ltx", new Uint8Array(3));
    await store.put("pointer", new Uint8Array(3));
    const wrong = deleteReplicaFiles(replica, { confirm: "memory" });
    await expect(wrong).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const size = (await replica.files(0))[0]?.size as number;
    const done = await deleteReplicaFiles(replica, { confirm: "memory of ours" });
    expect(done).toEqual({ files: 2, bytes: size * 2 });
    const left: string[] = [];
    for await (const { key } of store.list()) left.push(key);
    expect(left).toEqual([
      "0000/0000000000000001-0000000000000001.ltx",
      "ltx/0/note.txt",
      "pointer",
    ]);
    expect(await deleteReplicaFiles(replica, { confirm: "memory of ours" })).toEqual({
      files: 0,
      bytes: 0,
    });
  });
});
