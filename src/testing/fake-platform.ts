/**
 * A platform whose time and chance a test controls.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { type FakeClock, fakeClock } from "./fake-clock.ts";
import { type SeededRandom, seededRandom } from "./seeded-random.ts";

/** A {@linkcode Platform} that does the same thing every time. */
export interface FakePlatform extends Platform {
  /** Stands still until the test advances it. */
  readonly clock: FakeClock;
  /** The generator behind `randomBytes`. */
  readonly random: SeededRandom;
}

/**
 * Makes a platform with a {@linkcode fakeClock} and random bytes drawn from `seed`.
 *
 * @example
 * ```ts
 * import { fakePlatform } from "pagestream/testing";
 *
 * const platform = fakePlatform(1);
 * platform.clock.advance(60_000);
 * ```
 */
export function fakePlatform(seed: number, startMs?: number): FakePlatform {
  const random = seededRandom(seed);
  return {
    clock: fakeClock(startMs),
    random,
    randomBytes: (length) => random.bytes(length),
    newAborter: () => new AbortController(),
  };
}
