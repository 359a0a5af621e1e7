import { describe, expect, test } from "vitest";
import {
  type LegacyFiles,
  lz4Frame,
  pageOf,
  segmentKey,
  snapshotKey,
  storeWith,
} from "../../test/helpers/legacy-replica.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import { bytesSink } from "./bytes-sink.ts";
import { parseLegacyKey } from "./legacy-layout.ts";
import { listRestorePoints } from "./list-restore-points.ts";
import { Replica } from "./replica.ts";
import type { RestoreRequest } from "./restore-options.ts";
import { restoreReplica } from "./restore.ts";
import { readMarker } from "./marker.ts";

const [OLD, NEW] = ["ffffffffffffffff", "0000000000000000"];
const START = Date.UTC(2026, 0, 1);

/** A snapshot whose database is one page filled with one value. */
function snapshot(fill: number, time: number): LegacyFiles[string] {
  return { bytes: lz4Frame(pageOf(1, fill, 512)), time: START + time };
}

/** Level 0 files of one page each, at these times. */
function ltxAt(...times: number[]): LegacyFiles {
  const files = times.map((time, i) => {
    const txid = BigInt(i + 1);
    const timestamp = START + time;
    const built = buildLtx({ pageSize: 512, minTxid: txid, timestamp, pages: { 1: 100 + i } });
    return [`ltx/0/${built.name}`, { bytes: built.bytes, time: timestamp }];
  });
  return Object.fromEntries(files);
}

interface Answer {
  /** Value of a byte of the database's page. */
  readonly fill: number | undefined;
  readonly txid: bigint;
  readonly chosen: Uint8Array | undefined;
}

async function answer(files: LegacyFiles, request: RestoreRequest = {}): Promise<Answer> {
  const sink = bytesSink({ journalHeader: "keep" });
  let chosen: Uint8Array | undefined;
  const keeping = { ...sink, chosen: (marker: Uint8Array) => void (chosen = marker) };
  const options = { ...request, platform: fakePlatform(1) };
  const { txid } = await restoreReplica(await storeWith(files), keeping, options);
  return { fill: sink.bytes[200], txid, chosen };
}

async function codeOf(files: LegacyFiles, request: RestoreRequest): Promise<unknown> {
  return await answer(files, request).catch((error: { code: string }) => error.code);
}

describe("planAnyRestore()", () => {
  test("planAnyRestore() takes the snapshot that is newest by its time, of whatever generation", async () => {
    const files = {
      [snapshotKey(OLD, 9)]: snapshot(1, 0),
      [snapshotKey(NEW, 0)]: snapshot(2, 10),
    };
    expect(await answer(files)).toMatchObject({ fill: 2, txid: 0n });
    expect(await answer(files, { timestamp: START + 9 })).toMatchObject({ fill: 1 });
    expect(await answer(files, { timestamp: START + 10 })).toMatchObject({ fill: 2 });
  });

  test("planAnyRestore() takes the layout with the newest file, LTX where both are of one time", async () => {
    const legacy = { [snapshotKey(OLD, 0)]: snapshot(1, 5) };
    expect(await answer({ ...legacy, ...ltxAt(4) })).toMatchObject({ fill: 1, txid: 0n });
    expect((await answer({ ...legacy, ...ltxAt(5) })).txid).toBe(1n);
    expect((await answer({ ...legacy, ...ltxAt(6) })).txid).toBe(1n);
  });

  test("planAnyRestore() goes by the files not after the wanted time, without a wait for a level 9 file", async () => {
    const files = { [snapshotKey(OLD, 0)]: snapshot(1, 0), ...ltxAt(10, 20) };
    const at = async (time: number): Promise<bigint> =>
      (await answer(files, { timestamp: START + time })).txid;
    expect([await at(0), await at(9)]).toEqual([0n, 0n]);
    expect([await at(10), await at(19), await at(20), await at(99)]).toEqual([1n, 1n, 2n, 2n]);
  });

  test("planAnyRestore() looks at LTX files alone for a TXID", async () => {
    const files = { [snapshotKey(OLD, 0)]: snapshot(1, 99), ...ltxAt(1, 2) };
    expect((await answer(files, { txid: 2n })).txid).toBe(2n);
    expect(await codeOf(files, { txid: 3n })).toBe("TXID_NOT_AVAILABLE");
  });

  test("planAnyRestore() names the oldest time of both layouts", async () => {
    const files = { [snapshotKey(OLD, 0)]: snapshot(1, 5), ...ltxAt(7) };
    const refused = answer(files, { timestamp: START + 1 });
    await expect(refused).rejects.toMatchObject({
      code: "TIMESTAMP_NOT_AVAILABLE",
      message: expect.stringContaining(formatTimestamp(START + 5)),
    });
  });

  test("planAnyRestore() goes past segments that no snapshot belongs to while LTX files are newer", async () => {
    const segment = { bytes: new Uint8Array(9), time: START };
    const files = { [segmentKey(OLD, 4, 0)]: segment };
    expect((await answer({ ...files, ...ltxAt(7) })).txid).toBe(1n);
    expect(await codeOf(files, {})).toBe("GAP");
  });

  test("planAnyRestore() skips names that are not of the layout", async () => {
    const wrong = [
      `generations/${OLD.toUpperCase()}/snapshots/00000000.snapshot.lz4`,
      `generations/${OLD}/snapshots/00000000.snapshot.lz4.tmp`,
      `generations/${OLD}/snapshots/80000000.snapshot.lz4`,
      `generations/${OLD}/snapshots/0.snapshot.lz4`,
      `generations/${OLD}/wal/00000000_0000000.wal.lz4`,
      `generations/${OLD}/wal/00000000_ffffffffffffffff.wal.lz4`,
      `generations/${OLD}/wal/00000000.wal.lz4`,
      `x/generations/${OLD}/snapshots/00000000.snapshot.lz4`,
    ];
    for (const key of wrong) expect(parseLegacyKey(key)).toBeUndefined();
    expect(await codeOf({ [wrong[1] as string]: snapshot(1, 0) }, {})).toBe("NO_BACKUP");
    const far = parseLegacyKey(`generations/${OLD}/wal/0000000a_100000000.wal.lz4`);
    expect(far).toEqual({ generation: OLD, index: 10, offset: 2 ** 32 });
  });
});

