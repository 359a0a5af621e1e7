import { describe, expect, test } from "vitest";
import { levelFiles } from "../../test/helpers/level-files.ts";
import { concatBytes } from "../core/bytes.ts";
import { decodeLtx } from "../ltx/decode-ltx.ts";
import { LtxEncoder } from "../ltx/encoder.ts";
import { replicaHeader } from "../ltx/header.ts";
import {
  buildLtx,
  fakePlatform,
  type FaultyStore,
  faultyStore,
  type LtxSpec,
  storeFault,
} from "../testing/index.ts";
import { readBody } from "../testing/test-kit.ts";
import { memoryStore } from "../transports/memory.ts";
import {
  type CompactionOutcome,
  compactLevel,
  type CompactLevelOptions,
  isOutdated,
  promoteFullFile,
  tooEarlyUntil,
} from "./compactor.ts";
import { type LtxFileInfo, Replica } from "./replica.ts";
import { replicaWriter } from "./writer.ts";

/** Pauses take no time. */
const base = fakePlatform(5);
const platform = {
  ...base,
  clock: { ...base.clock, schedule: (call: () => void) => (setImmediate(call), () => undefined) },
};

interface Bench {
  readonly replica: Replica;
  readonly store: FaultyStore;
  compact(level: number, options?: Partial<CompactLevelOptions>): Promise<CompactionOutcome>;
}

/** A replica with files of these levels. */
async function bench(files: readonly (LtxSpec & { readonly level?: number })[]): Promise<Bench> {
  const inner = memoryStore();
  const store = faultyStore(inner);
  const unseen = new Replica(inner, { platform });
  const replica = new Replica(store, { platform });
  for (const { level = 0, ...spec } of files) {
    const { minTxid, maxTxid, timestamp, bytes } = buildLtx({ pageSize: 512, ...spec });
    await replica.write({ level, minTxid, maxTxid, timestamp: BigInt(timestamp) }, bytes);
  }
  store.reset();
  const writer = replicaWriter(replica);
  return {
    replica,
    store,
    async compact(level, options = {}) {
      const [target = [], sources = [], snapshots = []] = await Promise.all(
        [level, level - 1, 9].map((n) => unseen.files(n)),
      );
      return await compactLevel(level, {
        writer,
        files: { target, sources, snapshots },
        ...options,
      });
    },
  };
}

async function bytesOf(replica: Replica, file: LtxFileInfo): Promise<Uint8Array> {
  return await readBody((await replica.open(file)).body);
}

async function decoded(replica: Replica, file: LtxFileInfo) {
  return decodeLtx(await bytesOf(replica, file));
}

function compacted(outcome: CompactionOutcome): Extract<CompactionOutcome, { type: "compacted" }> {
  if (outcome.type !== "compacted") throw new Error(`it is ${outcome.type}`);
  return outcome;
}

const THREE: readonly LtxSpec[] = [
  { pages: { 1: { seed: 1 }, 2: { seed: 2 }, 3: { seed: 3 } } },
  { minTxid: 2n, pages: { 2: { seed: 4 } }, commit: 3 },
  { minTxid: 3n, pages: { 1: { seed: 5 }, 4: { seed: 6 } }, timestamp: 77_000 },
];

