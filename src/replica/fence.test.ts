import { describe, expect, test } from "vitest";
import { run } from "../../test/helpers/primary-bench.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { fakePlatform, type FakePlatform } from "../testing/fake-platform.ts";
import { type FaultyStore, faultyStore, storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore, StoreCapabilities } from "../transports/object-store.ts";
import { Fence, type WriterStanding } from "./fence.ts";
import { Lease } from "./lease.ts";
import { Replica } from "./replica.ts";
import type { LtxObject } from "./upload-staged.ts";
import { fencedWriter, type MergedFile, type ReplicaWriter } from "./writer.ts";

const MINUTE = 60_000;

interface Writer {
  readonly platform: FakePlatform;
  readonly store: FaultyStore;
  readonly fence: Fence;
  readonly writer: ReplicaWriter;
  /** What a helper does. */
  helped?: Promise<unknown>;
}

/** A writer with a clock of its own: what stops it stops nobody else. */
async function newWriter(
  inner: ObjectStore,
  options: { seed?: number; l0RetentionMs?: number; can?: Partial<StoreCapabilities> } = {},
): Promise<Writer> {
  const { seed = 1, l0RetentionMs, can } = options;
  const platform = fakePlatform(seed);
  const store = faultyStore({ ...inner, capabilities: { ...inner.capabilities, ...can } });
  const replica = new Replica(store, { platform });
  const fence = new Fence({ replica, l0RetentionMs });
  await fence.prove(undefined);
  store.reset();
  return { platform, store, fence, writer: fencedWriter({ replica, fence }) };
}

/** An L0 file of writer `seed`. */
function l0(txid: number, seed = 1): LtxObject {
  return object(0, [txid, txid], seed);
}