describe("restoreReplica()", () => {
  test("restoreReplica() keeps that an earlier 0.3 state was chosen over LTX files", async () => {
    const files = { [snapshotKey(OLD, 0)]: snapshot(1, 0), ...ltxAt(10) };
    const { chosen } = await answer(files, { timestamp: START });
    expect(readMarker(chosen)).toMatchObject({ chosen: true, state: { txid: 0n, commit: 1 } });
    const newest = { [snapshotKey(OLD, 0)]: snapshot(1, 20), ...ltxAt(10) };
    expect((await answer(newest, { timestamp: START + 30 })).chosen).toBeUndefined();
  });
});

describe("listRestorePoints()", () => {
  test("listRestorePoints() merges both layouts by time", async () => {
    const files = {
      [snapshotKey(OLD, 0)]: snapshot(1, 0),
      [snapshotKey(NEW, 3)]: snapshot(2, 15),
      ...ltxAt(10, 20),
    };
    const replica = new Replica(await storeWith(files), { platform: fakePlatform(1) });
    const points = await listRestorePoints(replica);
    expect(points.map((p) => [p.time.getTime() - START, p.txid])).toEqual([
      [20, 2n],
      [15, 0n],
      [10, 1n],
      [0, 0n],
    ]);
    expect(points[1]?.legacy).toEqual({ generation: NEW, index: 3, offset: undefined });
  });

  test("listRestorePoints() lists no state beyond a gap of 0.3, and goes on at the next snapshot", async () => {
    const segment = (time: number): LegacyFiles[string] => ({
      bytes: new Uint8Array(9),
      time: START + time,
    });
    const files = {
      [snapshotKey(OLD, 1)]: snapshot(1, 1),
      [segmentKey(OLD, 1, 0)]: segment(2),
      [segmentKey(OLD, 3, 0)]: segment(3),
      [segmentKey(OLD, 3, 4152)]: segment(4),
      [snapshotKey(OLD, 3)]: snapshot(1, 5),
      [segmentKey(OLD, 4, 0)]: segment(6),
      [segmentKey(OLD, 5, 10)]: segment(7),
    };
    const replica = new Replica(await storeWith(files), { platform: fakePlatform(1) });
    const times = (await listRestorePoints(replica)).map((p) => p.time.getTime() - START);
    expect(times).toEqual([6, 5, 2, 1]);
  });
});
