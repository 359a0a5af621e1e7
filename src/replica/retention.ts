/**
 * Which files of a replica may go: pure, from a listing.
 *
 * | level | goes | stays in any case |
 * | --- | --- | --- |
 * | 9 | snapshots older than their retention | the newest; the newest before an adoption |
 * | 1 to 8 | files that end before the *floor*, the last TXID of the newest snapshot that goes | the newest of its level; those between a snapshot and an adoption |
 * | 0 | the oldest files, as far as a level above holds them and they are old enough | the newest: the next TXID is told by it |
 *
 * The floor is one snapshot lower than it could be, so that a restore that was planned before still finds its files.
 *
 * @module
 */
import { formatTxid } from "../ltx/file-name.ts";
import { maxTxidOf } from "./compactor-plan.ts";
import { isWhole } from "./gap.ts";
import { compareSpans, SNAPSHOT_LEVEL } from "./layout.ts";
import type { LevelSettings } from "./levels.ts";
import type { LtxFileInfo } from "./replica.ts";

/** How long what is kept. */
export interface RetentionRules extends Pick<
  LevelSettings,
  "l0RetentionMs" | "snapshotRetentionMs" | "retentionEnabled"
> {
  /** The time that ages are counted to, in wall-clock milliseconds. */
  readonly nowMs: number;
  /** TXIDs of the files that adopted an earlier state: what led to the state before stays. @default none */
  readonly adopted?: readonly bigint[] | undefined;
}

/** A file and what becomes of it. */
export interface RetentionDecision {
  /** As the listing has it. */
  readonly file: LtxFileInfo;
  /** Whether it goes. */
  readonly remove: boolean;
  /** Why, in words for a person; not stable. */
  readonly reason: string;
}

/** What a retention pass does. */
export interface RetentionPlan {
  /** Every file once, by level and then by TXID. */
  readonly decisions: readonly RetentionDecision[];
  /** The files that go, in the order in which they do: a pass that breaks off is completed by the next one. */
  readonly remove: readonly LtxFileInfo[];
  /** The last TXID of the newest snapshot that goes; 0 where none does. */
  readonly floor: bigint;
  /** When the next file becomes old enough to go, in wall-clock milliseconds; `undefined` while nothing is written. */
  readonly nextAtMs: number | undefined;
}

/** A level's part of a plan. */
interface LevelPlan {
  readonly decisions: readonly RetentionDecision[];
  readonly nextAtMs: number | undefined;
}

/** Plans a pass over all levels; `levels[n]` is level n, in any order. */
export function planRetention(
  levels: readonly (readonly LtxFileInfo[])[],
  rules: RetentionRules,
): RetentionPlan {
  const snapshots = planSnapshots(levels[SNAPSHOT_LEVEL] ?? [], rules);
  const going = snapshots.decisions.filter(({ remove }) => remove).map(({ file }) => file);
  const floor = maxTxidOf(going);
  const l0 = planL0(levels[0] ?? [], levels.slice(1), rules);
  const isHeld = heldFiles(levels[SNAPSHOT_LEVEL] ?? [], rules);
  const middle: RetentionDecision[] = [];
  for (let level = 1; level < SNAPSHOT_LEVEL; level++) {
    middle.push(...planLevel(levels[level] ?? [], { ...rules, floor, isHeld }));
  }
  const decisions = [...l0.decisions, ...middle, ...snapshots.decisions];
  const times = [l0.nextAtMs, snapshots.nextAtMs].filter((time) => time !== undefined);
  return {
    decisions,
    remove: decisions.filter(({ remove }) => remove).map(({ file }) => file),
    floor,
    nextAtMs: times.length === 0 ? undefined : Math.min(...times),
  };
}

/** The part of a plan that is about snapshots. */
export function planSnapshots(files: readonly LtxFileInfo[], rules: RetentionRules): LevelPlan {
  const { nowMs, snapshotRetentionMs, retentionEnabled } = rules;
  const sorted = [...files].sort(compareSpans);
  // What was cut while it was written must not be what everything else goes for.
  const newest = sorted.findLast(isWhole);
  const isHeld = heldFiles(sorted, rules);
  let nextAtMs: number | undefined;
  const decisions = sorted.map((file): RetentionDecision => {
    if (!retentionEnabled) return keep(file, OFF);
    if (file === newest) return keep(file, "the newest snapshot");
    if (isHeld(file)) return keep(file, HELD);
    if (newest === undefined || file.maxTxid > newest.maxTxid)
      return keep(file, "too short to be whole");
    const endMs = file.time.getTime() + snapshotRetentionMs;
    if (endMs < nowMs)
      return remove(file, `older than ${inWords(snapshotRetentionMs)}, and a newer one is there`);
    nextAtMs = Math.min(nextAtMs ?? Infinity, endMs + 1);
    return keep(file, `no older than ${inWords(snapshotRetentionMs)}`);
  });
  return { decisions, nextAtMs };
}

