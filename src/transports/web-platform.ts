/**
 * The clock, timers and random bytes that every web-compatible runtime has as globals.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";

/** The running runtime's own time and randomness; what the public functions use unless given another. */
export const webPlatform: Platform = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    schedule(callback, delayMs) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  },
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  newAborter: () => new AbortController(),
};
