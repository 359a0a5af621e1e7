/**
 * Every restore that Litestream 0.5.17 was recorded to do from replicas of real Litestream releases, done here.
 *
 * Each recorded point falls into exactly one of these outcomes, and the numbers per fixture are asserted:
 *
 * | outcome | Litestream | here | why |
 * | --- | --- | --- | --- |
 * | same | bytes | the same bytes | |
 * | inclusive | the state before the file of exactly this time, or `no matching backup files available` where there is none before | the state of that file | a time that a listing shows must be restorable: the listed moment belongs to its state |
 * | clamped | `timestamp does not exist`, after the newest file | the newest state | `-timestamp now` must work |
 * | early | `timestamp does not exist` or `no matching backup files available` | TIMESTAMP_NOT_AVAILABLE naming the oldest | nothing restorable is that old |
 * | txid | `no matching backup files available` | TXID_NOT_AVAILABLE naming the neighbours | no files end exactly there |
 * | legacy | bytes of the 0.3 layout | the same bytes | |
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileStore } from "@pagestream/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listRestorePoints } from "../../src/api/list-restore-points.ts";
import { type RestoreOptions, restore } from "../../src/api/restore.ts";
import { isPagestreamError } from "../../src/core/errors.ts";
import { bytesSink } from "../../src/replica/bytes-sink.ts";
import type {
  TimestampNotAvailableError,
  TxidNotAvailableError,
} from "../../src/replica/errors.ts";
import {
  type Fixture,
  type FixtureLtx,
  type RestoreRecord,
  type UnpackedFixture,
  fixtures,
  furthest,
  ltxFiles,
  unpackFixture,
} from "./fixtures.ts";

type Outcome = "same" | "inclusive" | "clamped" | "early" | "txid" | "legacy";

/** How many points of each fixture have which outcome. Their sum is the number of recorded points. */
const COUNTS: Readonly<Record<string, Partial<Record<Outcome, number>>>> = {
  "legacy-v0.3.13": { clamped: 1, early: 1, legacy: 21 },
  levels: { same: 16, inclusive: 8, clamped: 2, early: 1, txid: 1 },
  "levels-pruned": { same: 9, inclusive: 3, clamped: 2, early: 9, txid: 6 },
  "page-512": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-1024": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-2048": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-4096": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-8192": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-16384": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-32768": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "page-65536": { same: 10, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  autovacuum: { same: 18, inclusive: 2, clamped: 2, early: 1, txid: 1 },
  checkpoints: { same: 24, inclusive: 3, clamped: 2, early: 1, txid: 1 },
  "chunked-backlog": { same: 13, inclusive: 6, clamped: 2, early: 1, txid: 1 },
  "truncate-boundary": { same: 24, inclusive: 4, clamped: 2, early: 1, txid: 1 },
  "frame-0.5.15": { same: 11, inclusive: 3, clamped: 2, early: 1, txid: 1 },
  "frame-0.5.5": { same: 12, inclusive: 2, clamped: 2, early: 1, txid: 1 },
  "upgrade-0.5.15-to-0.5.17": { same: 13, inclusive: 3, clamped: 2, early: 1, txid: 1 },
  "upgrade-0.3.13-to-0.5.17": { same: 11, inclusive: 3, clamped: 2, txid: 1, early: 1, legacy: 5 },
  "downtime-truncate": { same: 7, inclusive: 3, clamped: 2, early: 1, txid: 1 },
  "downtime-lost-rows": { same: 7, inclusive: 3, clamped: 2, early: 1, txid: 1 },
  "foreign-writer-handover": { same: 11, inclusive: 3, clamped: 2, early: 1, txid: 1 },
};

/** What must happen at a point, worked out from the recorded answers and the files' times alone. */
interface Expectation {
  readonly outcome: Outcome;
  /** TXID of the state to be restored. */
  readonly txid?: bigint;
  readonly sha256?: string;
  readonly size?: number;
  /** Time of the oldest restorable state. */
  readonly oldest?: number;
}

/** The bytes that Litestream restored for each TXID, whichever way it was asked for. */
function recordedStates(fixture: Fixture): Map<bigint, RestoreRecord> {
  const states = new Map<bigint, RestoreRecord>();
  for (const point of fixture.restore) {
    if (point.txid === undefined) continue;
    const txid = BigInt(`0x${point.txid}`);
    const known = states.get(txid);
    // One TXID is one state, or nothing below could be concluded from it.
    if (known !== undefined) expect(point.sha256).toBe(known.sha256);
    states.set(txid, point);
  }
  return states;
}

function expectation(point: RestoreRecord, fixture: Fixture): Expectation {
  const files = ltxFiles(fixture);
  if (files.length === 0) return legacyExpectation(point, fixture);
  if (point.kind !== "timestamp") {
    if (point.sha256 === undefined) {
      expect(point.error).toBe("no matching backup files available");
      return { outcome: "txid" };
    }
    const { sha256, size, txid } = point as Required<RestoreRecord>;
    return { outcome: "same", txid: BigInt(`0x${txid}`), sha256, size };
  }
  const time = Date.parse(point.value as string);
  const oldest = oldestTime(fixture);
  if (needsLegacy(point, fixture)) return legacyExpectation(point, fixture);
  if (time < oldest) {
    expect(point.sha256).toBeUndefined();
    return { outcome: "early", oldest };
  }
  const txid = furthest(files.filter((f) => f.time <= time));
  const { sha256, size } = recordedStates(fixture).get(txid) as Required<RestoreRecord>;
  const state = { txid, sha256, size };
  if (point.sha256 === sha256) return { outcome: "same", ...state };
  return { outcome: differs(point, files, time), ...state };
}

/** Which deliberate difference explains that Litestream answered otherwise; none is a failure. */
function differs(point: RestoreRecord, files: readonly FixtureLtx[], time: number): Outcome {
  const newest = Math.max(...files.map((f) => f.time));
  if (point.error === "timestamp does not exist" && time > newest) return "clamped";
  const before = furthest(files.filter((f) => f.time < time));
  const at = furthest(files.filter((f) => f.time <= time));
  // Without this very file the answer would be the recorded one.
  const explains = files.some((f) => f.time === time) && (at > before || point.txid === undefined);
  const recorded = point.txid === undefined ? 0n : BigInt(`0x${point.txid}`);
  expect(explains).toBe(true);
  if (point.error !== undefined) expect(point.error).toBe("no matching backup files available");
  if (point.error !== undefined || point.txid !== undefined) expect(recorded).toBe(before);
  return "inclusive";
}

/** The same for a point that only the 0.3 layout can give. */
function legacyExpectation(point: RestoreRecord, fixture: Fixture): Expectation {
  const { sha256, size, error } = point;
  if (sha256 !== undefined) return { outcome: "legacy", txid: 0n, sha256, size: size as number };
  expect(error).toBe("timestamp does not exist");
  const times = fixture.files.flatMap((f) => (f.path.includes("/snapshots/") ? f.mtime_ms : []));
  const oldest = Math.min(...times);
  const time = Date.parse(point.value as string);
  if (time < oldest) return { outcome: "early", oldest };
  expect(time).toBeGreaterThan(Math.max(...fixture.files.map((f) => f.mtime_ms)));
  const latest = fixture.restore.find((p) => p.kind === "latest") as Required<RestoreRecord>;
  return { outcome: "clamped", txid: 0n, sha256: latest.sha256, size: latest.size };
}

/** Whether a point lies before all LTX files and can only come from the 0.3 layout. */
function needsLegacy(point: RestoreRecord, fixture: Fixture): boolean {
  if (!fixture.files.some((f) => f.path.startsWith("generations/"))) return false;
  return point.kind === "timestamp" && Date.parse(point.value as string) < oldestTime(fixture);
}

/** Time of the oldest state of the LTX layout. */
function oldestTime(fixture: Fixture): number {
  const first = ltxFiles(fixture).filter((f) => f.min === 1n);
  return Math.min(...first.map((f) => f.time));
}

function request(point: RestoreRecord): RestoreOptions {
  if (point.kind === "latest") return {};
  return point.kind === "txid" ? { txid: point.value } : { timestamp: point.value };
}

const names = Object.keys(fixtures);

test("fixtures are all here", () => {
  expect(names).toHaveLength(22);
  expect(Object.keys(COUNTS).sort()).toEqual([...names].sort());
});

describe.each(names)("%s", (name) => {
  const fixture = fixtures[name] as Fixture;
  let unpacked: UnpackedFixture;
  beforeAll(() => {
    unpacked = unpackFixture(name);
  });
  afterAll(() => unpacked.remove());

  test.each(fixture.restore.map((point) => [point.kind, point.value ?? "", point] as const))(
    "restore() gives the recorded state: %s %s",
    async (_kind, _value, point) => {
      const expected = expectation(point, fixture);
      const sink = bytesSink({ journalHeader: "keep" });
      const restored = restore(fileStore(unpacked.path), sink, request(point));
      if (expected.sha256 === undefined) {
        const error = await restored.then(
          () => undefined,
          (e: unknown) => e,
        );
        await checkRefusal(error, expected, unpacked.path);
        expect(sink.bytes).toHaveLength(0);
        return;
      }
      const result = await restored;
      expect(result.txid).toBe(expected.txid);
      expect(sink.bytes).toHaveLength(expected.size as number);
      expect(result.size).toBe(expected.size);
      expect(result.pageSize).toBe(fixture.page_size);
      expect(createHash("sha256").update(sink.bytes).digest("hex")).toBe(expected.sha256);
      expect(result.legacy !== undefined).toBe(expected.txid === 0n);
      if (point.kind !== "timestamp" && expected.txid !== 0n) {
        const files = result.files.map((f) => f.key.replace(/^ltx\//, ""));
        expect(files).toEqual(point.files);
      }
    },
  );

  test("recorded points have the outcomes that are known, and none is left out", () => {
    const counts: Partial<Record<Outcome, number>> = {};
    for (const point of fixture.restore) {
      const { outcome } = expectation(point, fixture);
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
    expect(counts).toEqual(COUNTS[name]);
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    expect(total).toBe(fixture.restore.length);
  });

  test("listRestorePoints() lists every state that Litestream restored, and each with its time", async () => {
    const points = await listRestorePoints(fileStore(unpacked.path));
    const listed = new Set(points.map((p) => p.txid));
    for (const txid of recordedStates(fixture).keys()) expect(listed).toContain(txid);
    const restored = new Set<string>();
    for (const point of points) {
      const sink = bytesSink({ journalHeader: "keep" });
      const wanted = point.legacy === undefined ? { txid: point.txid } : { timestamp: point.time };
      const result = await restore(fileStore(unpacked.path), sink, wanted);
      expect(result.time).toEqual(point.time);
      if (point.legacy !== undefined) expect(result.legacy).toMatchObject(point.legacy);
      restored.add(createHash("sha256").update(sink.bytes).digest("hex"));
      const recorded = recordedStates(fixture).get(point.txid);
      if (recorded === undefined) continue;
      expect(createHash("sha256").update(sink.bytes).digest("hex")).toBe(recorded.sha256);
    }
    for (const { sha256 } of fixture.restore) {
      if (sha256 !== undefined) expect(restored).toContain(sha256);
    }
  });
});

async function checkRefusal(error: unknown, expected: Expectation, path: string): Promise<void> {
  const points = (await listRestorePoints(fileStore(path))).reverse();
  if (expected.outcome === "early") {
    expect(isPagestreamError(error, "TIMESTAMP_NOT_AVAILABLE")).toBe(true);
    expect((error as TimestampNotAvailableError).oldest.getTime()).toBe(expected.oldest);
    return;
  }
  expect(isPagestreamError(error, "TXID_NOT_AVAILABLE")).toBe(true);
  const { txid, earlier, later } = error as TxidNotAvailableError;
  expect(earlier).toBe(points.findLast((p) => p.txid < txid)?.txid);
  expect(later).toBe(points.find((p) => p.txid > txid)?.txid);
}
