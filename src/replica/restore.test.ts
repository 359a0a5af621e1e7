import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { encodeLtx, mergeLtx, replicaHeader } from "../ltx/index.ts";
import { type BuiltLtx, type LtxSpec, buildLtx } from "../testing/build-ltx.ts";
import { FAKE_START } from "../testing/fake-clock.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { type FaultyStore, faultyStore, storeFault } from "../testing/faulty-store.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { NotFoundError } from "../transports/errors.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { bytesSink } from "./bytes-sink.ts";
import type { DamagedFileError, IntegrityError } from "./errors.ts";
import { fileKey } from "./layout.ts";
import { Replica } from "./replica.ts";
import type { RestoreRequest, RestoreProgress } from "./restore-options.ts";
import type { RestoreSink, RestoreStart } from "./restore-sink.ts";
import { restoreReplica } from "./restore.ts";

/** A platform on which every pause is over at once; each pause moves its clock. */
function instantPlatform(): Platform {
  const platform = fakePlatform(1);
  const { clock } = platform;
  return {
    ...platform,
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      schedule(callback, delayMs) {
        let cancelled = false;
        setImmediate(() => {
          if (cancelled) return;
          clock.advance(delayMs);
          callback();
        });
        return () => {
          cancelled = true;
        };
      },
    },
  };
}

async function put(store: ObjectStore, level: number, built: BuiltLtx): Promise<string> {
  const key = fileKey("directory", { level, minTxid: built.minTxid, maxTxid: built.maxTxid });
  const metadata = { "litestream-timestamp": new Date(built.timestamp).toISOString() };
  await store.put(key, built.bytes, { metadata });
  return key;
}

/** A store with level 0 files of TXID 1 and on. */
async function storeOf(...specs: LtxSpec[]): Promise<FaultyStore> {
  const store = memoryStore();
  for (const [i, spec] of specs.entries()) {
    await put(store, 0, buildLtx({ pageSize: 512, minTxid: BigInt(i + 1), ...spec }));
  }
  return faultyStore(store);
}

async function restored(
  store: ObjectStore,
  options: RestoreRequest = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restoreReplica(store, sink, { platform: instantPlatform(), ...options });
  return sink.bytes;
}

/** The error of a restore, after making sure that the sink was aborted and never finished. */
async function refusal(store: ObjectStore, options: RestoreRequest = {}): Promise<unknown> {
  const sink = recordingSink();
  const error = await restoreReplica(store, sink, { platform: instantPlatform(), ...options }).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(sink.calls.at(-1)).toBe("abort");
  expect(sink.calls).not.toContain("finish");
  return error;
}

interface RecordingSink extends RestoreSink {
  readonly calls: string[];
  readonly info: RestoreStart | undefined;
}

function recordingSink(overrides: Partial<RestoreSink> = {}): RecordingSink {
  const calls: string[] = [];
  let info: RestoreStart | undefined;
  return {
    name: "a test",
    journalHeader: "keep",
    calls,
    get info() {
      return info;
    },
    start(start) {
      info = start;
      calls.push("start");
    },
    write: (offset, bytes) => void calls.push(`write ${offset}+${bytes.length}`),
    truncate: (size) => void calls.push(`truncate ${size}`),
    finish: () => void calls.push("finish"),
    abort: () => void calls.push("abort"),
    ...overrides,
  };
}

function fill(...bytes: number[]): Uint8Array {
  const database = new Uint8Array(bytes.length * 512);
  for (const [i, byte] of bytes.entries()) database.fill(byte, i * 512, i * 512 + 512);
  return database;
}

