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
    schedule(callback, delayMs, background) {
      const timer = setTimeout(callback, delayMs);
      if (background === true) letGo(timer);
      return () => clearTimeout(timer);
    },
  },
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  newAborter: () => new AbortController(),
};

/** Node and Bun give timers a method for it, Deno has a function, and elsewhere no process waits for timers. */
function letGo(timer: unknown): void {
  const { Deno } = globalThis as { readonly Deno?: { unrefTimer(id: unknown): void } };
  if (Deno !== undefined && typeof timer === "number") Deno.unrefTimer(timer);
  else (timer as { unref?: () => void }).unref?.();
}
