/**
 * The last upload of a replication that is being closed.
 *
 * @module
 */
import { TimeoutError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid } from "../ltx/file-name.ts";
import type { Confirmations } from "./confirmations.ts";
import type { Destination } from "./destination.ts";
import type { Position } from "./replication.ts";

/** What {@linkcode finalFlush} works with. */
export interface FinalFlushOptions {
  readonly confirmations: Confirmations;
  readonly destinations: readonly Destination[];
  readonly platform: Platform;
  /** What is closed, for the message. */
  readonly object: string;
  readonly position: () => Position;
  readonly deadlineMs: number;
}

/**
 * Uploads what is left to every destination: one that fails must not keep the others from what they lack. Rejects with
 * what the first of those threw, or with `TimeoutError`.
 */
export async function finalFlush(options: FinalFlushOptions): Promise<void> {
  const { confirmations, destinations, platform, object, position, deadlineMs } = options;
  const aborter = platform.newAborter();
  const { signal } = aborter;
  const cancel = platform.clock.schedule(() => aborter.abort("deadline"), deadlineMs);
  const flushes = destinations.map((only) => confirmations.flush({ only, signal }));
  const ends = await Promise.allSettled(flushes).finally(cancel);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed === undefined) return;
  if (!signal.aborted) throw failed.reason;
  const { local, replicated } = position();
  throw new TimeoutError({
    operation: "close",
    object,
    what: `txid ${formatTxid(local)} was not confirmed within ${deadlineMs} ms, only ${formatTxid(replicated)} is`,
    next: "The next start uploads what was staged, or reads the database again",
  });
}
