/**
 * Looks sooner where the store says that something is new.
 *
 * @module
 */
import { sleep } from "../core/retry.ts";
import type { FollowTimer } from "./follow-timer.ts";
import { levelsPrefix, parseAnyFileKey } from "./layout.ts";
import type { Replica } from "./replica.ts";

/** Pause after which a watch that ended is tried again. */
const WATCH_PAUSE_MS = 5000;

/** Who follows a replica. */
export interface WatchingFollower {
  /** What it follows into, for messages. */
  readonly name: string;
  /** Its pauses: none while the store tells, and each ends with a new file. */
  readonly timer: FollowTimer;
  /** TXID that it has reached. */
  readonly position: () => bigint;
  /** Its next look has to be a listing. */
  readonly mustList: () => void;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/**
 * Wakes a follower for each file that the store announces, until its signal is aborted. Where the store cannot tell any more,
 * the follower asks again and again until it can. Resolves at once for a store that never tells.
 */
export async function watchFiles(replica: Replica, follower: WatchingFollower): Promise<void> {
  const { store, layout, platform } = replica;
  const { name: object, timer, position, mustList, signal } = follower;
  if (store.watch === undefined || !store.capabilities.watch) return;
  const prefix = levelsPrefix(layout);
  let isWatching = false;
  const ready = (): void => {
    // What came before it was announced to nobody.
    mustList();
    isWatching = true;
    timer.watch(true);
  };
  for (;;) {
    try {
      for await (const { key } of store.watch({ prefix, ready, signal })) {
        const file = parseAnyFileKey(layout, key);
        const reached = position();
        if (file === undefined || file.maxTxid <= reached) continue;
        // What bridges a gap has another name than the one that is asked for.
        if (file.level > 0 || file.minTxid > reached + 1n) mustList();
        timer.wake();
      }
    } catch {
      // The questions go on, and say what is wrong where it lasts.
    }
    if (signal.aborted) return;
    if (isWatching) timer.watch(false);
    isWatching = false;
    const pause = { platform, operation: "follow into", object, signal };
    await sleep(WATCH_PAUSE_MS, pause).catch(() => undefined);
  }
}
