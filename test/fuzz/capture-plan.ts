/**
 * What a seed of the capture fuzz chooses: the set-up of its database, and statements to run.
 *
 * @module
 */
import type { PrepareMode } from "../../src/core/commit-source.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";

/** Modes that `PRAGMA journal_mode` is asked for, WAL more often. */
export const JOURNAL_MODES = ["delete", "truncate", "persist", "memory", "wal", "wal"] as const;
/** All page sizes. */
export const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] as const;
const CHECKPOINTS = ["passive", "full", "restart", "truncate"] as const;

/** The set-up of one seed. */
export interface FuzzPlan {
  readonly pageSize: number;
  readonly autoVacuum: number;
  readonly journalMode: string;
  /** Connections ask for locking_mode=EXCLUSIVE before anything else. */
  readonly exclusive: boolean;
  /** Whether and how commits are held. */
  readonly prepare: PrepareMode | undefined;
  /** Captured by `attachCapture` instead of a capture VFS. */
  readonly attach: boolean;
  /** Captured with copies of what is written. */
  readonly copyWrites: boolean;
  /** A second captured database is attached to the connection. */
  readonly two: boolean;
  /** Somebody writes beside the capture; `spills` with a small cache. */
  readonly foreign: "no" | "yes" | "spills";
  /** How the run ends. */
  readonly end: "close" | "deserialize" | "detach" | "overrun";
}

/** The plan of a seed. */
export function fuzzPlan(random: SeededRandom): FuzzPlan {
  const attach = random.chance(0.25);
  const exclusive = random.chance(0.2);
  const held = random.chance(0.4);
  return {
    pageSize: random.pick(PAGE_SIZES),
    autoVacuum: random.int(3),
    journalMode: random.pick(JOURNAL_MODES),
    // With a rollback journal nothing can be held in exclusive mode.
    exclusive: exclusive && !held,
    prepare: held ? random.pick(["sync", "retry", "suspend"] as const) : undefined,
    attach,
    copyWrites: !attach && random.chance(0.25),
    two: random.chance(0.25),
    foreign: exclusive ? "no" : random.pick(["no", "no", "yes", "spills"]),
    end: random.chance(0.02)
      ? "overrun"
      : random.pick(["close", "close", "deserialize", "detach"] as const),
  };
}

/** A statement that writes rows. */
export function insertMany(first: number, count: number, size: number): string {
  return `with recursive c(i) as (select 0 union all select i+1 from c where i<${count})
    insert or replace into t select ${first}+i, chance(${size}) from c`;
}

/** A statement that changes rows or tables, and that any transaction may hold. */
export function randomChange(random: SeededRandom): string {
  const size = random.chance(0.3) ? 3000 : 50;
  const roll = random.int(60);
  if (roll < 20) return insertMany(random.int(400), random.int(20), size);
  if (roll < 30) return `update t set b=chance(${size}) where a%${2 + random.int(9)}=0`;
  if (roll < 38) return `delete from t where a between ${random.int(400)} and ${random.int(500)}`;
  if (roll < 43) return `insert or replace into wr values(${random.int(100)}, chance(${size}))`;
  if (roll < 47) {
    const word = random.pick(["alpha", "beta", "gamma"]);
    return `insert into ft values('${word} ${random.int(1000)}')`;
  }
  if (roll < 50) return `pragma user_version=${random.int(1000)}`;
  if (roll < 52) return `pragma incremental_vacuum(${random.int(20)})`;
  if (roll < 54) return `create table if not exists x${random.int(5)}(a, b)`;
  if (roll < 56) return `drop table if exists x${random.int(5)}`;
  if (roll < 57) return "delete from t";
  if (roll < 58) return random.pick(["reindex", "analyze"]);
  return `savepoint s0; ${insertMany(1, 9, size)}; rollback to s0; update t set b=1 where a=1; release s0`;
}

/** A statement that begins, ends or structures a transaction, or sets how the connection works. */
export function randomControl(random: SeededRandom, two: boolean): string {
  const schema = two && random.chance(0.5) ? "other." : "";
  const roll = random.int(48);
  if (roll < 6) return random.chance(0.5) ? "begin" : "begin immediate";
  if (roll < 12) return "commit";
  if (roll < 15) return "rollback";
  if (roll < 18) return `savepoint s${random.int(2)}`;
  if (roll < 21) return `rollback to s${random.int(2)}`;
  if (roll < 23) return `release s${random.int(2)}`;
  if (roll < 25) return `pragma cache_size=${random.pick([2, 10, 200])}`;
  if (roll < 28) {
    return `pragma ${schema}synchronous=${random.pick(["off", "normal", "full", "extra"])}`;
  }
  if (roll < 34) return `pragma ${schema}journal_mode=${random.pick(JOURNAL_MODES)}`;
  if (roll < 35) return `pragma locking_mode=${random.pick(["normal", "exclusive"])}`;
  if (roll < 38) return `pragma wal_autocheckpoint=${random.pick([0, 1, 5, 50, 1000])}`;
  if (roll < 40) return "vacuum";
  return `pragma ${schema}wal_checkpoint(${random.pick(CHECKPOINTS)})`;
}