describe("restoreReplica()", () => {
  test("restoreReplica() gives every TXID its own state, through growth and shrinking", async () => {
    const store = await storeOf(
      { pages: { 1: 1, 2: 2, 3: 3 } },
      { pages: { 2: 20 }, commit: 3 },
      { pages: { 1: 10 }, commit: 2 },
      { pages: { 3: 30, 4: 40 } },
    );
    expect(await restored(store, { txid: 1n })).toEqual(fill(1, 2, 3));
    expect(await restored(store, { txid: "0000000000000002" })).toEqual(fill(1, 20, 3));
    expect(await restored(store, { txid: 3n })).toEqual(fill(10, 20));
    expect(await restored(store)).toEqual(fill(10, 20, 30, 40));
  });

  test.each([1, 2, 3])(
    "restoreReplica() rebuilds a random history from mixed levels (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const store = memoryStore();
      const states: Uint8Array[] = [];
      const files: BuiltLtx[] = [];
      let pages: number[] = [];
      for (let txid = 1; txid <= 24; txid++) {
        const before = pages.length;
        const commit = txid === 1 ? 6 : Math.max(1, before + random.int(5) - 2);
        const changed: Record<number, number> = {};
        for (let pgno = 1; pgno <= commit; pgno++) {
          if (pgno > before || random.chance(0.3)) changed[pgno] = 1 + random.int(255);
        }
        pages = Array.from({ length: commit }, (_, i) => changed[i + 1] ?? (pages[i] as number));
        states.push(fill(...pages));
        files.push(buildLtx({ pageSize: 512, minTxid: BigInt(txid), pages: changed, commit }));
      }
      for (const file of files)
        if (file.minTxid > 20n || random.chance(0.7)) await put(store, 0, file);
      for (const [level, length] of [
        [1, 4],
        [2, 12],
      ] as const) {
        for (let i = 0; i < files.length; i += length) {
          await put(store, level, await merged(files.slice(i, i + length)));
        }
      }
      await put(store, 9, await merged(files.slice(0, 13)));

      const replica = new Replica(store, { platform: instantPlatform() });
      let exact = 0;
      for (let txid = 1; txid <= 24; txid++) {
        const bytes = await restored(replica.store, { txid: BigInt(txid) }).catch(
          (error: unknown) => {
            if (!isPagestreamError(error, "TXID_NOT_AVAILABLE")) throw error;
          },
        );
        if (bytes === undefined) continue;
        exact++;
        expect(bytes).toEqual(states[txid - 1]);
      }
      expect(exact).toBeGreaterThanOrEqual(7);
      expect(await restored(store)).toEqual(states.at(-1));
    },
  );

  test("restoreReplica() tells what it restored", async () => {
    const store = await storeOf(
      { pages: { 1: 1, 2: 2 } },
      { pages: { 2: 9 } },
      { pages: { 1: 7 }, commit: 2 },
    );
    const result = await restoreReplica(store, bytesSink(), {
      platform: instantPlatform(),
      txid: 2n,
    });
    expect(result).toMatchObject({
      txid: 2n,
      pageSize: 512,
      commit: 2,
      size: 1024,
      newestTxid: 3n,
    });
    expect(result.time).toEqual(new Date(FAKE_START + 2000));
    expect(result.position).toMatchObject({
      txid: "0000000000000002",
      pageSize: 512,
      commit: 2,
      journalHeader: "rollback",
      chosen: true,
      replica: "memory",
    });
    expect(JSON.parse(JSON.stringify(result.position))).toEqual(result.position);
  });

  test("restoreReplica() resolves relative times by the platform's clock", async () => {
    const store = await storeOf({ pages: { 1: 1 } }, { pages: { 1: 2 } }, { pages: { 1: 3 } });
    const platform = fakePlatform(1, FAKE_START + 62_000);
    const sink = bytesSink();
    await restoreReplica(store, sink, { platform, timestamp: "1 minute ago" });
    expect(sink.bytes).toEqual(fill(2));
  });

  test("restoreReplica() marks the database for a rollback journal only where the sink wants it", async () => {
    const page = new Uint8Array(512);
    page.set(new TextEncoder().encode("SQLite format 3\0"));
    page.set([2, 2], 18);
    const store = await storeOf({ pages: { 1: page } });
    const platform = instantPlatform();
    const journal = async (
      options: Partial<RestoreRequest>,
      sink = bytesSink(),
    ): Promise<number[]> => {
      await restoreReplica(store, sink, { platform, ...options });
      return [...sink.bytes.subarray(18, 20)];
    };
    expect(await journal({})).toEqual([1, 1]);
    expect(await journal({}, bytesSink({ journalHeader: "keep" }))).toEqual([2, 2]);
    expect(await journal({ journalHeader: "keep" })).toEqual([2, 2]);
  });

  test("restoreReplica() leaves the first page alone where it is no SQLite page", async () => {
    const store = await storeOf({ pages: { 1: 5 } });
    const sink = bytesSink();
    await restoreReplica(store, sink, { platform: instantPlatform() });
    expect(sink.bytes).toEqual(fill(5));
  });

  test("restoreReplica() restores an empty database to no bytes", async () => {
    const store = await storeOf({ pages: { 1: 1 } });
    const bytes = encodeLtx(
      {
        ...replicaHeader({ pageSize: 512, commit: 0, minTxid: 2n, maxTxid: 2n, timestamp: 5n }),
        flags: 0,
        preApplyChecksum: 1n << 63n,
      },
      [],
      { postApplyChecksum: 1n << 63n },
    );
    await store.put("ltx/0/0000000000000002-0000000000000002.ltx", bytes);
    const sink = recordingSink();
    const result = await restoreReplica(store, sink, { platform: instantPlatform() });
    expect(result.size).toBe(0);
    expect(sink.calls).toEqual(["start", "truncate 0", "finish"]);
  });

  test("restoreReplica() writes large ascending runs and overlaps them with decoding", async () => {
    const pages = Object.fromEntries(Array.from({ length: 1300 }, (_, i) => [i + 1, { seed: i }]));
    const store = memoryStore();
    await put(store, 0, buildLtx({ pageSize: 4096, pages }));
    let running = 0;
    const calls: string[] = [];
    const sink = recordingSink({
      async write(offset, bytes) {
        calls.push(`${offset}+${bytes.length}`);
        expect(++running).toBe(1);
        const first = bytes[0];
        await new Promise((resolve) => setImmediate(resolve));
        expect(bytes[0]).toBe(first);
        running--;
      },
    });
    await restoreReplica(store, sink, { platform: instantPlatform() });
    expect(calls).toEqual(["0+2097152", "2097152+2097152", "4194304+1130496"]);
  });

  test("restoreReplica() fills the lock page with zeros", async () => {
    // 65536-byte pages put the lock page at 16385, so this database is just over 1 GiB: of one repeated page.
    const pageSize = 65536;
    const page = new Uint8Array(pageSize).fill(7);
    const pages = function* (): Generator<{ pgno: number; data: Uint8Array }> {
      for (let pgno = 1; pgno <= 16386; pgno++) if (pgno !== 16385) yield { pgno, data: page };
    };
    const header = replicaHeader({
      pageSize,
      commit: 16386,
      minTxid: 1n,
      maxTxid: 1n,
      timestamp: 1n,
    });
    const store = memoryStore();
    await store.put("ltx/0/0000000000000001-0000000000000001.ltx", encodeLtx(header, pages()));
    let offset = 0;
    let zeros = 0;
    const sink = recordingSink({
      write(at, bytes) {
        expect(at).toBe(offset);
        offset += bytes.length;
        for (let i = 0; i < bytes.length; i += pageSize) {
          const isLock = (at + i) / pageSize + 1 === 16385;
          const expected = isLock ? 0 : 7;
          if (bytes[i] !== expected || bytes[i + pageSize - 1] !== expected)
            throw new Error(`page at ${at + i}`);
          if (isLock) zeros++;
        }
      },
    });
    await restoreReplica(store, sink, { platform: instantPlatform(), position: false });
    expect([offset, zeros]).toEqual([16386 * pageSize, 1]);
  });

  test("restoreReplica() hands every page to onPage as the replica holds it", async () => {
    const store = await storeOf({ pages: { 1: 1, 2: 2 } }, { pages: { 2: 9 } });
    const seen: string[] = [];
    await restored(store, {
      onPage: (pgno, data) => seen.push(`${pgno}:${data[0]}/${data.length}`),
    });
    expect(seen).toEqual(["1:1/512", "2:9/512"]);
  });

  test("restoreReplica() only explains when asked to, and leaves the sink alone", async () => {
    const store = await storeOf({ pages: { 1: 1 } }, { pages: { 2: 2 } });
    const sink = recordingSink();
    const result = await restoreReplica(store, sink, {
      platform: instantPlatform(),
      explain: true,
    });
    expect(sink.calls).toEqual([]);
    expect(result).toMatchObject({ txid: 2n, commit: 2, size: 1024, position: undefined });
    expect(result.files.map((f) => f.reason)).toHaveLength(2);
  });

  test("restoreReplica() reports progress at the start and the end, and else by the clock", async () => {
    const pages = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [i + 1, i % 256]));
    const store = await storeOf({ pages });
    const seen: RestoreProgress[] = [];
    await restored(store, { onProgress: (p) => seen.push(p) });
    expect(seen).toHaveLength(2);
    expect(seen[0]?.pages).toBe(0);
    const size = buildLtx({ pageSize: 512, pages }).bytes.length;
    expect(seen[1]).toEqual({
      bytes: size,
      totalBytes: size,
      pages: 1000,
      totalPages: 1000,
      file: "ltx/0/0000000000000001-0000000000000001.ltx",
      files: 1,
    });
  });
});

