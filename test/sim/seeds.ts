/**
 * Many seeds, one after the other.
 *
 * @module
 */
import { type SeedResult, simulate } from "./simulation.ts";

/** Which seeds to run. */
export interface SeedsOptions {
  readonly first: number;
  /** From one seed to the next. */
  readonly step: number;
  /** How many at least. */
  readonly least: number;
  /** How long to go on after that, counted from the start. */
  readonly budgetMs: number;
}

/** What came of them. */
export interface SeedsResult {
  readonly seeds: number;
  /** Sums of what the seeds counted. */
  readonly counts: Readonly<Record<string, number>>;
  /** The first seed that failed, with the end of its story. */
  readonly failed: Pick<SeedResult, "seed" | "problem" | "trace"> | undefined;
}

const STORY_LINES = 60;

/** Runs seeds until one fails. */
export async function runSeeds({
  first,
  step,
  least,
  budgetMs,
}: SeedsOptions): Promise<SeedsResult> {
  const end = performance.now() + budgetMs;
  const sums: Record<string, number> = {};
  let seeds = 0;
  for (; seeds < least || performance.now() < end; seeds++) {
    const { seed, problem, trace, counts } = await simulate(first + seeds * step);
    for (const [name, times] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + times;
    if (problem === undefined) continue;
    const failed = { seed, problem, trace: trace.slice(-STORY_LINES) };
    return { seeds: seeds + 1, counts: sums, failed };
  }
  return { seeds, counts: sums, failed: undefined };
}
