/**
 * Following a replica: a copy that is kept up to date.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { Follower, FollowRequest } from "../replica/follow-options.ts";
import type { FollowTarget } from "../replica/follow-target.ts";
import { followReplica } from "../replica/follow.ts";
import type { Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

/** Options of {@linkcode follow}. */
export interface FollowOptions extends FollowRequest {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default four tries within 15 seconds */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * Brings a copy to the newest state of a replica and keeps it there, until `close`. Resolves when the copy can be used.
 *
 * The copy changes by whole files of the replica, each verified before any of it becomes visible; a crash at any moment
 * leaves a state that the replica had, and the next `follow` goes on from there. While commits come the next file is asked
 * for by its name once a second: one request. What cannot be applied is an event and `error`, and attempts continue.
 *
 * @example
 * ```ts
 * import { bytesFollowTarget, follow } from "pagestream";
 * import { buildLtx } from "pagestream/testing";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * const file = buildLtx({ pages: { 1: 0xaa } });
 * await store.put(`ltx/0/${file.name}`, file.bytes);
 *
 * const copy = bytesFollowTarget();
 * await using follower = await follow(store, copy);
 * console.log(follower.position, copy.bytes.length);
 * ```
 */
export function follow(
  replica: ObjectStore | Replica,
  target: FollowTarget,
  options: FollowOptions = {},
): Promise<Follower> {
  return followReplica(replica, target, { ...options, platform: options.platform ?? webPlatform });
}