describe("restoreReplica() refuses", () => {
  const chain: LtxSpec[] = [
    { pages: { 1: { seed: 1 }, 2: { seed: 2 } } },
    { pages: { 2: { seed: 3 } } },
    { pages: { 3: { seed: 4 } } },
  ];

  test("restoreReplica() names a file that is cut anywhere, at every place in the plan", async () => {
    for (let file = 0; file < chain.length; file++) {
      const store = await storeOf(...chain);
      const [info] = (await new Replica(store, { platform: instantPlatform() }).files(0)).slice(
        file,
      );
      const bytes = await new Replica(store, { platform: instantPlatform() }).read(info as never);
      for (let length = 0; length < bytes.length; length += 37) {
        await store.put((info as { key: string }).key, bytes.subarray(0, length));
        const error = (await refusal(store)) as DamagedFileError;
        expect(`${length} ${error.code} ${error.file}`).toBe(`${length} DAMAGED_FILE ${info?.key}`);
      }
    }
  });

  test("restoreReplica() names a file with any byte flipped", async () => {
    const store = await storeOf(...chain);
    const [, info] = await new Replica(store, { platform: instantPlatform() }).files(0);
    const key = info?.key as string;
    const bytes = await new Replica(store, { platform: instantPlatform() }).read(info as never);
    for (let i = 0; i < bytes.length; i += 11) {
      const flipped = bytes.slice();
      flipped[i] = (flipped[i] as number) ^ 0x10;
      await store.put(key, flipped);
      const error = (await refusal(store)) as DamagedFileError;
      expect(`${i} ${error.code} ${error.file}`).toBe(`${i} DAMAGED_FILE ${key}`);
    }
  });

  test("restoreReplica() refuses a header that is not what the name says", async () => {
    const store = await storeOf(...chain);
    const other = buildLtx({ pageSize: 512, minTxid: 3n, pages: { 3: 1 } });
    await store.put("ltx/0/0000000000000003-0000000000000004.ltx", other.bytes);
    const error = await refusal(store);
    expect(isPagestreamError(error, "DAMAGED_FILE")).toBe(true);
    expect((error as Error).message).toContain("0000000000000003-0000000000000003.ltx");
  });

  test("restoreReplica() refuses a chain that leaves a hole in the database", async () => {
    const store = await storeOf({ pages: { 1: 1 } }, { pages: { 3: 3 } });
    const error = (await refusal(store)) as DamagedFileError;
    expect(error.code).toBe("DAMAGED_FILE");
    expect(error.message).toContain("page 2");
  });

  test("restoreReplica() refuses pages of two sizes in one chain", async () => {
    const store = await storeOf({ pages: { 1: 1 } }, { pages: { 1: 2 }, pageSize: 1024 });
    const error = (await refusal(store)) as DamagedFileError;
    expect(error.file).toBe("ltx/0/0000000000000002-0000000000000002.ltx");
  });

  test("restoreReplica() allocates nothing for a size that is only announced", async () => {
    const store = await storeOf({ pages: { 1: 1 } }, { pages: { 1: 2 }, commit: 0xffff_fff0 });
    expect(isPagestreamError(await refusal(store), "DAMAGED_FILE")).toBe(true);
    expect(isPagestreamError(await restored(store).catch((e: unknown) => e), "DAMAGED_FILE")).toBe(
      true,
    );
  });

  test("restoreReplica() keeps the empty, the damaged and the gapped apart", async () => {
    expect(isPagestreamError(await refusal(memoryStore()), "NO_BACKUP")).toBe(true);
    const store = await storeOf(...chain);
    await store.delete(["ltx/0/0000000000000002-0000000000000002.ltx"]);
    expect(isPagestreamError(await refusal(store), "GAP")).toBe(true);
    await store.delete(["ltx/0/0000000000000001-0000000000000001.ltx"]);
    expect(isPagestreamError(await refusal(store), "GAP")).toBe(true);
  });

  test.each([
    [{ txid: 1n, timestamp: 5 }],
    [{ txid: 0n }],
    [{ txid: 1n << 64n }],
    [{ txid: "12" }],
    [{ timestamp: "yesterday-ish" }],
  ])("restoreReplica() refuses the options %#", async (options) => {
    const store = await storeOf(...chain);
    expect(isPagestreamError(await refusal(store, options), "INVALID_ARGUMENT")).toBe(true);
  });

  test("restoreReplica() stops at an abort and passes its reason on", async () => {
    const store = await storeOf(...chain);
    const aborter = new AbortController();
    aborter.abort("enough");
    expect(await refusal(store, { signal: aborter.signal })).toMatchObject({
      code: "ABORTED",
      cause: "enough",
    });
  });

  test("restoreReplica() stops at an abort in the middle", async () => {
    const pages = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [i + 1, { seed: i }]));
    const store = memoryStore();
    await put(store, 0, buildLtx({ pageSize: 4096, pages }));
    const aborter = new AbortController();
    const sink = recordingSink({ write: () => aborter.abort("enough") });
    const done = restoreReplica(store, sink, {
      platform: instantPlatform(),
      signal: aborter.signal,
    });
    await expect(done).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    expect(sink.calls).toEqual(["start", "abort"]);
  });

  test("restoreReplica() aborts the sink when a write fails", async () => {
    const store = await storeOf(...chain);
    const sink = recordingSink({ write: () => Promise.reject(new Error("disk full")) });
    await expect(restoreReplica(store, sink, { platform: instantPlatform() })).rejects.toThrow(
      "disk full",
    );
    expect(sink.calls).toEqual(["start", "abort"]);
  });

  test("restoreReplica() runs the check before anything is visible, and refuses what it finds", async () => {
    const store = await storeOf(...chain);
    const platform = instantPlatform();
    const good = recordingSink({
      check: (kind) => Promise.resolve(kind === "quick" ? "ok" : "row 3 missing"),
    });
    await restoreReplica(store, good, { platform, integrityCheck: "quick" });
    expect(good.calls.slice(-2)).toEqual(["truncate 1536", "finish"]);
    const bad = recordingSink({ check: () => Promise.resolve("row 3 missing") });
    const error = await restoreReplica(store, bad, { platform, integrityCheck: "full" }).catch(
      (e: unknown) => e,
    );
    expect((error as IntegrityError).code).toBe("INTEGRITY");
    expect((error as IntegrityError).result).toBe("row 3 missing");
    expect(bad.calls.at(-1)).toBe("abort");
  });

  test("restoreReplica() refuses a check that nobody can run, and takes the caller's", async () => {
    const store = await storeOf(...chain);
    expect(
      isPagestreamError(await refusal(store, { integrityCheck: "quick" }), "UNSUPPORTED"),
    ).toBe(true);
    const kinds: string[] = [];
    const check = (kind: string): Promise<string> =>
      Promise.resolve(kinds.push(kind) > 0 ? "ok" : "");
    await restored(store, { integrityCheck: "full", check });
    expect(kinds).toEqual(["full"]);
  });
});

