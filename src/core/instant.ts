/**
 * A moment by both clocks: one may stand still while the machine sleeps, the other may be set back.
 *
 * @module
 */
import type { Clock } from "./platform.ts";

/** A moment by both clocks, in milliseconds. */
export interface Instant {
  /** Since the Unix epoch. */
  readonly wall: number;
  /** Since an arbitrary start; never goes back. */
  readonly monotonic: number;
}

/** This moment. */
export function instantOf(clock: Clock): Instant {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/** Milliseconds since a moment, by the clock that says more. */
export function ageOf(clock: Clock, since: Instant): number {
  return Math.max(clock.monotonic() - since.monotonic, clock.now() - since.wall);
}
