import { describe, expect, test } from "vitest";
import { ONE_TRY } from "../../test/helpers/one-try.ts";
import { decodeLtx } from "../ltx/decode-ltx.ts";
import { type BuiltLtx, buildLtx, type LtxSpec } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { encryptedStore } from "../transports/encrypted.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import { bytesSink } from "./bytes-sink.ts";
import { openReplica } from "./replica.ts";
import { restoreReplica } from "./restore.ts";
import type { VerifyFault, VerifyReport } from "./verify-report.ts";
import { verifyReplica, type VerifyRequest } from "./verify.ts";

function verify(store: ObjectStore, request: VerifyRequest = {}): Promise<VerifyReport> {
  return verifyReplica(openReplica(store, { platform: fakePlatform(1), retry: ONE_TRY }), request);
}

interface Built {
  readonly level: number;
  readonly file: BuiltLtx;
  readonly key: string;
}

const keyOf = (level: number, { name }: BuiltLtx): string => `ltx/${level}/${name}`;

/** A replica of 512-byte pages: level 0 from 1 to 6, level 1 of 1-2 and 3-4, a snapshot of 4. */
const FILES: readonly (readonly [number, LtxSpec])[] = [
  [0, { minTxid: 1n, pages: { 1: 1, 2: { seed: 2 } } }],
  [0, { minTxid: 2n, pages: { 2: { seed: 3 }, 3: 0 } }],
  [0, { minTxid: 3n, pages: { 1: { seed: 4 } }, commit: 3 }],
  [0, { minTxid: 4n, pages: { 3: 7 }, commit: 3 }],
  [0, { minTxid: 5n, pages: { 2: { seed: 5 } }, commit: 3 }],
  [0, { minTxid: 6n, pages: { 1: { seed: 6 } }, commit: 3 }],
  [1, { minTxid: 1n, maxTxid: 2n, pages: { 1: 1, 2: { seed: 3 }, 3: 0 } }],
  [1, { minTxid: 3n, maxTxid: 4n, pages: { 1: { seed: 4 }, 3: 7 }, commit: 3 }],
  [9, { minTxid: 1n, maxTxid: 4n, pages: { 1: { seed: 4 }, 2: { seed: 3 }, 3: 7 } }],
];

const build = ([level, spec]: readonly [number, LtxSpec]): Built => {
  const file = buildLtx({ pageSize: 512, ...spec });
  return { level, file, key: keyOf(level, file) };
};

const built = FILES.map(build);

/** Files of which every bit can be flipped: a snapshot, and one page. */
const SMALL = [
  build([0, { minTxid: 1n, pages: { 1: 1, 2: new Uint8Array(512).map((_, i) => i >> 6) } }]),
  build([0, { minTxid: 2n, pages: { 2: 3 } }]),
];

async function put(store: ObjectStore, level: number, file: BuiltLtx): Promise<string> {
  const metadata = { "litestream-timestamp": formatTimestamp(file.timestamp) };
  await store.put(keyOf(level, file), file.bytes, { metadata });
  return keyOf(level, file);
}

async function replicaIn(store: ObjectStore, files = built): Promise<ObjectStore> {
  for (const { level, file } of files) await put(store, level, file);
  return store;
}

const brief = (faults: readonly VerifyFault[]): string[] =>
  faults.map(({ code, file }) => `${code} ${file}`);

const ltx = (level: number, min: number, max = min): string =>
  `ltx/${level}/${[min, max].map((n) => n.toString(16).padStart(16, "0")).join("-")}.ltx`;

