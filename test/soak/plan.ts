/**
 * What happens in a round of the soak: from a seed alone, so that a seed replays the same plan.
 *
 * @module
 */
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import { CHECKPOINTS } from "../helpers/downtime.ts";

/** Applications that write at the same time. The first one keeps count; the others write as much as they can. */
export const WRITERS = 3;

/** One thing that happens; the writers go on meanwhile. */
export type Step =
  /** The first writer makes this many changes. */
  | { readonly do: "work"; readonly seed: number; readonly changes: number }
  /** The replicator is killed, or ends as it should. It is back at once, or with the next step that says so. */
  | { readonly do: "kill replicator" | "stop replicator"; readonly back: boolean }
  | { readonly do: "start replicator" }
  /** A writer is killed, and another one takes its place and goes on. */
  | { readonly do: "kill writer"; readonly writer: number; readonly seed: number }
  | { readonly do: "checkpoint"; readonly mode: string }
  | { readonly do: "vacuum" }
  /** The store answers with errors from here on, or works again. */
  | { readonly do: "store fails" | "store works" }
  /** Somebody reads one state for a long time, or has read enough. */
  | { readonly do: "read" | "end read" };

/** One round: how the writers begin, and what happens then. */
export interface Round {
  /** Of each writer but the first. */
  readonly seeds: readonly number[];
  readonly steps: readonly Step[];
}

/** Plans a round: work, and between two pieces of it something else. */
export function planRound(random: SeededRandom): Round {
  const seeds = Array.from({ length: WRITERS - 1 }, () => random.next());
  const work = (): Step => ({ do: "work", seed: random.next(), changes: 5 + random.int(40) });
  const steps = [work()];
  for (let left = 2 + random.int(5); left > 0; left--) steps.push(event(random), work());
  return { seeds, steps };
}

function event(random: SeededRandom): Step {
  const back = random.int(3) > 0;
  switch (random.int(12)) {
    case 0:
    case 1:
      return { do: "kill replicator", back };
    case 2:
      return { do: "stop replicator", back };
    case 3:
      return { do: "start replicator" };
    case 4:
    case 5:
      return { do: "kill writer", writer: random.int(WRITERS), seed: random.next() };
    case 6:
      return { do: "vacuum" };
    case 7:
      return { do: "store fails" };
    case 8:
      return { do: "store works" };
    case 9:
      return { do: random.int(2) === 0 ? "read" : "end read" };
    default:
      return { do: "checkpoint", mode: random.pick(CHECKPOINTS) };
  }
}