function object(
  level: number,
  [min, max]: readonly [number, number],
  seed = 1,
  time = seed,
): LtxObject {
  const timestamp = 1_700_000_000_000 + max + 100 * time;
  const minTxid = BigInt(min);
  const maxTxid = BigInt(max);
  const pages = { 1: { seed }, 2: { seed: max } };
  const { bytes } = buildLtx({ pageSize: 512, minTxid, maxTxid, timestamp, pages });
  return {
    where: { level, minTxid, maxTxid, timestamp: BigInt(timestamp) },
    size: bytes.length,
    body: bytes,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

function merged(level: number, range: [number, number]): MergedFile {
  const { where, size, body } = object(level, range);
  return {
    where,
    commit: 2,
    pageSize: 512,
    async *body() {
      yield body as Uint8Array;
    },
    sizeBound: size,
  };
}

async function files(writer: ReplicaWriter): Promise<string[]> {
  const levels = await writer.replica.levels();
  return levels
    .flat()
    .map(({ level, minTxid, maxTxid }) => `${level}:${Number(minTxid)}-${Number(maxTxid)}`);
}

const operations = (store: FaultyStore): string[] =>
  store.requests.map(({ operation }) => operation);

/** What another writer does while one is frozen: goes on, compacts, and lets retention remove what is compacted. */
async function overtake(
  inner: ObjectStore,
  { from, to, removed }: { from: number; to: number; removed: number },
): Promise<void> {
  const other = await newWriter(inner, { seed: 2 });
  for (let txid = from; txid <= to; txid++) await other.writer.create(l0(txid, 2));
  await other.writer.createMerged(merged(1, [1, to]));
  const level0 = await other.writer.replica.files(0);
  await other.writer.remove(level0.filter(({ maxTxid }) => maxTxid <= BigInt(removed)));
}

describe("fencedWriter()", () => {
  test("create() costs one request per file in steady writing, for as long as it lasts", async () => {
    const { platform, store, writer } = await newWriter(memoryStore());
    for (let txid = 1; txid <= 20; txid++) {
      await writer.create(l0(txid));
      await platform.clock.advanceAsync(MINUTE);
    }
    expect(operations(store)).toEqual(Array(20).fill("put"));
  });

  test("create() lists once where the last proof is older than half the L0 retention", async () => {
    const { platform, store, writer } = await newWriter(memoryStore(), { l0RetentionMs: 10_000 });
    await writer.create(l0(1));
    await platform.clock.advanceAsync(5_000);
    await writer.create(l0(2));
    await platform.clock.advanceAsync(5_001);
    await writer.create(l0(3));
    expect(operations(store)).toEqual(["put", "put", "list", "put"]);
  });

  test.each(["the wall clock", "the monotonic clock"])(
    "create() believes %s where it is the larger",
    async (which) => {
      const { platform, store, writer } = await newWriter(memoryStore());
      await writer.create(l0(1));
      if (which === "the wall clock") platform.clock.jumpWall(3 * MINUTE);
      else {
        await platform.clock.advanceAsync(3 * MINUTE);
        platform.clock.jumpWall(-60 * MINUTE);
      }
      await writer.create(l0(2));
      expect(operations(store)).toEqual(["put", "list", "put"]);
    },
  );

  test("create() lists every 15 seconds where creation overwrites", async () => {
    const can = { conditionalPut: false };
    const { platform, store, writer } = await newWriter(memoryStore(), { can });
    for (let txid = 1; txid <= 9; txid++) {
      await writer.create(l0(txid));
      await platform.clock.advanceAsync(5_000);
    }
    expect(store.count("list")).toBe(2);
  });

  test("create() ends in a conflict before it writes, where another writer has gone on", async () => {
    const inner = memoryStore();
    const { platform, store, writer } = await newWriter(inner);
    await writer.create(l0(1));
    await overtake(inner, { from: 2, to: 4, removed: 3 });
    await platform.clock.advanceAsync(10 * MINUTE);
    store.reset();
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(operations(store)).toEqual(["list"]);
    // And so does all that follows, without a request.
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(writer.createMerged(merged(1, [1, 1]))).rejects.toMatchObject({
      code: "CONFLICT",
    });
    await expect(writer.remove(await writer.replica.files(0))).rejects.toMatchObject({
      code: "CONFLICT",
    });
    expect(operations(store)).toEqual(["list", "list"]);
    expect(await files(writer)).toEqual(["0:4-4", "1:1-4"]);
  });

  test.each([true, false])(
    "create() takes back what came too late (conditional delete: %s)",
    async (conditionalDelete) => {
      const inner = memoryStore();
      const late = await newWriter(frozenAt("put", { inner, before: true }), {
        can: { conditionalDelete },
      });
      await late.writer.create(l0(1));
      arm({ platform: late.platform, inner, from: 2, to: 4, removed: 3 });
      await expect(late.writer.create(l0(2))).rejects.toMatchObject({
        code: "CONFLICT",
        left: undefined,
      });
      expect(await files(late.writer)).toEqual(["0:4-4", "1:1-4"]);
    },
  );

  test("create() ends in a conflict though the other's file goes before it is looked at", async () => {
    const inner = memoryStore();
    let isFound = false;
    const going: ObjectStore = {
      ...inner,
      async head(...call) {
        const info = await inner.head(...call);
        if (!isFound) await overtake(inner, { from: 3, to: 4, removed: 3 });
        isFound = true;
        return info;
      },
    };
    const { writer } = await newWriter(going);
    await writer.create(l0(1));
    await (await newWriter(inner, { seed: 2 })).writer.create(l0(2, 2));
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(isFound).toBe(true);
    expect(await files(writer)).toEqual(["0:4-4", "1:1-4"]);
  });

  test("create() leaves what came in time, since the other's history may stand on it", async () => {
    const inner = memoryStore();
    const { platform, writer } = await newWriter(frozenAt("put", { inner, before: false }));
    await writer.create(l0(1));
    armed = async () => {
      const other = await newWriter(inner, { seed: 2 });
      for (const txid of [3, 4]) await other.writer.create(l0(txid, 2));
      platform.clock.advance(10 * MINUTE);
    };
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT", left: undefined });
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4"]);
  });

  test("create() lists after a try that failed, since another writer may have left names free", async () => {
    const inner = memoryStore();
    const { store, writer } = await newWriter(inner);
    await writer.create(l0(1));
    store.failNext("put", { before: storeFault("refused", false) });
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "STORE" });
    await (await newWriter(inner, { seed: 2 })).writer.create(object(0, [4, 4], 2));
    store.reset();
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(operations(store)).toEqual(["list"]);
    expect(await files(writer)).toEqual(["0:1-1", "0:4-4"]);
  });

  test("create() lists before a snapshot that leads, which no name on its level would stop", async () => {
    const inner = memoryStore();
    const { writer } = await newWriter(inner);
    await writer.create(l0(1));
    await (await newWriter(inner, { seed: 2 })).writer.create(l0(2, 2));
    await expect(writer.create(object(9, [1, 2]))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2"]);
  });

  test.each([
    ["a snapshot whose L0 file", 9, [1, 2], 2],
    ["a bridge below whose end an L0 file", 1, [2, 5], 2],
  ] as const)(
    "create() takes back %s another writer has created meanwhile",
    async (_, level, [min, max], txid) => {
      const inner = memoryStore();
      const { writer } = await newWriter(frozenAt("put", { inner, before: true }));
      await writer.create(l0(1));
      armed = async () => {
        await (await newWriter(inner, { seed: 2 })).writer.create(l0(txid, 2));
      };
      await expect(writer.create(object(level, [min, max]))).rejects.toMatchObject({
        code: "CONFLICT",
      });
      expect(await files(writer)).toEqual(["0:1-1", "0:2-2"]);
    },
  );

  test("create() takes back a bridge whose L0 file another writer has, which goes on from its own", async () => {
    const inner = memoryStore();
    const { writer } = await newWriter(inner);
    await writer.create(l0(1));
    await writer.create(object(1, [2, 3]));
    for (const txid of [2, 3, 4]) {
      const { where, body } = l0(txid, 2);
      await inner.put(writer.replica.key(where), body as Uint8Array);
    }
    await expect(writer.create(l0(3))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4"]);
  });

  test("create() leaves a bridge to the writer that has taken the lease, and is about to go on from it", async () => {
    const inner = memoryStore();
    const { platform, fence, writer: plain } = await newWriter(inner);
    const { replica } = plain;
    const lease = new Lease({ replica, nonce: "one", owner: "" });
    const writer = fencedWriter({ replica, fence, lease });
    await writer.create(l0(1));
    await writer.create(object(9, [1, 2]));
    const other = (await newWriter(inner, { seed: 2 })).writer;
    await new Lease({ replica: other.replica, nonce: "two", owner: "" }).takeOver();
    await platform.clock.advanceAsync(20_000);
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(writer)).toEqual(["0:1-1", "9:1-2"]);
  });

  test("create() leaves a bridge that another writer goes on from", async () => {
    const inner = memoryStore();
    const { writer } = await newWriter(inner);
    await writer.create(l0(1));
    await writer.create(object(1, [2, 3]));
    const other = (await newWriter(inner, { seed: 2 })).writer;
    // At the start it puts an L0 file of the same time behind it.
    await other.create(object(0, [3, 3], 2, 1));
    await other.create(l0(4, 2));
    await expect(writer.create(l0(3))).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(writer)).toEqual(["0:1-1", "0:3-3", "0:4-4", "1:2-3"]);
  });

  test("create() names what it may not remove", async () => {
    const inner = memoryStore();
    const late = await newWriter(frozenAt("put", { inner, before: true }));
    await late.writer.create(l0(1));
    arm({ platform: late.platform, inner, from: 2, to: 4, removed: 3 });
    late.store.failNext("deleteOne", { before: storeFault("not allowed", false) });
    const key = "ltx/0/0000000000000002-0000000000000002.ltx";
    const error: unknown = await late.writer.create(l0(2)).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "CONFLICT", left: key });
    expect((error as Error).message).toContain(key);
  });

  test("createMerged() takes back what came too late, and leaves what holds a level together", async () => {
    const inner = memoryStore();
    const late = await newWriter(frozenAt("put", { inner, before: true }));
    for (const txid of [1, 2]) await late.writer.create(l0(txid));
    arm({ platform: late.platform, inner, from: 3, to: 4, removed: 3 });
    await expect(late.writer.createMerged(merged(1, [1, 2]))).rejects.toMatchObject({
      code: "CONFLICT",
    });
    expect(await files(late.writer)).toEqual(["0:4-4", "1:1-4"]);

    const second = memoryStore();
    const early = await newWriter(frozenAt("put", { inner: second, before: false }));
    for (const txid of [1, 2]) await early.writer.create(l0(txid));
    armed = async () => {
      const other = await newWriter(second, { seed: 2 });
      await other.writer.create(l0(3, 2));
      const level0 = await other.writer.replica.files(0);
      await other.writer.remove(level0.filter(({ maxTxid }) => maxTxid <= 2n));
      early.platform.clock.advance(10 * MINUTE);
    };
    await expect(early.writer.createMerged(merged(1, [1, 2]))).rejects.toMatchObject({
      code: "CONFLICT",
    });
    expect(await files(early.writer)).toEqual(["0:3-3", "1:1-2"]);
  });

  test("remove() removes nothing where another writer has gone on", async () => {
    const inner = memoryStore();
    const { platform, writer } = await newWriter(inner);
    for (const txid of [1, 2]) await writer.create(l0(txid));
    const old = (await writer.replica.files(0)).slice(0, 1);
    const other = await newWriter(inner, { seed: 2 });
    await other.writer.create(l0(3, 2));
    await platform.clock.advanceAsync(10 * MINUTE);
    await expect(writer.remove(old)).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3"]);
  });

  test("create() knows its own file in a listing when the answer was lost, however often", async () => {
    const { platform, store, writer } = await newWriter(memoryStore());
    await writer.create(l0(1));
    store.failNext("put", { after: storeFault("gone", false) });
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "STORE" });
    await platform.clock.advanceAsync(10 * MINUTE);
    // Another task may be the first to list.
    await writer.createMerged(merged(1, [1, 1]));
    await writer.create(l0(2));
    store.failNext("put", { after: storeFault() });
    await run(platform, writer.create(l0(3)));
    await writer.create(l0(4));
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3", "0:4-4", "1:1-1"]);
  });

  test("create() tells a file of the same name from its own", async () => {
    const inner = memoryStore();
    const { platform, store, writer } = await newWriter(inner);
    await writer.create(l0(1));
    store.failNext("put", { before: storeFault("gone", false) });
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "STORE" });
    const other = await newWriter(inner, { seed: 2 });
    await other.writer.create(l0(2, 2));
    await platform.clock.advanceAsync(10 * MINUTE);
    await expect(writer.createMerged(merged(1, [1, 1]))).rejects.toMatchObject({
      code: "CONFLICT",
    });
  });

  test("create() notices that its newest file was written over", async () => {
    const inner = memoryStore();
    const { platform, writer } = await newWriter(inner);
    await writer.create(l0(1));
    await writer.create(l0(2));
    const { key } = (await writer.replica.files(0))[1] as { key: string };
    await inner.put(key, l0(2, 2).body as Uint8Array);
    await platform.clock.advanceAsync(10 * MINUTE);
    await expect(writer.create(l0(3))).rejects.toMatchObject({ code: "CONFLICT" });
  });

  test("create() notices at the next listing that an earlier file was written over", async () => {
    const inner = memoryStore();
    const { platform, fence, writer } = await newWriter(inner);
    for (let txid = 1; txid <= 300; txid++) await writer.create(l0(txid));
    // Whether or not it was listed since it was created.
    fence.doubt();
    await fence.prove(undefined);
    const { key } = (await writer.replica.files(0)).at(-64) as { key: string };
    await inner.put(key, l0(237, 2).body as Uint8Array);
    await platform.clock.advanceAsync(MINUTE);
    await writer.create(l0(301));
    fence.doubt();
    await expect(writer.create(l0(302))).rejects.toMatchObject({ code: "CONFLICT" });
  });

  test("create() does not mind a store that tags an object anew", async () => {
    const inner = memoryStore();
    const { platform, store, writer } = await newWriter(inner);
    await writer.create(l0(1));
    const { key } = (await writer.replica.files(0))[0] as { key: string };
    await inner.put(key, l0(1).body as Uint8Array);
    await platform.clock.advanceAsync(10 * MINUTE);
    await writer.create(l0(2));
    await platform.clock.advanceAsync(10 * MINUTE);
    store.reset();
    await writer.create(l0(3));
    expect(operations(store)).toEqual(["list", "put"]);
  });

  test("createMerged() does not wait for an L0 file on its way while the proof is young", async () => {
    const inner = memoryStore();
    const { writer } = await newWriter(frozenAt("put", { inner, before: true }));
    await writer.create(l0(1));
    let release = (): void => {};
    armed = () => new Promise((resolve) => (release = resolve));
    const slow = writer.create(l0(2));
    await new Promise(setImmediate);
    expect(await writer.createMerged(merged(1, [1, 1]))).toBe("created");
    release();
    await slow;
  });

  test.each([true, false])(
    "createMerged() knows an L0 file on its way in a listing (not there yet: %s)",
    async (before) => {
      const inner = memoryStore();
      const { fence, writer } = await newWriter(frozenAt("put", { inner, before }));
      await writer.create(l0(1));
      let release = (): void => {};
      armed = () => new Promise((resolve) => (release = resolve));
      const slow = writer.create(l0(2));
      await new Promise(setImmediate);
      fence.doubt();
      expect(await writer.createMerged(merged(1, [1, 1]))).toBe("created");
      release();
      await slow;
      await writer.create(l0(3));
      expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3", "1:1-1"]);
    },
  );

  test("createMerged() has the fence know the L0 file that it is made of, whose answer was lost", async () => {
    const { platform, store, fence, writer } = await newWriter(memoryStore());
    await writer.create(l0(1));
    store.failNext("put", { after: storeFault("gone", false) });
    await expect(writer.create(l0(2))).rejects.toMatchObject({ code: "STORE" });
    expect(await writer.createMerged(merged(1, [1, 2]))).toBe("created");
    await platform.clock.advanceAsync(10 * MINUTE);
    fence.doubt();
    await writer.create(l0(2));
    await writer.create(l0(3));
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2", "0:3-3", "1:1-2"]);
  });

  test("createMerged() makes nothing of another writer's file, nor of one that is gone", async () => {
    const inner = memoryStore();
    const { fence, writer } = await newWriter(inner);
    await writer.create(l0(1));
    await expect(writer.createMerged(merged(1, [1, 2]))).rejects.toMatchObject({
      code: "PRECONDITION_FAILED",
    });
    await (await newWriter(inner, { seed: 2 })).writer.create(l0(2, 2));
    await expect(writer.createMerged(merged(1, [1, 2]))).rejects.toMatchObject({
      code: "CONFLICT",
    });
    expect(fence.conflict).toBeDefined();
    expect(await files(writer)).toEqual(["0:1-1", "0:2-2"]);
  });

  test("create() of a file that fills a gap proves nothing", async () => {
    const { platform, store, writer } = await newWriter(memoryStore());
    await writer.create(l0(1));
    await writer.create(l0(3));
    await platform.clock.advanceAsync(2 * MINUTE);
    await writer.create(l0(2));
    await platform.clock.advanceAsync(MINUTE);
    store.reset();
    await writer.create(l0(4));
    expect(operations(store)).toEqual(["list", "put"]);
  });

  test("Fence.doubt() makes the next write list", async () => {
    const { store, fence, writer } = await newWriter(memoryStore());
    await writer.create(l0(1));
    fence.doubt();
    await writer.create(l0(2));
    expect(operations(store)).toEqual(["put", "list", "put"]);
  });
});

