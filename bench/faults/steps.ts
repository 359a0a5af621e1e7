/**
 * What is timed of a driver, in steps: the caller has the clock, since that of workerd stands still while code runs.
 *
 * @module
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { BlockingReads } from "pagestream";
import { httpStore } from "pagestream/transports/http";
import { openReplicaDatabase, type ReplicaDatabase, type ReplicaDriver } from "pagestream/vfs";

/** Rows of the replica; a row is a page. */
export const ROWS = 5_000;
/** Page faults of the step `faults`, and queries of the step `warm`. */
export const REPEATS = 45;

/**
 * `cold`: open, one query by primary key, close. `open`: opens without read-ahead and reads the way down. `faults`: as
 * many queries, each of a page that is not in memory. `warm`: as many of one that is. `close`: ends what `open` began.
 */
export type Step = "cold" | "open" | "faults" | "warm" | "close";

/** A driver to be measured. */
export interface FaultsSetting {
  readonly sqlite3: Sqlite3Static;
  /** Address of the replica. */
  readonly replica: string;
  readonly driver: ReplicaDriver;
  readonly blockingReads?: BlockingReads | undefined;
}

const SQL = "SELECT title FROM note WHERE id = ?";

/** Takes the steps one after another; resolves with the requests that a step has made. */
export function faultSteps(setting: FaultsSetting): (step: Step) => Promise<number> {
  const { sqlite3, replica, driver, blockingReads } = setting;
  let kept: ReplicaDatabase | undefined;
  let round = 0;
  const open = (readAhead?: number): Promise<ReplicaDatabase> =>
    openReplicaDatabase({
      sqlite3,
      replica: httpStore(replica),
      driver,
      blockingReads,
      readAhead,
      follow: false,
    });
  return async (step) => {
    if (step === "cold") {
      const db = await open();
      await db.query(SQL, [ROWS / 2]);
      const { requests } = db.stats;
      await db.close();
      return requests;
    }
    kept ??= await open(0);
    const before = kept.stats.requests;
    if (step === "open") {
      round++;
      // The pages between root and leaf, of which each has some hundred leaves.
      for (let id = 1; id <= ROWS; id += 100) await kept.query(SQL, [id]);
    } else if (step === "faults") {
      for (let i = 0; i < REPEATS; i++) await kept.query(SQL, [50 + i * 100 + round]);
    } else if (step === "warm") {
      for (let i = 0; i < REPEATS; i++) await kept.query(SQL, [50 + round]);
    } else {
      const { requests } = kept.stats;
      await kept.close();
      kept = undefined;
      return requests - before;
    }
    return kept.stats.requests - before;
  };
}

/** What a driver takes, as the fastest of some rounds: whatever else the machine does only makes them slower. */
export interface FaultsResult {
  readonly coldMs: number;
  readonly coldRequests: number;
  readonly faultMs: number;
  readonly warmMs: number;
}

const ROUNDS = 5;

/** Times the steps by the clock at hand. */
export async function timeSteps(run: (step: Step) => Promise<number>): Promise<FaultsResult> {
  const times = { cold: [] as number[], faults: [] as number[], warm: [] as number[] };
  let coldRequests = 0;
  const timed = async (step: "cold" | "faults" | "warm"): Promise<number> => {
    const start = performance.now();
    const requests = await run(step);
    times[step].push(performance.now() - start);
    return requests;
  };
  // The first round warms up the runtime.
  for (let i = 0; i <= ROUNDS; i++) {
    coldRequests = await timed("cold");
    await run("open");
    const faults = await timed("faults");
    if (faults < REPEATS * 0.95)
      throw new Error(`only ${faults} of ${REPEATS} queries met a fault`);
    if ((await timed("warm")) > 0) throw new Error("a warm query has asked the store");
    await run("close");
  }
  const fastest = (all: readonly number[]): number => Math.min(...all.slice(1));
  return {
    coldMs: fastest(times.cold),
    coldRequests,
    faultMs: fastest(times.faults) / REPEATS,
    warmMs: fastest(times.warm) / REPEATS,
  };
}