/** The part of a plan that is about one level between 1 and 8. */
function planLevel(
  files: readonly LtxFileInfo[],
  options: RetentionRules & {
    readonly floor: bigint;
    readonly isHeld: (file: LtxFileInfo) => boolean;
  },
): RetentionDecision[] {
  const { retentionEnabled, floor, isHeld } = options;
  const newest = maxTxidOf(files);
  return [...files].sort(compareSpans).map((file) => {
    if (!retentionEnabled) return keep(file, OFF);
    if (file.maxTxid === newest) return keep(file, "the newest of its level");
    if (floor === 0n) return keep(file, "no snapshot goes");
    if (file.maxTxid >= floor) return keep(file, `at or after the floor ${formatTxid(floor)}`);
    if (isHeld(file)) return keep(file, HELD);
    return remove(file, `ends before the floor ${formatTxid(floor)}`);
  });
}

/** The part of a plan that is about level 0; `above` are the levels from 1 on. */
export function planL0(
  files: readonly LtxFileInfo[],
  above: readonly (readonly LtxFileInfo[])[],
  rules: RetentionRules,
): LevelPlan {
  const { nowMs, l0RetentionMs, retentionEnabled } = rules;
  const sorted = [...files].sort(compareSpans);
  const newest = maxTxidOf(sorted);
  const l1 = maxTxidOf(above[0] ?? []);
  const isCovered = coverage(above.flat());
  let stop: string | undefined;
  let nextAtMs: number | undefined;
  const decisions = sorted.map((file): RetentionDecision => {
    const covered = file.maxTxid <= l1 && isCovered(file);
    if (!retentionEnabled) return keep(file, OFF);
    if (l0RetentionMs === 0) return keep(file, "level 0 is kept");
    if (file.maxTxid === newest) return keep(file, "the newest: the next TXID is told by it");
    // What stays is one piece without holes.
    if (stop !== undefined) return keep(file, stop);
    if (!covered) {
      stop = "behind a file that stays";
      return keep(file, file.maxTxid <= l1 ? "in no other level" : "not yet in level 1");
    }
    const endMs = file.time.getTime() + l0RetentionMs;
    if (endMs > nowMs) {
      stop = "behind a file that stays";
      nextAtMs = endMs;
      return keep(file, `younger than ${inWords(l0RetentionMs)}`);
    }
    return remove(file, `older than ${inWords(l0RetentionMs)}, and in a level above`);
  });
  return { decisions, nextAtMs };
}

/** Tells, of files asked for in order, whether a single other file holds all of them. */
function coverage(above: readonly LtxFileInfo[]): (file: LtxFileInfo) => boolean {
  const sorted = [...above].sort(compareSpans);
  let at = 0;
  let reach = 0n;
  return ({ minTxid, maxTxid }) => {
    for (; at < sorted.length && (sorted[at] as LtxFileInfo).minTxid <= minTxid; at++) {
      const end = (sorted[at] as LtxFileInfo).maxTxid;
      if (end > reach) reach = end;
    }
    return reach >= maxTxid;
  };
}

/** Tells of the files above level 0 whether they are of a state that another was adopted in place of. */
function heldFiles(
  snapshots: readonly LtxFileInfo[],
  { adopted = [] }: RetentionRules,
): (file: LtxFileInfo) => boolean {
  const held = adopted.map((before) => ({
    before,
    from: maxTxidOf(snapshots.filter((file) => isWhole(file) && file.maxTxid < before)),
  }));
  return ({ maxTxid }) => held.some(({ from, before }) => maxTxid >= from && maxTxid < before);
}

const OFF = "retention is off";
const HELD = "of a state that an earlier one was adopted in place of, until it is released";

function keep(file: LtxFileInfo, reason: string): RetentionDecision {
  return { file, remove: false, reason };
}

function remove(file: LtxFileInfo, reason: string): RetentionDecision {
  return { file, remove: true, reason };
}

function inWords(ms: number): string {
  for (const [size, unit] of [
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
  ] as const) {
    if (ms >= size && ms % size === 0) return `${ms / size} ${unit}`;
  }
  return `${ms} ms`;
}
