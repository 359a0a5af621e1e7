/**
 * What a seed decides beforehand: the set-up, and how much goes wrong.
 *
 * @module
 */
import type { Durability } from "../../src/replica/replication.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import type { StoreCapabilities } from "../../src/transports/object-store.ts";

/** Odds of each fault of one request. */
export interface NetworkPlan {
  /** It never arrives. */
  readonly lost: number;
  /** It is done, and its answer never arrives. */
  readonly unanswered: number;
  /** It arrives after whoever sent it gave up. */
  readonly late: number;
  /** It arrives twice; the answer is that of the second. */
  readonly repeated: number;
  /** It is refused for now: by a status of 5xx, or for want of patience. */
  readonly refused: number;
  /** Its body breaks off, in either direction. */
  readonly cut: number;
  /** Longest time a request or an answer is under way, in milliseconds. */
  readonly slowestMs: number;
}

/** A time in which something does not work, in milliseconds since the beginning. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** The set-up of one seed. */
export interface SimPlan {
  readonly pageSize: number;
  readonly journalMode: "delete" | "truncate" | "persist" | "wal";
  readonly durability: Extract<Durability, "async" | "local" | "hold-retry">;
  readonly groupMs: number;
  readonly stagingBytes: number;
  readonly capabilities: StoreCapabilities;
  readonly layout: "directory" | "hex";
  readonly writers: number;
  /** Who else is there. */
  readonly followers: number;
  readonly restorers: number;
  /** Whether writers keep a pointer, and followers read it. */
  readonly pointer: boolean;
  /** Replicas of each database. */
  readonly destinations: number;
  /** Steps that each writer takes while things go wrong. */
  readonly steps: number;
  /** Longest pause between two steps, in milliseconds. */
  readonly pauseMs: number;
  readonly network: NetworkPlan;
  /** When no store answers. */
  readonly outage: Window | undefined;
  /** Whether the store refuses to delete. */
  readonly keepsAll: boolean;
  /** Odds that a life ends by a crash rather than by a close. */
  readonly crash: number;
  /** Odds, at each step, that the disk fills up for a while, and that the wall clock jumps. */
  readonly diskFull: number;
  readonly clockJump: number;
  /** Odds, at each step, that a process stands still for a while. */
  readonly freeze: number;
}

const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  conditionalLarge: true,
  conditionalDelete: true,
  metadataInList: true,
  rangedGet: true,
  watch: false,
};

/** Draws a plan. */
export function simPlan(random: SeededRandom): SimPlan {
  const durability = random.pick(["async", "async", "async", "local", "hold-retry"] as const);
  const held = durability === "hold-retry";
  const journals = held ? (["delete", "truncate"] as const) : JOURNAL_MODES;
  const conditional = held || random.chance(0.85);
  const calm = random.chance(0.15);
  // Odds that are all high let nothing through; each seed is bad in ways of its own.
  const odds = (most: number): number =>
    calm || random.chance(0.5) ? 0 : (random.int(100) * most) / 100;
  const writers = conditional && !held && random.chance(0.3) ? 2 : 1;
  const steps = 5 + random.int(12);
  const pauseMs = random.pick([20, 500, 5_000, 60_000, 900_000]);
  const span = steps * pauseMs;
  const from = random.int(span);
  const lasts = random.pick([60_000, 600_000, 8 * 3_600_000]);
  return {
    pageSize: random.pick([512, 1024, 4096]),
    journalMode: random.pick(journals),
    durability,
    groupMs: random.pick([0, 10, 1_000, 1_000]),
    stagingBytes: random.pick([16 << 10, 1 << 20, 64 << 20]),
    capabilities: {
      ...CAPABILITIES,
      conditionalPut: conditional,
      conditionalReplace: conditional && random.chance(0.9),
      conditionalLarge: conditional && random.chance(0.9),
      conditionalDelete: conditional && random.chance(0.7),
      metadataInList: random.chance(0.8),
    },
    layout: random.pick(["directory", "hex"]),
    writers,
    followers: random.chance(0.35) ? 1 : 0,
    restorers: random.chance(0.4) ? 1 : 0,
    pointer: random.chance(0.3),
    destinations: random.chance(0.8) ? 1 : 2,
    steps,
    pauseMs,
    network: {
      lost: odds(0.15),
      unanswered: odds(0.2),
      late: odds(0.05),
      repeated: odds(0.1),
      refused: odds(0.2),
      cut: odds(0.1),
      slowestMs: random.pick([5, 50, 2_000]),
    },
    outage: random.chance(0.2) ? { from, to: from + random.int(lasts) } : undefined,
    keepsAll: random.chance(0.1),
    crash: random.pick([0, 0.5, 0.9]),
    diskFull: odds(0.1),
    clockJump: odds(0.2),
    freeze: odds(0.1),
  };
}

const JOURNAL_MODES = ["delete", "truncate", "persist", "wal"] as const;