/** What happens at the next call that {@linkcode frozenAt} watches. */
let armed: (() => Promise<void>) | undefined;

/** A store in which time passes at one call: before it is made, or before its answer is heard. */
function frozenAt(
  operation: "put",
  { inner, before }: { inner: ObjectStore; before: boolean },
): ObjectStore {
  return {
    ...inner,
    async [operation](...call: Parameters<ObjectStore["put"]>) {
      const freeze = armed;
      armed = undefined;
      if (before) await freeze?.();
      const result = await inner[operation](...call);
      if (!before) await freeze?.();
      return result;
    },
  };
}

/** The next call is made only after another writer has gone on and the L0 retention has passed. */
function arm(
  what: { platform: FakePlatform; inner: ObjectStore } & Parameters<typeof overtake>[1],
): void {
  const { platform, inner, ...how } = what;
  armed = async () => {
    await overtake(inner, how);
    platform.clock.advance(10 * MINUTE);
  };
}

describe("createBlocking()", () => {
  /** What the helper's thread does with what it is given. */
  function helper(
    at: Writer,
    objects: readonly LtxObject[],
  ): (standing: WriterStanding) => undefined {
    return (standing) => {
      const { replica } = at.writer;
      const fence = new Fence({ replica, l0RetentionMs: standing.l0RetentionMs });
      fence.resume(standing);
      const writer = fencedWriter({ replica, fence });
      at.helped = Promise.all(objects.map((each) => writer.create(each)));
      at.helped.catch(() => undefined);
    };
  }

  test("createBlocking() makes what a helper creates ours, and costs no listing in steady writing", async () => {
    const at = await newWriter(memoryStore());
    for (let txid = 1; txid <= 10; txid++) {
      const objects = [l0(txid)];
      expect(at.writer.createBlocking(objects, helper(at, objects))).toBe(undefined);
      await at.helped;
      await at.platform.clock.advanceAsync(MINUTE);
    }
    expect(operations(at.store)).toEqual(Array(10).fill("put"));
    at.fence.doubt();
    await at.writer.create(l0(11));
  });

  test("createBlocking() has its helper prove before it writes, and knows its files when it failed", async () => {
    const inner = memoryStore();
    const at = await newWriter(inner);
    await at.writer.create(l0(1));
    await at.platform.clock.advanceAsync(10 * MINUTE);
    at.store.reset();
    const objects = [l0(2)];
    const upload = helper(at, objects);
    const failed = (standing: WriterStanding): string => upload(standing) ?? "the deadline passed";
    expect(at.writer.createBlocking(objects, failed)).toBe("the deadline passed");
    await at.helped;
    expect(operations(at.store)).toEqual(["list", "put"]);
    // The asking thread finds the file in a listing of its own.
    expect(await at.writer.create(objects[0] as LtxObject)).toBe(objects[0]);
    await overtake(inner, { from: 3, to: 5, removed: 4 });
    await at.platform.clock.advanceAsync(10 * MINUTE);
    at.writer.createBlocking([l0(3)], helper(at, [l0(3)]));
    await expect(at.helped).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await files(at.writer)).toEqual(["0:5-5", "1:1-5"]);
  });
});
