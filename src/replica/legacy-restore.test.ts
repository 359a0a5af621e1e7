import { describe, expect, test } from "vitest";
import {
  checkpointed,
  type LegacyFiles,
  lz4Frame,
  pageOf,
  segmentKey,
  snapshotKey,
  storeWith,
  walOf,
  type WalTransaction,
} from "../../test/helpers/legacy-replica.ts";
import { concatBytes, equalBytes } from "../core/bytes.ts";
import type { PagestreamError } from "../core/errors.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { type SeededRandom, seededRandom } from "../testing/seeded-random.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { bytesSink } from "./bytes-sink.ts";
import { legacyFiles } from "./legacy-layout.ts";
import { type LegacyPlan, planAnyRestore } from "./legacy-plan.ts";
import { restoreLegacy } from "./legacy-restore.ts";
import { listRestorePoints } from "./list-restore-points.ts";
import { Replica } from "./replica.ts";
import type { RestoreRequest } from "./restore-options.ts";
import { restoreReplica } from "./restore.ts";

const GENERATION = "0123456789abcdef";
const PAGE_SIZE = 512;
const START = Date.UTC(2026, 0, 1);

type MutableFiles = Record<string, LegacyFiles[string]>;

/** A history in the 0.3 layout, and the database at the time of each of its files. */
interface History {
  readonly files: MutableFiles;
  readonly states: Map<number, Uint8Array>;
}

function database(size: number, fill: number): Uint8Array<ArrayBuffer> {
  const pages = Array.from({ length: size }, (_, i) => pageOf(i + 1, fill, PAGE_SIZE));
  return concatBytes(pages);
}

/** Random transactions over several WALs that grow and shrink the database, cut into segments at random commits. */
function randomHistory(random: SeededRandom): History {
  const files: MutableFiles = {};
  const states = new Map<number, Uint8Array>();
  let size = 3 + random.int(20);
  let base: Uint8Array = database(size, 1);
  let time = START;
  const first = random.int(3);
  const put = (key: string, bytes: Uint8Array, state: Uint8Array): void => {
    files[key] = { bytes: lz4Frame(bytes, { blockLength: 8 * PAGE_SIZE }), time };
    states.set(time, state);
    time += 1 + random.int(5);
  };
  put(snapshotKey(GENERATION, first), base, base);
  const wals = random.int(5);
  for (let index = first; index < first + wals; index++) {
    const transactions: WalTransaction[] = [];
    const count = 1 + random.int(5);
    for (let i = 0; i < count; i++) {
      const before = size;
      size = Math.max(2, size + random.int(9) - 4);
      const pages: Record<number, number> = {};
      for (let pgno = 1; pgno <= size; pgno++) {
        if (pgno > before || random.chance(0.3)) pages[pgno] = 1 + random.int(255);
      }
      pages[size] = 1 + random.int(255);
      transactions.push({ pages, commit: size });
    }
    const { bytes, ends } = walOf(transactions, PAGE_SIZE, index + 7);
    let from = 0;
    for (const [i, end] of ends.entries()) {
      if (i < ends.length - 1 && random.chance(0.5)) continue;
      const state = checkpointed(base, transactions.slice(0, i + 1), PAGE_SIZE);
      put(segmentKey(GENERATION, index, from), bytes.subarray(from, end), state);
      from = end;
    }
    base = checkpointed(base, transactions, PAGE_SIZE);
  }
  return { files, states };
}

function replicaOf(store: ObjectStore): Replica {
  return new Replica(store, { platform: fakePlatform(1) });
}

async function restored(
  store: ObjectStore,
  request: RestoreRequest = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restoreReplica(store, sink, { ...request, platform: fakePlatform(1) });
  return sink.bytes;
}

async function refusal(store: ObjectStore, request: RestoreRequest = {}): Promise<PagestreamError> {
  const sink = bytesSink();
  const error = await restoreReplica(store, sink, { ...request, platform: fakePlatform(1) }).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(sink.bytes).toHaveLength(0);
  return error as PagestreamError;
}

