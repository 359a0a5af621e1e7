/**
 * `pagestream/hold-worker`: what the helper worker of durability `hold-block` runs.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { RequestPort } from "../replica/blocked-thread.ts";
import { serveRequests } from "../replica/serve-uploads.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type { Platform, Replica, RequestPort, ObjectStore };

/**
 * Uploads into `replica`, which must be the one that the asking thread replicates to, every file asked for through
 * `port`: `self` in a web worker, whose `onmessage` it takes, or `parentPort` of `node:worker_threads`.
 *
 * @example
 * ```ts ignore
 * import { parentPort } from "node:worker_threads";
 * import { fileStore } from "@pagestream/node";
 * import { serveUploads } from "pagestream/hold-worker";
 *
 * serveUploads(parentPort, fileStore("/backup/app"));
 * ```
 */
export function serveUploads(
  port: RequestPort,
  replica: ObjectStore | Replica,
  platform: Platform = webPlatform,
): void {
  serveRequests(port, openReplica(replica, { platform }), platform);
}