describe("compactLevel()", () => {
  test("compactLevel() merges the newest page of each number, dated as the last file", async () => {
    const { replica, compact } = await bench(THREE);
    const { file, sources, more } = compacted(await compact(1));
    expect(file).toMatchObject({ level: 1, minTxid: 1n, maxTxid: 3n, time: new Date(77_000) });
    expect([sources, more]).toEqual([3, false]);
    const { header, pages } = await decoded(replica, file);
    expect(header).toMatchObject({ minTxid: 1n, maxTxid: 3n, commit: 4, timestamp: 77_000n });
    expect(header).toMatchObject({ walOffset: 0, walSize: 0, nodeId: 0n });
    const expected = buildLtx({
      pageSize: 512,
      maxTxid: 3n,
      pages: { 1: { seed: 5 }, 2: { seed: 4 }, 3: { seed: 3 }, 4: { seed: 6 } },
    });
    expect(new Map(pages.map(({ pgno, data }) => [pgno, data]))).toEqual(expected.pages);
    const [there] = await replica.files(1, { exactTimes: true });
    expect(there).toMatchObject({ size: file.size, time: file.time });
  });

  test("compactLevel() costs one PUT and one GET per small source, and no listing", async () => {
    const { store, compact } = await bench(THREE);
    await compact(1);
    expect(["put", "get", "head", "list"].map((name) => store.count(name as "put"))).toEqual([
      1, 3, 0, 0,
    ]);
  });

  test("compactLevel() copies compressed frames as they are", async () => {
    const { replica, compact } = await bench([]);
    const chunks: Uint8Array[] = [];
    const encoder = new LtxEncoder(
      replicaHeader({ pageSize: 512, commit: 1, minTxid: 1n, maxTxid: 1n, timestamp: 1n }),
      (chunk) => void chunks.push(chunk),
    );
    const page = new Uint8Array(512);
    // A block of literals alone: nobody who compresses zeros writes that.
    const literals = concatBytes([Uint8Array.of(0xf0, 255, 512 - 15 - 255), page]);
    encoder.encodeFrame(1, literals, page);
    encoder.finish();
    await replica.write({ level: 0, minTxid: 1n, maxTxid: 1n, timestamp: 1n }, concatBytes(chunks));
    const { file } = compacted(await compact(1));
    const { sizes } = await replica.pageIndex(file);
    expect(sizes[0]).toBeGreaterThan(512);
  });

  test("compactLevel() prefers bytes at hand to an object just written (L25)", async () => {
    const { replica, store, compact } = await bench(THREE);
    const bytes = new Map<string, Uint8Array>();
    for (const file of await replica.files(0)) bytes.set(file.key, await bytesOf(replica, file));
    store.reset();
    const { file } = compacted(await compact(1, { local: ({ key }) => bytes.get(key) }));
    expect(store.count("get")).toBe(0);
    expect((await decoded(replica, file)).pages.length).toBe(4);
  });

  test("compactLevel() resumes a source whose connection drops (L26)", async () => {
    const { replica, store, compact } = await bench(THREE);
    store.failNext("get", { cutAfter: 150 });
    store.failNext("get", { cutAfter: 1 });
    const { file } = compacted(await compact(1));
    expect(store.count("get")).toBe(5);
    expect(
      store.requests.some(({ operation, offset }) => operation === "get" && offset === 150),
    ).toBe(true);
    expect((await decoded(replica, file)).pages.length).toBe(4);
  });

  test("compactLevel() begins the body again when an upload fails on the way", async () => {
    const { replica, store, compact } = await bench(THREE);
    store.failNext("put", { before: storeFault() });
    const { file } = compacted(await compact(1));
    expect(store.count("put")).toBe(2);
    expect(file.size).toBe((await bytesOf(replica, file)).length);
  });

  test("compactLevel() takes its own lost answer for what it is", async () => {
    const { replica, store, compact } = await bench(THREE);
    store.failNext("put", { after: storeFault() });
    const { file } = compacted(await compact(1));
    expect(file.maxTxid).toBe(3n);
    expect((await replica.files(1)).length).toBe(1);
  });

  test("compactLevel() never replaces another file of the same range", async () => {
    const { replica, compact } = await bench([
      ...THREE,
      { level: 1, maxTxid: 3n, pages: { 1: 9 }, timestamp: 5 },
    ]);
    const other = await bytesOf(replica, (await replica.files(1))[0] as LtxFileInfo);
    const error: unknown = await compact(1, {
      files: { target: [], sources: await replica.files(0), snapshots: [] },
    }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "PRECONDITION_FAILED" });
    expect(isOutdated(error)).toBe(true);
    expect(await bytesOf(replica, (await replica.files(1))[0] as LtxFileInfo)).toEqual(other);
  });

  test("compactLevel() ends every read when the upload is refused (L27)", async () => {
    const pages = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [i + 1, { seed: i }]));
    const { replica, store, compact } = await bench([
      { pages },
      { minTxid: 2n, pages, commit: 3000 },
    ]);
    const open = { now: 0 };
    const { get } = replica.store;
    replica.store.get = async (...args) => {
      const result = await get(...args);
      open.now++;
      const reader = result.body.getReader();
      const end = (): void => void open.now--;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await reader.read();
          if (value !== undefined) controller.enqueue(value);
          if (!done) return;
          end();
          controller.close();
        },
        async cancel() {
          end();
          await reader.cancel();
        },
      });
      return { ...result, body };
    };
    replica.store.put = async (key, body) => {
      for await (const _ of body as AsyncIterable<Uint8Array>) break;
      throw storeFault(`no room for ${key}`, false);
    };
    await expect(compact(1)).rejects.toMatchObject({ code: "STORE" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.count("get")).toBeGreaterThan(0);
    expect(open.now).toBe(0);
  });

  test("compactLevel() refuses a damaged source and leaves nothing behind", async () => {
    const { replica, compact } = await bench(THREE);
    const [, second] = await replica.files(0);
    const bytes = await bytesOf(replica, second as LtxFileInfo);
    bytes[130] = (bytes[130] as number) ^ 1;
    await replica.store.put((second as LtxFileInfo).key, bytes, {});
    await expect(compact(1)).rejects.toMatchObject({ code: expect.stringMatching(/LTX/) });
    expect(await replica.files(1)).toEqual([]);
  });

  test("compactLevel() never makes one file of two page sizes (I21)", async () => {
    const { replica, compact } = await bench([
      ...THREE,
      { minTxid: 4n, pageSize: 1024, pages: { 1: 1, 2: 2 } },
      { minTxid: 5n, pageSize: 1024, pages: { 2: 3 } },
    ]);
    const first = compacted(await compact(1));
    expect([first.file.maxTxid, first.more]).toEqual([3n, true]);
    const second = compacted(await compact(1));
    expect([second.file.minTxid, second.file.maxTxid, second.more]).toEqual([4n, 5n, false]);
    expect((await decoded(replica, second.file)).header.pageSize).toBe(1024);
  });

  test("compactLevel() writes what straddles the end of the level from behind it on (O7)", async () => {
    const { replica, compact } = await bench([
      { level: 2, maxTxid: 2n, pages: { 1: 1, 2: 2 } },
      { level: 1, minTxid: 2n, maxTxid: 4n, pages: { 2: 7, 3: 8 } },
    ]);
    const { file } = compacted(await compact(2));
    expect([file.minTxid, file.maxTxid]).toEqual([3n, 4n]);
    expect((await decoded(replica, file)).pages.map(({ pgno }) => pgno)).toEqual([2, 3]);
  });

  test("compactLevel() goes on in bounded steps, and tells when nothing is left", async () => {
    const { replica, compact } = await bench([
      THREE[0] as LtxSpec,
      ...[2, 3, 4, 5].map((n) => ({ minTxid: BigInt(n), pages: { 2: n }, commit: 3 })),
    ]);
    const outcomes: string[] = [];
    for (;;) {
      const outcome = await compact(1, { maxInputs: 2 });
      outcomes.push(outcome.type);
      if (outcome.type !== "compacted") break;
    }
    expect(outcomes).toEqual(["compacted", "compacted", "compacted", "nothing-new"]);
    expect((await replica.files(1)).map((f) => [f.minTxid, f.maxTxid])).toEqual([
      [1n, 2n],
      [3n, 4n],
      [5n, 5n],
    ]);
  });

  test("compactLevel() tells a gap instead of writing over it", async () => {
    const { store, compact } = await bench([{ minTxid: 2n, pages: { 1: 1 } }]);
    expect(await compact(1)).toMatchObject({
      type: "gap",
      gap: { level: 0, reached: 0n, bridged: false },
    });
    expect(store.count()).toBe(0);
  });
});

