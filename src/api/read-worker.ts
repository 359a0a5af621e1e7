/**
 * `pagestream/read-worker`: what the helper worker of `blockingReads` runs.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RequestPort } from "../replica/blocked-thread.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import { serveReadRequests } from "../replica/serve-reads.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { Platform, Replica, RequestPort, ObjectStore };

/**
 * Reads from `replica`, which must be the one that the asking thread reads, every range asked for through `port`: `self` in
 * a web worker, whose `onmessage` it takes, or `parentPort` of `node:worker_threads`. Reads are retried as those of a
 * replica are, up to the deadline of the asking thread.
 *
 * @example
 * ```ts ignore
 * import { parentPort } from "node:worker_threads";
 * import { httpStore } from "pagestream/transports/http";
 * import { serveReads } from "pagestream/read-worker";
 *
 * serveReads(parentPort, httpStore("https://static.example.com/app"));
 * parentPort.postMessage("up");
 * ```
 */
export function serveReads(
  port: RequestPort,
  replica: ObjectStore | Replica,
  platform: Platform = webPlatform,
): void {
  serveReadRequests(port, openReplica(replica, { platform }), platform);
}
