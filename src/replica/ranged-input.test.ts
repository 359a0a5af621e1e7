import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { type FaultPlan, faultyStore, storeFault } from "../testing/faulty-store.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { memoryStore } from "../transports/memory.ts";
import type { LocalReads, ObjectStore } from "../transports/object-store.ts";
import { readRange } from "./range-reader.ts";
import { type RangedInput, ReadPool, shareOut } from "./ranged-input.ts";
import { type LtxFileInfo, Replica } from "./replica.ts";

const base = fakePlatform(1);

/** Pauses take no time. */
const platform: Platform = {
  ...base,
  clock: { ...base.clock, schedule: (call) => (setImmediate(call), () => undefined) },
};

/** Replicas over one store that holds a file of about `pages` times 500 bytes. */
async function oneFile(
  pages: number,
  plan: FaultPlan = {},
): Promise<{
  replica: Replica;
  store: ReturnType<typeof faultyStore>;
  file: LtxFileInfo;
  bytes: Uint8Array;
}> {
  const built = buildLtx({
    pageSize: 512,
    pages: Object.fromEntries(Array.from({ length: pages }, (_, i) => [i + 1, { seed: i }])),
  });
  const inner = memoryStore();
  const { minTxid, maxTxid, timestamp, bytes } = built;
  const span = { level: 0, minTxid, maxTxid, timestamp: BigInt(timestamp) };
  const file = await new Replica(inner, { platform }).write(span, bytes);
  const store = faultyStore(inner, plan);
  return { replica: new Replica(store, { platform }), store, file, bytes };
}

async function drain(input: RangedInput): Promise<Uint8Array> {
  const chunks: number[] = [];
  for (;;) {
    const chunk = await input.read();
    if (chunk === undefined) return Uint8Array.from(chunks);
    for (const byte of chunk) chunks.push(byte);
  }
}

describe("readRange()", () => {
  test.each([1, 2, 3])(
    "readRange() goes on at the byte where a body broke off (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { replica, store, file, bytes } = await oneFile(40, {
        fault: ({ operation }) =>
          operation === "get" && random.chance(0.8) ? { cutAfter: random.int(9000) } : undefined,
      });
      const parts: number[] = [];
      await readRange(replica, file, {
        offset: 17,
        length: file.size - 20,
        onChunk: (chunk) => parts.push(...chunk),
      });
      expect(Uint8Array.from(parts)).toEqual(bytes.subarray(17, file.size - 3));
      const offsets = store.requests.map((r) => r.offset as number);
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
    },
  );

  test("readRange() gives up after the attempts of the policy", async () => {
    const { replica, store, file } = await oneFile(4, { fault: () => ({ before: storeFault() }) });
    const read = readRange(replica, file, {
      offset: 0,
      length: file.size,
      onChunk: () => undefined,
    });
    await expect(read).rejects.toMatchObject({ code: "STORE" });
    expect(store.count("get")).toBe(10);
  });

  test("readRange() resumes a body that ends early, and hides the transport's own error", async () => {
    const { replica, file, bytes } = await oneFile(8);
    let calls = 0;
    const store: ObjectStore = {
      ...replica.store,
      async get(key, options) {
        const result = await replica.store.get(key, options);
        if (++calls > 2) return result;
        const short = (await result.body.getReader().read()).value?.subarray(0, 100) as Uint8Array;
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            if (calls === 1) controller.enqueue(short);
            if (calls === 1) controller.close();
            else controller.error(new TypeError("https://host/?signature=secret"));
          },
        });
        return { ...result, body };
      },
    };
    const seen: unknown[] = [];
    const parts: number[] = [];
    const retrying = new Replica(store, { platform, onRetry: (error) => seen.push(error) });
    await readRange(retrying, file, {
      offset: 0,
      length: file.size,
      onChunk: (c) => parts.push(...c),
    });
    expect(Uint8Array.from(parts)).toEqual(bytes);
    expect(seen).toHaveLength(2);
    expect(JSON.stringify(seen.map((e) => [String(e), (e as Error).cause]))).not.toContain(
      "secret",
    );
  });

  test("readRange() refuses a store that sends more than was asked for", async () => {
    const { replica, file } = await oneFile(8);
    const store: ObjectStore = { ...replica.store, get: (key) => replica.store.get(key) };
    const read = readRange(new Replica(store, { platform }), file, {
      offset: 0,
      length: 10,
      onChunk: () => undefined,
    });
    await expect(read).rejects.toMatchObject({ code: "STORE", retryable: false });
  });
});