describe("promoteFullFile()", () => {
  test("promoteFullFile() makes a snapshot of an L0 file with every page", async () => {
    const { replica } = await bench([
      { minTxid: 5n, pages: { 1: { seed: 1 }, 2: { seed: 2 } }, timestamp: 9_000 },
    ]);
    const [full] = await replica.files(0);
    const file = await promoteFullFile(full as LtxFileInfo, { writer: replicaWriter(replica) });
    expect(file).toMatchObject({ level: 9, minTxid: 1n, maxTxid: 5n, time: new Date(9_000) });
    expect((await decoded(replica, file)).pages.length).toBe(2);
  });

  test("promoteFullFile() refuses a file that lacks a page", async () => {
    const { replica } = await bench([{ minTxid: 5n, pages: { 1: 1, 3: 3 } }]);
    const [partial] = await replica.files(0);
    const promoted = promoteFullFile(partial as LtxFileInfo, { writer: replicaWriter(replica) });
    await expect(promoted).rejects.toMatchObject({ code: expect.stringMatching(/LTX/) });
    expect(await replica.files(9)).toEqual([]);
  });
});

describe("tooEarlyUntil()", () => {
  const newest = (time: number): LtxFileInfo => levelFiles(`1:1@${time}`)[1]?.[0] as LtxFileInfo;
  const minute = 60_000;
  const start = Date.UTC(2026, 0, 1);

  test("tooEarlyUntil() waits for the boundary after the newest file", () => {
    expect(tooEarlyUntil(newest(start + 10_000), minute, start + 30_000)).toBe(start + minute);
    expect(tooEarlyUntil(newest(start + 10_000), minute, start + minute)).toBe(undefined);
    expect(tooEarlyUntil(newest(start), minute, start + 30_000)).toBe(undefined);
    expect(tooEarlyUntil(undefined, minute, start)).toBe(undefined);
  });

  test("tooEarlyUntil() does not wait for a file dated ahead of the clock", () => {
    expect(tooEarlyUntil(newest(start + 3_600_000), minute, start + 30_000)).toBe(undefined);
  });
});