describe("restoreReplica() survives", () => {
  test("restoreReplica() survives requests that fail and bodies that break off", async () => {
    const pages = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [i + 1, { seed: i }]));
    const whole = await storeOf({ pages }, { pages: { 7: 7 }, commit: 200 });
    const expected = await restored(whole);
    const random = seededRandom(6);
    const store = faultyStore(whole, {
      fault: ({ operation }) => {
        if (operation === "list")
          return random.chance(0.3) ? { cutAfter: random.int(2) } : undefined;
        if (random.chance(0.2)) return { before: storeFault() };
        return random.chance(0.5) ? { cutAfter: random.int(60_000) } : undefined;
      },
    });
    expect(await restored(store)).toEqual(expected);
    expect(store.count("get")).toBeGreaterThan(2);
  });

  test("restoreReplica() plans again when a file of the plan is gone", async () => {
    const files = [
      buildLtx({ pageSize: 512, pages: { 1: 1, 2: 2 } }),
      buildLtx({ pageSize: 512, minTxid: 2n, pages: { 2: 9 } }),
    ];
    const inner = memoryStore();
    for (const file of files) await put(inner, 0, file);
    let listings = 0;
    let compacted = false;
    const store: ObjectStore = {
      ...inner,
      async get(key, options) {
        if (!compacted) {
          compacted = true;
          await put(inner, 1, await merged(files));
          await inner.delete(files.map((f) => `ltx/0/${f.name}`));
        }
        return await inner.get(key, options);
      },
      list(options) {
        listings++;
        return inner.list(options);
      },
    };
    expect(await restored(store)).toEqual(fill(1, 9));
    // All levels and the 0.3 layout, twice.
    expect(listings).toBe(4);
  });

  test.each([1, 2, 3, 4, 5, 6])(
    "restoreReplica() plans again when retention removes file %i of six under it",
    async (gone) => {
      const files = [1, 2, 3, 4, 5, 6].map((n) =>
        buildLtx({ pageSize: 512, minTxid: BigInt(n), pages: { 1: n, [n]: n }, commit: n }),
      );
      const inner = memoryStore();
      for (const file of files) await put(inner, 0, file);
      const key = `ltx/0/${files[gone - 1]?.name}`;
      let plans = 0;
      const store: ObjectStore = {
        ...inner,
        async get(asked, options) {
          if (asked === key) {
            await put(inner, 1, await merged(files)).catch(() => undefined);
            await inner.delete([key]);
          }
          return await inner.get(asked, options);
        },
        list(options) {
          if (options?.prefix === "ltx/") plans++;
          return inner.list(options);
        },
      };
      expect(await restored(store)).toEqual(fill(6, 2, 3, 4, 5, 6));
      expect(plans).toBe(2);
    },
  );

  test("restoreReplica() plans again when a file is another version than the one listed, before it has used any", async () => {
    const files = [
      buildLtx({ pageSize: 512, pages: { 1: 1, 2: 2 } }),
      buildLtx({ pageSize: 512, minTxid: 2n, pages: { 2: 9 } }),
    ];
    const inner = memoryStore();
    for (const file of files) await put(inner, 0, file);
    let touched = 0;
    const store = (times: number): ObjectStore => ({
      ...inner,
      async get(key, options) {
        // As a writer does that gives a file its time after its name.
        if (touched++ < times) for (const file of files) await put(inner, 0, file);
        return await inner.get(key, options);
      },
    });
    expect(await restored(store(1))).toEqual(fill(1, 9));
    touched = 0;
    const error = await refusal(store(Number.POSITIVE_INFINITY));
    expect(error).toMatchObject({ code: "DAMAGED_FILE", cause: { code: "PRECONDITION_FAILED" } });
  });

  test("restoreReplica() lists again when a file moved up a level between two listings", async () => {
    const files = [1, 2, 3].map((n) =>
      buildLtx({ pageSize: 512, minTxid: BigInt(n), pages: { 1: n } }),
    );
    const inner = memoryStore();
    for (const file of files) await put(inner, 0, file);
    let moved = false;
    const store: ObjectStore = {
      ...inner,
      async *list(options) {
        // Level 1 is listed before the file comes, level 0 after it has gone.
        if (options?.prefix === "ltx/0/" && !moved) {
          moved = true;
          await new Promise((resolve) => setImmediate(resolve));
          await put(inner, 1, files[1] as BuiltLtx);
          await inner.delete([`ltx/0/${files[1]?.name}`]);
        }
        yield* inner.list(options);
      },
    };
    expect(await restored(store)).toEqual(fill(3));
  });

  test("restoreReplica() plans again for the same state when the sink has been given a part of it", async () => {
    const count = 3000;
    const pages = Object.fromEntries(Array.from({ length: count }, (_, i) => [i + 1, { seed: i }]));
    const inner = memoryStore();
    const first = buildLtx({ pageSize: 4096, pages });
    await put(inner, 0, first);
    const snapshot = await put(inner, 9, first);
    // The snapshot is read in windows; from the third on it is gone.
    const store = faultyStore(inner, {
      fault: ({ operation, key, offset }) =>
        operation === "get" && key === snapshot && (offset ?? 0) >= 4 * 1024 * 1024
          ? { before: new NotFoundError({ operation: "read", object: key, what: "it is gone" }) }
          : undefined,
    });
    const listing = { count: 0 };
    const replacing: ObjectStore = {
      ...store,
      async *list(options) {
        if (++listing.count === 3) await inner.delete([snapshot]);
        yield* store.list(options);
      },
    };
    const writes: number[] = [];
    const target = bytesSink({ journalHeader: "keep" });
    const sink: RestoreSink = {
      ...target,
      write(offset, bytes) {
        writes.push(offset);
        return target.write(offset, bytes);
      },
    };
    const seen: number[] = [];
    await restoreReplica(replacing, sink, {
      platform: instantPlatform(),
      onPage: (pgno) => seen.push(pgno),
    });
    expect(writes).toEqual([...writes].sort((a, b) => a - b));
    expect(new Set(writes).size).toBe(writes.length);
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    expect(Buffer.compare(target.bytes, await restored(inner))).toBe(0);
  });

  test("restoreReplica() reads thousands of small files with one request each and few at a time", async () => {
    const count = 3000;
    const inner = memoryStore();
    await put(
      inner,
      0,
      buildLtx({
        pageSize: 512,
        pages: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [i + 1, i])),
      }),
    );
    for (let txid = 2; txid <= count; txid++) {
      await put(
        inner,
        0,
        buildLtx({
          pageSize: 512,
          minTxid: BigInt(txid),
          pages: { [1 + (txid % 64)]: txid % 251 },
          commit: 64,
        }),
      );
    }
    let open = 0;
    let most = 0;
    const store: ObjectStore = {
      ...inner,
      async get(key, options) {
        most = Math.max(most, ++open);
        await Promise.resolve();
        try {
          return await inner.get(key, options);
        } finally {
          open--;
        }
      },
    };
    const counting = faultyStore(store);
    const bytes = await restored(counting);
    expect(counting.count("get")).toBe(count);
    expect(most).toBeLessThanOrEqual(16);
    for (let pgno = 1; pgno <= 64; pgno++) {
      let last = pgno - 1;
      for (let txid = 2; txid <= count; txid++) if (1 + (txid % 64) === pgno) last = txid % 251;
      expect(bytes[(pgno - 1) * 512]).toBe(last);
    }
  });
});

async function merged(files: readonly BuiltLtx[]): Promise<BuiltLtx> {
  const chunks: Uint8Array[] = [];
  const inputs = files.map((file) => {
    let bytes: Uint8Array | undefined = file.bytes;
    return {
      name: file.name,
      read() {
        const all = bytes;
        bytes = undefined;
        return all;
      },
    };
  });
  const { header } = await mergeLtx(inputs, (chunk) => void chunks.push(chunk));
  const bytes = new Uint8Array(chunks.reduce((sum, c) => sum + c.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  const last = files.at(-1) as BuiltLtx;
  return { ...last, bytes, minTxid: header.minTxid, maxTxid: header.maxTxid };
}
