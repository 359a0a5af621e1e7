/**
 * When the open group is cut: at its cadence, or later where requests are few.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";
import type { RequestBudget } from "./request-budget.ts";

const HOUR_MS = 3_600_000;

/** What a {@linkcode groupCadence} goes by. */
export interface GroupCadenceOptions {
  readonly clock: Clock;
  /** Shortest time in milliseconds between two cuts. */
  readonly groupMs: number;
  readonly budget: RequestBudget | undefined;
  /** Told, at most once an hour, that groups grow longer than `groupMs` because of the budget. */
  readonly onLonger: () => void;
}

/** Monotonic time of the next cut, given that of the last one. */
export type GroupCadence = (lastCut: number) => number;

/** Makes the cadence of one database. */
export function groupCadence(options: GroupCadenceOptions): GroupCadence {
  const { clock, groupMs, budget, onLonger } = options;
  if (budget === undefined) return (lastCut) => lastCut + groupMs;
  let toldAt = Number.NEGATIVE_INFINITY;
  return (lastCut) => {
    const now = clock.monotonic();
    const due = Math.max(lastCut + groupMs, now);
    const ready = budget.readyAt();
    if (ready > due && now - toldAt >= HOUR_MS) {
      toldAt = now;
      onLonger();
    }
    return Math.max(due, ready);
  };
}