/** Files of small or absurd ranges on any level, some damaged, some no files at all. */
async function anything(seed: number): Promise<ObjectStore> {
  const random = seededRandom(seed);
  const store = memoryStore();
  const isAbsurd = random.chance(0.1);
  const txid = (): bigint => (isAbsurd ? BigInt(random.next()) << 32n : BigInt(random.int(5)));
  for (let left = 1 + random.int(6); left > 0; left--) {
    const minTxid = random.chance(0.4) ? 1n : txid();
    const maxTxid = random.chance(0.6) ? minTxid : txid();
    let bytes = random.bytes(1 + random.int(300));
    if (minTxid > 0n && minTxid <= maxTxid) {
      const commit = 1 + random.int(4);
      const pages: Record<number, number> = {};
      for (let pgno = 1; pgno <= commit; pgno++) {
        if (minTxid === 1n || random.chance(0.6)) pages[pgno] = random.int(256);
      }
      const timestamp = random.chance(0.1) ? -8.64e15 : 1e12 + random.int(3);
      const pageSize = random.chance(0.1) ? 1024 : 512;
      bytes = buildLtx({ minTxid, maxTxid, pages, commit, pageSize, timestamp }).bytes;
    }
    if (random.chance(0.2)) bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    const name = [minTxid, maxTxid].map((n) => n.toString(16).padStart(16, "0")).join("-");
    await store.put(`ltx/${random.pick([0, 0, 0, 1, 8, 9])}/${name}.ltx`, bytes);
  }
  return store;
}