describe("ReadPool", () => {
  test.each([200, 1000, 5000, 1 << 20])(
    "ReadPool gives a file in order through windows of a budget of %i",
    async (budget) => {
      const { replica, store, file, bytes } = await oneFile(60);
      const pool = new ReadPool(replica, [file], { budget });
      expect(await drain(pool.inputs[0] as RangedInput)).toEqual(bytes);
      expect(pool.consumedBytes).toBe(file.size);
      expect(pool.current).toBe(file.key);
      const largest = Math.max(...store.requests.map((r) => r.length as number));
      expect(largest).toBeLessThanOrEqual(budget);
      if (budget > file.size) expect(store.count("get")).toBe(1);
      pool.close();
    },
  );

  test("ReadPool reads ahead by no more than its budget", async () => {
    const { replica, store, file } = await oneFile(200);
    const pool = new ReadPool(replica, [file], { budget: 20_000 });
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(store.requests.reduce((sum, r) => sum + (r.length as number), 0)).toBeLessThanOrEqual(
      20_000,
    );
    pool.close();
  });

  test.each([
    ["a remote", false, 8, 4],
    ["a local", true, 2, 2],
  ] as const)("ReadPool asks %s store in large windows, some at once", (...row) => {
    const [, local, mebibytes, atOnce] = row;
    const asked: (number | undefined)[] = [];
    const store: ObjectStore = {
      ...memoryStore(),
      local,
      get(_key, options) {
        asked.push(options?.length);
        return new Promise(() => undefined);
      },
    };
    const file = { key: "large", size: 64 * 2 ** 20, etag: "" } as LtxFileInfo;
    const pool = new ReadPool(new Replica(store, { platform }), [file]);
    expect(asked).toEqual(Array.from({ length: atOnce }, () => mebibytes * 2 ** 20));
    pool.close();
  });

  test("ReadPool gives the file that is read what others of a local store do not need", async () => {
    const { store, file, bytes } = await oneFile(200);
    const local = new Replica({ ...store, local: true }, { platform });
    const budget = 80_000;
    const pool = new ReadPool(local, [file, file, file, file], { budget });
    const read: number[] = [];
    for (const input of pool.inputs) {
      expect(await drain(input)).toEqual(bytes);
      const lengths = store.requests.map((r) => r.length as number);
      read.push(lengths.length);
      const asked = lengths.reduce((sum, length) => sum + length, 0);
      expect(asked - pool.consumedBytes).toBeLessThanOrEqual(budget);
    }
    expect(store.requests.slice(0, 6).map((r) => r.length)).toEqual([
      10_000, 10_000, 10_000, 10_000, 25_000, 25_000,
    ]);
    expect(read.at(-1)).toBeLessThan((4 * file.size) / 20_000);
    pool.close();
  });

  test("ReadPool prefers reads that block, and asks for what they cannot give", async () => {
    const { replica, store, file, bytes } = await oneFile(2000);
    let now = 0;
    const clock = { ...platform.clock, monotonic: () => (now += 30) };
    const slow = new Replica(store, { platform: { ...platform, clock } });
    const asked: string[] = [];
    const reads: LocalReads = {
      read(_key, { offset, length }, into) {
        asked.push(`${offset}+${length}`);
        if (asked.length === 4) throw storeFault("the disk");
        (into as Uint8Array).set(bytes.subarray(offset, offset + length));
        return into as Uint8Array<ArrayBuffer>;
      },
      close: () => undefined,
    };
    const pool = new ReadPool(slow, [file], { reads });
    const input = pool.inputs[0] as RangedInput;
    expect(input.read()).toEqual(bytes.subarray(0, 262_144));
    const later = input.read();
    expect(later).toBeInstanceOf(Promise);
    expect(await later).toEqual(bytes.subarray(262_144, 524_288));
    expect(store.count("get")).toBe(0);
    expect((await drain(input)).length).toBe(file.size - 524_288);
    expect(asked.slice(2)).toEqual(["524288+262144", "786432+262144"]);
    expect(store.requests[0]).toMatchObject({ offset: 786_432 });
    expect(pool.consumedBytes).toBe(file.size);
    pool.close();
    const aborted = new ReadPool(replica, [file], { reads, signal: AbortSignal.abort() });
    expect(() => aborted.inputs[0]?.read()).toThrow(expect.objectContaining({ code: "ABORTED" }));
  });

  test("ReadPool answers without a promise once the bytes are there", async () => {
    const { replica, file } = await oneFile(3);
    const pool = new ReadPool(replica, [file]);
    const input = pool.inputs[0] as RangedInput;
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(input.read()).toBeInstanceOf(Uint8Array);
    expect(input.read()).toBeUndefined();
  });

  test("ReadPool ends its requests on close and on abort", async () => {
    const { replica, file } = await oneFile(3);
    const signals: (AbortSignal | undefined)[] = [];
    const store: ObjectStore = {
      ...replica.store,
      get(_key, options) {
        signals.push(options?.signal);
        return new Promise((_, reject) => {
          options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
        });
      },
    };
    const slow = new Replica(store, { platform });
    new ReadPool(slow, [file]).close();
    const aborter = new AbortController();
    const pool = new ReadPool(slow, [file], { signal: aborter.signal });
    const read = (pool.inputs[0] as RangedInput).read() as Promise<unknown>;
    aborter.abort(storeFault("the user left", false));
    await expect(read).rejects.toThrow("the user left");
    expect(signals.map((s) => s?.aborted)).toEqual([true, true]);
  });

  test("ReadPool fails the reader whose file is gone and no other", async () => {
    const { replica, file, bytes } = await oneFile(3);
    const gone = { ...file, key: "ltx/0/0000000000000009-0000000000000009.ltx" };
    const pool = new ReadPool(replica, [gone, file]);
    const error = await drain(pool.inputs[0] as RangedInput).catch((e: unknown) => e);
    expect(isPagestreamError(error, "NOT_FOUND")).toBe(true);
    expect(await drain(pool.inputs[1] as RangedInput)).toEqual(bytes);
  });
});

describe("shareOut()", () => {
  test.each([
    [[10], 100, 100],
    [[1000], 100, 100],
    [[10, 10, 1000], 100, 80],
    [[60, 60, 60], 100, 33],
    [[1, 1, 1], 2, 1],
    [[], 5, 5],
  ])("shareOut(%j, %i) is %i", (sizes, budget, share) => {
    expect(shareOut(sizes, budget)).toBe(share);
  });
});