/** A snapshot of index 1 with three segments, two of index 1 and one of index 2. */
function smallHistory(): MutableFiles {
  const snapshot = database(4, 1);
  const first = walOf(
    [
      { pages: { 1: 2, 4: 2 }, commit: 4 },
      { pages: { 2: 3, 5: 3 }, commit: 5 },
    ],
    PAGE_SIZE,
  );
  const second = walOf([{ pages: { 1: 4, 3: 4 }, commit: 3 }], PAGE_SIZE, 2);
  const cut = first.ends[0] as number;
  const frame = (bytes: Uint8Array, time: number): LegacyFiles[string] => ({
    bytes: lz4Frame(bytes),
    time: START + time,
  });
  return {
    [snapshotKey(GENERATION, 1)]: frame(snapshot, 0),
    [segmentKey(GENERATION, 1, 0)]: frame(first.bytes.subarray(0, cut), 1),
    [segmentKey(GENERATION, 1, cut)]: frame(first.bytes.subarray(cut), 2),
    [segmentKey(GENERATION, 2, 0)]: frame(second.bytes, 3),
  };
}

describe("restoreReplica()", () => {
  const seeds = Array.from({ length: 60 }, (_, seed) => seed);
  test.each(seeds)("restoreReplica() gives each state of a 0.3 history, seed %i", async (seed) => {
    const { files, states } = randomHistory(seededRandom(seed));
    const store = await storeWith(files);
    const points = await listRestorePoints(replicaOf(store));
    expect(points.map((p) => p.time.getTime())).toEqual([...states.keys()].reverse());
    for (const [time, state] of states) {
      const bytes = await restored(store, { timestamp: time });
      expect(equalBytes(bytes, state)).toBe(true);
    }
    expect(equalBytes(await restored(store), [...states.values()].at(-1) as Uint8Array)).toBe(true);
  });

  test.each(seeds.slice(0, 20))(
    "restoreLegacy() gives the same in a window of four pages, seed %i",
    async (seed) => {
      const { files, states } = randomHistory(seededRandom(seed));
      const replica = replicaOf(await storeWith(files));
      const legacy = await legacyFiles(replica, undefined);
      const plan = planAnyRestore({ levels: [], legacy }, {}, "it") as LegacyPlan;
      const sink = bytesSink({ journalHeader: "keep" });
      const options = { platform: fakePlatform(1) };
      const windowBytes = 4 * PAGE_SIZE;
      await restoreLegacy({ replica, sink, options, check: undefined, windowBytes }, plan);
      expect(equalBytes(sink.bytes, [...states.values()].at(-1) as Uint8Array)).toBe(true);
    },
  );

  test("restoreReplica() tells what a 0.3 state is made of, also when it only explains", async () => {
    const store = await storeWith(smallHistory());
    const sink = bytesSink();
    const options = { platform: fakePlatform(1) };
    const plan = await restoreReplica(store, sink, { ...options, explain: true });
    expect(sink.bytes).toHaveLength(0);
    expect(plan).toMatchObject({ txid: 0n, files: [], pageSize: 512, commit: 3, newestTxid: 0n });
    expect(plan.legacy).toMatchObject({ generation: GENERATION, index: 2, offset: 0 });
    expect(plan.legacy?.files.map((f) => f.key)).toEqual(Object.keys(smallHistory()));
    expect(plan.time).toEqual(new Date(START + 3));
    expect(await restoreReplica(store, sink, options)).toEqual(plan);
    expect([...sink.bytes.subarray(18, 20)]).toEqual([1, 1]);
  });

  test("restoreReplica() reports progress and every page of a 0.3 state in order", async () => {
    const pgnos: number[] = [];
    const shares: number[] = [];
    await restored(await storeWith(smallHistory()), {
      onPage: (pgno) => pgnos.push(pgno),
      onProgress: ({ bytes, totalBytes, pages, totalPages }) =>
        shares.push(bytes / totalBytes, pages / totalPages),
    });
    expect(pgnos).toEqual([1, 2, 3]);
    expect(shares.slice(-2)).toEqual([1, 1]);
  });

  test("restoreReplica() leaves out a transaction of 0.3 without its end", async () => {
    const files = smallHistory();
    const { bytes } = walOf([{ pages: { 1: 9 }, commit: 0 }], PAGE_SIZE, 3);
    files[segmentKey(GENERATION, 3, 0)] = { bytes: lz4Frame(bytes), time: START + 4 };
    const before = await restored(await storeWith(smallHistory()));
    expect(equalBytes(await restored(await storeWith(files)), before)).toBe(true);
  });

  test.each([1, 3])(
    "restoreReplica() names the gap where segment %i is missing",
    async (missing) => {
      const files = smallHistory();
      const third = walOf([{ pages: { 1: 5 }, commit: 3 }], PAGE_SIZE, 3).bytes;
      files[segmentKey(GENERATION, 3, 0)] = { bytes: lz4Frame(third), time: START + 4 };
      const keys = Object.keys(files);
      delete files[keys[missing] as string];
      const nextFile = keys[missing + 1];
      expect(await refusal(await storeWith(files))).toMatchObject({ code: "GAP", nextFile });
    },
  );

  test("restoreReplica() refuses a segment that does not begin where the one before ends", async () => {
    const files = smallHistory();
    const [, , third] = Object.keys(files) as [string, string, string];
    const moved = segmentKey(GENERATION, 1, Number.parseInt(third.slice(-16, -8), 16) + 8);
    files[moved] = files[third] as LegacyFiles[string];
    delete files[third];
    expect(await refusal(await storeWith(files))).toMatchObject({ code: "GAP", nextFile: moved });
  });

  test("restoreReplica() refuses segments of 0.3 without a snapshot", async () => {
    const files = smallHistory();
    delete files[snapshotKey(GENERATION, 1)];
    expect(await refusal(await storeWith(files))).toMatchObject({ code: "GAP" });
    expect(await refusal(await storeWith(files), { timestamp: START + 3 })).toMatchObject({
      code: "GAP",
    });
  });

  test("restoreReplica() says that 0.3 has no TXIDs, and which time is the oldest", async () => {
    const store = await storeWith(smallHistory());
    expect(await refusal(store, { txid: 1n })).toMatchObject({ code: "TXID_NOT_AVAILABLE" });
    expect(await refusal(store, { timestamp: START - 1 })).toMatchObject({
      code: "TIMESTAMP_NOT_AVAILABLE",
      oldest: new Date(START),
    });
  });

  test.each([
    ["an LZ4 frame with a wrong checksum", (bytes: Uint8Array) => flip(lz4Frame(bytes))],
    ["a frame of the WAL with a wrong checksum", (bytes: Uint8Array) => lz4Frame(flip(bytes))],
    ["half a frame", (bytes: Uint8Array) => lz4Frame(bytes.subarray(0, bytes.length - 9))],
    ["a WAL header with a wrong checksum", (bytes: Uint8Array) => lz4Frame(flip(bytes, 20))],
    ["nothing", () => new Uint8Array(0)],
    ["a WAL of nothing", () => lz4Frame(new Uint8Array(0))],
  ])("restoreReplica() names a segment with %s", async (_name, damage) => {
    const files = smallHistory();
    const key = segmentKey(GENERATION, 2, 0);
    const { bytes } = walOf([{ pages: { 1: 4, 3: 4 }, commit: 3 }], PAGE_SIZE, 2);
    files[key] = { bytes: damage(bytes), time: START + 3 };
    const store = await storeWith(files);
    expect(await refusal(store)).toMatchObject({ code: "DAMAGED_FILE", file: key });
    expect(await restored(store, { timestamp: START + 2 })).toHaveLength(5 * PAGE_SIZE);
  });

  test.each([
    ["no database", lz4Frame(new Uint8Array(2048).fill(7))],
    ["half a page", lz4Frame(database(4, 1).subarray(0, 1000))],
    ["nothing", lz4Frame(new Uint8Array(0))],
    ["another page size than the WAL", lz4Frame(pageOf(1, 1, 1024))],
  ])("restoreReplica() names a snapshot with %s", async (_name, bytes) => {
    const files = smallHistory();
    const key = snapshotKey(GENERATION, 1);
    files[key] = { bytes, time: START };
    expect(await refusal(await storeWith(files))).toMatchObject({
      code: "DAMAGED_FILE",
      file: key,
    });
  });

  test("restoreReplica() refuses what age encrypted", async () => {
    const files = smallHistory();
    const text = Uint8Array.from("age-encryption.org/v1\n", (c) => c.charCodeAt(0));
    files[snapshotKey(GENERATION, 1)] = { bytes: text, time: START };
    const error = await refusal(await storeWith(files));
    expect(error).toMatchObject({ code: "UNSUPPORTED" });
    expect(error.message).toContain("age");
  });
});

function flip(bytes: Uint8Array, at = bytes.length - 1): Uint8Array {
  const flipped = bytes.slice();
  flipped[at]! ^= 1;
  return flipped;
}