describe("verify", () => {
  test("verify() finds nothing wrong with a sound replica, and says what it holds", async () => {
    const report = await verify(await replicaIn(memoryStore()), { restore: true });
    const bytes = built.reduce((sum, { file }) => sum + file.bytes.length, 0);
    expect(report).toMatchObject({ sound: true, faults: [], encrypted: "none", files: 9, bytes });
    expect(report.pages).toBe(built.reduce((sum, { file }) => sum + file.pages.size, 0));
    expect(report.pageSizes).toEqual([512]);
    expect(
      report.levels.map(({ level, files, minTxid, maxTxid }) => [level, files, minTxid, maxTxid]),
    ).toEqual([
      [0, 6, 1n, 6n],
      [1, 2, 1n, 4n],
      [9, 1, 1n, 4n],
    ]);
    expect(report.newest).toEqual({ txid: 6n, time: new Date(built[5]!.file.timestamp) });
    expect(report.drill).toMatchObject({ txid: 6n, pageSize: 512, commit: 3, checked: false });
  });

  test("verify() names the file of every flipped bit that changes what the file says", async () => {
    const store = await replicaIn(memoryStore(), SMALL);
    let harmless = 0;
    for (const { file, key } of SMALL) {
      const pages = decodeLtx(file.bytes);
      for (let bit = 0; bit < file.bytes.length * 8; bit++) {
        const bytes = file.bytes.slice();
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        await store.put(key, bytes);
        const { sound, faults } = await verify(store);
        if (!sound) {
          expect(faults[0]?.file).toBe(key);
          continue;
        }
        // In a run of equal bytes a match may begin further back: other bytes, the same pages.
        expect({ bit, pages: decodeLtx(bytes).pages }).toEqual({ bit, pages: pages.pages });
        harmless++;
      }
      await store.put(key, file.bytes);
    }
    expect(harmless).toBeLessThan(20);
  });

  test("verify() names the file of every cut, of surplus bytes and of a zeroed tail", async () => {
    const store = await replicaIn(memoryStore(), SMALL);
    for (const { file, key } of SMALL) {
      const { length } = file.bytes;
      const wrong = Array.from({ length }, (_, cut) => file.bytes.slice(0, cut));
      wrong.push(
        new Uint8Array([...file.bytes, 0]),
        new Uint8Array([...file.bytes, ...file.bytes]),
      );
      for (let tail = 1; tail < length; tail += 7)
        wrong.push(file.bytes.slice().fill(0, length - tail));
      for (const [i, bytes] of wrong.entries()) {
        await store.put(key, bytes);
        const { faults } = await verify(store);
        expect({ i, file: faults[0]?.file }).toEqual({ i, file: key });
      }
      await store.put(key, file.bytes);
    }
  });

  test("verify() names the file of sampled flips in larger files", async () => {
    const random = seededRandom(20261122);
    const pages = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i + 1, { seed: i }]));
    const file = buildLtx({ pages });
    const store = memoryStore();
    for (let i = 0; i < 40; i++) {
      const bytes = file.bytes.slice();
      const bit = random.int(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      await store.put(keyOf(0, file), bytes);
      const { faults } = await verify(store);
      const shown = { seed: random.seed, bit, faults: brief(faults).length };
      expect(shown).toEqual({ seed: random.seed, bit, faults: 1 });
      expect(faults[0]?.file).toBe(keyOf(0, file));
    }
  });

  test("verify() names interior files that are missing, of each level", async () => {
    for (const txid of [2, 3, 4, 5]) {
      const store = await replicaIn(memoryStore());
      await store.delete([ltx(0, txid)]);
      const codes = brief((await verify(store)).faults);
      expect(codes[0]).toBe(`GAP ${ltx(0, txid)}`);
      // Of 5 there is no other copy.
      expect(codes.slice(1)).toEqual(txid === 5 ? [`GAP ${ltx(0, 6)}`] : []);
    }
    const store = await replicaIn(memoryStore());
    await store.delete([ltx(0, 2), ltx(0, 3)]);
    await put(store, 1, buildLtx({ pageSize: 512, minTxid: 6n, pages: { 1: 1 }, commit: 3 }));
    expect(brief((await verify(store)).faults)).toEqual([
      `GAP ${ltx(0, 2)}`,
      `GAP ${ltx(0, 3)}`,
      `GAP ${ltx(1, 5)}`,
    ]);
  });

  test("verify() names files up to a bound where a gap is wide", async () => {
    const store = await replicaIn(memoryStore());
    const far = 2 ** 48;
    await put(
      store,
      0,
      buildLtx({
        pageSize: 512,
        minTxid: BigInt(far),
        timestamp: 2e12,
        pages: { 1: 1 },
        commit: 3,
      }),
    );
    const { faults, newest } = await verify(store);
    expect(faults.length).toBe(66);
    expect(brief(faults).at(-2)).toBe(`GAP ${ltx(0, 71, far - 1)}`);
    expect(brief(faults).at(-1)).toBe(`GAP ${ltx(0, far)}`);
    expect(newest).toBeUndefined();
  });

  test("verify() takes the gap that a destination left behind is given a file for", async () => {
    const store = memoryStore();
    const pages = { 1: { seed: 1 }, 2: { seed: 2 } };
    const all = [
      [0, { minTxid: 1n, pages }],
      [1, { minTxid: 1n, pages }],
      [1, { minTxid: 2n, maxTxid: 9n, pages }],
      [0, { minTxid: 9n, pages: { 2: { seed: 2 } } }],
    ] as const;
    for (const [level, spec] of all) await put(store, level, buildLtx(spec));
    expect((await verify(store, { restore: true })).faults).toEqual([]);
    // One that holds a part of the pages is no such file.
    await put(store, 1, buildLtx({ minTxid: 2n, maxTxid: 9n, pages: { 2: 1 } }));
    expect(brief((await verify(store)).faults)[0]).toBe(`GAP ${ltx(0, 2)}`);
  });

  test("verify() names files whose header says another range than their name", async () => {
    const store = await replicaIn(memoryStore());
    const [a, b] = [built[1]!, built[2]!];
    await store.put(a.key, b.file.bytes);
    await store.put(b.key, a.file.bytes);
    const { faults } = await verify(store);
    expect(brief(faults)).toEqual([`DAMAGED_FILE ${a.key}`, `DAMAGED_FILE ${b.key}`]);
    expect(faults[0]?.message).toContain("0000000000000003-0000000000000003.ltx");
  });

  test("verify() names files that are on a level where they cannot be", async () => {
    const store = await replicaIn(memoryStore());
    const wide = await put(
      store,
      0,
      buildLtx({ pageSize: 512, minTxid: 7n, maxTxid: 8n, pages: { 1: 1 }, commit: 3 }),
    );
    const part = await put(
      store,
      9,
      buildLtx({ pageSize: 512, minTxid: 2n, maxTxid: 5n, pages: { 1: 1 }, commit: 3 }),
    );
    const { faults } = await verify(store);
    expect(brief(faults)).toEqual([`DAMAGED_FILE ${wide}`, `DAMAGED_FILE ${part}`]);
  });

  test("verify() names files whose names are no range", async () => {
    const store = memoryStore();
    await store.put(ltx(0, 1, 0), new Uint8Array(200));
    const { faults } = await verify(store, { restore: true });
    const codes = ["INVALID_LTX", "DAMAGED_FILE", "GAP"].map((code) => `${code} ${ltx(0, 1, 0)}`);
    expect(brief(faults)).toEqual([...codes, "RESTORE undefined"]);
  });

  test("verify() names a level above the newest file of level 0", async () => {
    const store = await replicaIn(memoryStore());
    const above = await put(
      store,
      1,
      buildLtx({ pageSize: 512, minTxid: 5n, maxTxid: 7n, pages: { 1: 1 }, commit: 3 }),
    );
    expect(brief((await verify(store)).faults)).toEqual([`ABOVE_L0 ${above}`]);
    await store.delete([1, 2, 3, 4, 5, 6].map((txid) => ltx(0, txid)));
    const { faults } = await verify(store);
    expect(brief(faults)).toEqual([`ABOVE_L0 ${above}`]);
    expect(faults[0]?.message).toContain("level 0 has no file");
  });

  test("verify() names times that go back, and page sizes that change without the whole database", async () => {
    const store = memoryStore();
    const all = [
      { minTxid: 1n, pages: { 1: 1, 2: 2 }, timestamp: 5000 },
      { minTxid: 2n, pages: { 2: 2 }, timestamp: 4999 },
      { minTxid: 3n, pages: { 2: 2 }, timestamp: 6000, pageSize: 512 },
      { minTxid: 4n, pages: { 1: 1, 2: 2, 3: 3 }, timestamp: 6000 },
    ];
    for (const spec of all) await put(store, 0, buildLtx(spec));
    const report = await verify(store);
    expect(brief(report.faults)).toEqual([`TIME ${ltx(0, 2)}`, `PAGE_SIZE ${ltx(0, 3)}`]);
    expect(report.pageSizes).toEqual([512, 4096]);
    const { faults } = await verify(store, { restore: true });
    expect(brief(faults).at(-1)).toBe(`RESTORE ${ltx(0, 3)}`);
  });

  test("verify() finds pages that no file of the chain holds, when it restores", async () => {
    const store = memoryStore();
    await put(store, 0, buildLtx({ pages: { 1: 1 } }));
    await put(store, 0, buildLtx({ minTxid: 2n, pages: { 3: 3 } }));
    expect((await verify(store)).sound).toBe(true);
    const { faults } = await verify(store, { restore: true });
    expect(brief(faults)).toEqual([`RESTORE ${ltx(0, 2)}`]);
  });

  test("verify() believes a gap only when a second listing shows it too", async () => {
    const inner = await replicaIn(memoryStore());
    const last = buildLtx({ pageSize: 512, minTxid: 7n, pages: { 1: 1 }, commit: 3 });
    let listings = 0;
    // The first listing misses a file that the second has: it was compacted meanwhile.
    const store: ObjectStore = {
      ...inner,
      async *list(options) {
        const first = ++listings === 1;
        for await (const info of inner.list(options)) {
          if (!first || info.key !== ltx(0, 5)) yield info;
        }
        if (first) await put(inner, 0, last);
      },
    };
    const report = await verify(store);
    expect(report).toMatchObject({ sound: true, files: 10, newest: { txid: 7n } });
    expect(listings).toBe(2);
  });

  test("verify() believes damage only when it reads it twice", async () => {
    const inner = await replicaIn(memoryStore());
    const { key, file } = built[3]!;
    await inner.put(key, file.bytes.subarray(0, 150));
    let reads = 0;
    // Seen while it is written, as by writers that give a file its name first.
    const store: ObjectStore = {
      ...inner,
      async get(name, options) {
        if (name === key) reads++;
        const got = await inner.get(name, options);
        if (name === key && reads === 1) await inner.put(key, file.bytes);
        return got;
      },
    };
    expect(await verify(store)).toMatchObject({ sound: true, files: 9 });
    expect(reads).toBe(2);
  });

  test("verify() passes over files that are removed while it reads, and names what is listed and not there", async () => {
    const inner = await replicaIn(memoryStore());
    const gone = ltx(1, 1, 2);
    const store: ObjectStore = {
      ...inner,
      async get(key, options) {
        if (key === gone) await inner.delete([gone]);
        return await inner.get(key, options);
      },
    };
    expect(await verify(store)).toMatchObject({ sound: true, files: 8 });
    await replicaIn(inner);
    const stubborn: ObjectStore = { ...store, list: () => inner.list() };
    await replicaIn(inner);
    const still: ObjectStore = {
      ...stubborn,
      get: (key, options) => inner.get(key === gone ? "nothing" : key, options),
    };
    expect(brief((await verify(still)).faults)).toEqual([`NOT_FOUND ${gone}`]);
  });

  test("verify() tells a replica of Litestream 0.3 from none", async () => {
    const store = memoryStore();
    await store.put("generations/0123456789abcdef/notes.txt", new Uint8Array(1));
    await expect(verify(store)).rejects.toMatchObject({ code: "NO_BACKUP" });
    const snapshot = "generations/0123456789abcdef/snapshots/00000000.snapshot.lz4";
    await store.put(snapshot, new Uint8Array(1));
    const verifying = verify(store);
    await expect(verifying).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(verifying).rejects.toThrow(/Litestream 0\.3.* Restore it with an integrity check/);
  });

  test("verify() rejects where it cannot look", async () => {
    await expect(verify(memoryStore())).rejects.toMatchObject({ code: "NO_BACKUP" });
    const store = faultyStore(await replicaIn(memoryStore()));
    store.failNext("get", { before: storeFault("access denied", false) });
    await expect(verify(store, { restore: true })).rejects.toMatchObject({ code: "STORE" });
    store.failNext("list", { before: storeFault("access denied", false) });
    await expect(verify(store)).rejects.toMatchObject({ code: "STORE" });
    const signal = AbortSignal.abort();
    await expect(verify(store, { signal })).rejects.toMatchObject({ code: "ABORTED" });
    for (const concurrency of [0, Number.NaN, 1.5, Number.POSITIVE_INFINITY]) {
      await expect(verify(store, { concurrency })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    }
    const probes = [{ sql: "SELECT 1", expected: 1 }];
    for (const restore of [undefined, true] as const) {
      await expect(verify(store, { restore, probes })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    }
  });

  test("verify() goes on where a transfer breaks off, and asks for each file once", async () => {
    const store = faultyStore(await replicaIn(memoryStore()));
    const { clock, ...chance } = fakePlatform(1);
    const schedule = (callback: () => void): (() => void) => {
      queueMicrotask(callback);
      return () => undefined;
    };
    const retry = { ...ONE_TRY, attempts: 2 };
    const replica = openReplica(store, {
      platform: { ...chance, clock: { ...clock, schedule } },
      retry,
    });
    store.reset();
    store.failNext("get", { cutAfter: 150 });
    const seen: number[] = [];
    const running = verifyReplica(replica, { onProgress: ({ files }) => seen.push(files) });
    expect(await running).toMatchObject({ sound: true, files: 9 });
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect({ gets: store.count("get"), lists: store.count("list") }).toEqual({
      gets: 10,
      lists: 1,
    });
    expect(store.requests.filter(({ offset }) => (offset ?? 0) > 0)).toMatchObject([
      { offset: 150 },
    ]);
  });

  test("verify() reports, whatever lies in the store, and what it finds sound restores", async () => {
    let sound = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const store = await anything(seed);
      const { faults, newest } = await verify(store, { restore: true });
      if (faults.length > 0) continue;
      sound++;
      const sink = bytesSink();
      const restored = await restoreReplica(store, sink, {
        platform: fakePlatform(1),
        position: false,
      });
      expect({ seed, txid: restored.txid }).toEqual({ seed, txid: newest?.txid });
    }
    expect(sound).toBeGreaterThan(10);
    expect(sound).toBeLessThan(190);
  });

  test("verify() states whether a replica is encrypted, with the key and without", async () => {
    const inner = memoryStore();
    const keys = { keys: { one: seededRandom(1).bytes(32) }, keyId: "one" };
    const store = await replicaIn(encryptedStore(inner, keys));
    expect(await verify(store, { restore: true })).toMatchObject({ sound: true, encrypted: "all" });
    const without = await verify(inner);
    expect(without).toMatchObject({ sound: false, encrypted: "all", files: 9 });
    expect(new Set(without.faults.map(({ code }) => code))).toEqual(new Set(["LTX_UNSUPPORTED"]));
    const { file, key } = built[3]!;
    await inner.put(key, file.bytes);
    const mixed = await verify(store);
    expect(brief(mixed.faults)).toEqual([`DECRYPT ${key}`]);
    expect(mixed.encrypted).toBe("some");
    expect((await verify(inner)).encrypted).toBe("some");
  });
});
