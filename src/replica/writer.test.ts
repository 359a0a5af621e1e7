import { describe, expect, test } from "vitest";
import { run } from "../../test/helpers/primary-bench.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { type FakePlatform, fakePlatform } from "../testing/fake-platform.ts";
import { type FaultyStore, faultyStore, storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import { decodeHeader } from "../ltx/header.ts";
import { Replica } from "./replica.ts";
import type { LtxObject } from "./upload-staged.ts";
import { type MergedFile, replicaWriter, type ReplicaWriter } from "./writer.ts";

function newReplica(): { platform: FakePlatform; store: FaultyStore; writer: ReplicaWriter } {
  const platform = fakePlatform(1);
  const store = faultyStore(memoryStore());
  return { platform, store, writer: replicaWriter(new Replica(store, { platform })) };
}

function merged(changes: { pages?: number; time?: number; seed?: number } = {}): MergedFile {
  const { pages = 2, time = 1_700_000_000_000, seed = 1 } = changes;
  const { bytes } = buildLtx({
    pageSize: 512,
    minTxid: 1n,
    maxTxid: 4n,
    timestamp: time,
    pages: Object.fromEntries(Array.from({ length: pages }, (_, i) => [i + 1, { seed }])),
  });
  return {
    where: { level: 1, minTxid: 1n, maxTxid: 4n, timestamp: BigInt(time) },
    commit: pages,
    pageSize: 512,
    async *body() {
      yield bytes;
    },
    sizeBound: bytes.length,
  };
}

describe("replicaWriter()", () => {
  test("createMerged() creates a file once and knows it again, however its pages were compressed", async () => {
    const { store, writer } = newReplica();
    expect(await writer.createMerged(merged())).toBe("created");
    expect(await writer.createMerged(merged({ seed: 2 }))).toBe("existing");
    expect(store.count("put")).toBe(2);
  });

  test("createMerged() whose answer is lost is done", async () => {
    const { platform, store, writer } = newReplica();
    store.failNext("put", { after: storeFault() });
    expect(await run(platform, writer.createMerged(merged()))).toBe("existing");
  });

  test("create() whose answer is lost writes once where creation is not conditional", async () => {
    const platform = fakePlatform(1);
    const inner = memoryStore();
    const capabilities = { ...inner.capabilities, conditionalPut: false };
    const store = faultyStore({ ...inner, capabilities });
    store.failNext("put", { after: storeFault() });
    const { bytes } = buildLtx({ pageSize: 512, pages: { 1: { seed: 1 } } });
    const object: LtxObject = {
      where: { level: 0, minTxid: 1n, maxTxid: 1n, timestamp: decodeHeader(bytes).timestamp },
      size: bytes.length,
      body: bytes,
      read: (offset, length) => bytes.subarray(offset, offset + length),
    };
    const writer = replicaWriter(new Replica(store, { platform }));
    expect(await run(platform, writer.create(object))).toBe(object);
    expect(store.count("put")).toBe(1);
  });

  test("create() takes a snapshot for its own that was made of other files of the same state", async () => {
    const { writer } = newReplica();
    const snapshot = (compacted: boolean): LtxObject => {
      const { bytes } = buildLtx({
        pageSize: 512,
        maxTxid: 4n,
        pages: { 1: { seed: 1 } },
        compacted,
      });
      const { timestamp } = decodeHeader(bytes);
      return {
        where: { level: 9, minTxid: 1n, maxTxid: 4n, timestamp },
        size: bytes.length,
        body: bytes,
        read: (offset, length) => bytes.subarray(offset, offset + length),
      };
    };
    await writer.create(snapshot(true));
    await expect(writer.create(snapshot(false))).resolves.toBeDefined();
  });

  test.each([
    ["time", { time: 1_700_000_000_001 }],
    ["size", { pages: 3 }],
  ])("createMerged() never replaces a file of another %s", async (_, changes) => {
    const { writer } = newReplica();
    await writer.createMerged(merged());
    const before = await writer.replica.files(1);
    await expect(writer.createMerged(merged(changes))).rejects.toMatchObject({
      code: "PRECONDITION_FAILED",
    });
    expect(await writer.replica.files(1)).toEqual(before);
  });
});
