/**
 * Tells a URL that all is well, for as long as it is.
 *
 * @module
 */
import type { Clock } from "pagestream";
import type { DaemonDatabase } from "./status.ts";

/** Pause in milliseconds between two looks whether a ping is due. */
const CHECK_MS = 15_000;
/** How long an answer is waited for, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** Shortest time between two pings, in milliseconds. */
const MIN_INTERVAL_MS = 60_000;

/** Options of {@linkcode startHeartbeat}. */
export interface HeartbeatOptions {
  /** Where to send a GET. */
  readonly url: string;
  /** Time between two pings in milliseconds; one under a minute counts as a minute. */
  readonly intervalMs: number;
  readonly clock: Clock;
  /** The databases as of now. */
  readonly databases: () => readonly DaemonDatabase[];
  /** Told of a ping that failed; the next one comes after the interval. */
  readonly onError: (error: Error) => void;
  /** @default the runtime's fetch */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/** Begins; returns the function that ends it. */
export function startHeartbeat(options: HeartbeatOptions): () => void {
  const { clock, databases, onError } = options;
  const intervalMs = Math.max(MIN_INTERVAL_MS, options.intervalMs);
  const ending = new AbortController();
  let lastAt = Number.NEGATIVE_INFINITY;
  let cancel = (): void => undefined;
  const look = (): void => {
    cancel = clock.schedule(look, CHECK_MS);
    const now = clock.now();
    if (now - lastAt < intervalMs || !isAllWell(databases(), now - intervalMs)) return;
    lastAt = now;
    ping(options, ending.signal).catch((error: unknown) => {
      if (!ending.signal.aborted) onError(error as Error);
    });
  };
  cancel = clock.schedule(look, CHECK_MS);
  return () => {
    cancel();
    ending.abort();
  };
}

/** Whether every database that is to run has been in its replica since a time; without any there is nothing to tell of. */
export function isAllWell(databases: readonly DaemonDatabase[], since: number): boolean {
  const open = databases.filter(({ state }) => state !== "stopped");
  return (
    open.length > 0 && open.every(({ syncedAt }) => syncedAt !== undefined && syncedAt >= since)
  );
}

async function ping(options: HeartbeatOptions, ending: AbortSignal): Promise<void> {
  const { url, fetch = globalThis.fetch } = options;
  const signal = AbortSignal.any([ending, AbortSignal.timeout(TIMEOUT_MS)]);
  const response = await fetch(url, { signal });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the answer is ${response.status}`);
}
