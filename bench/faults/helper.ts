/**
 * The helper worker of the blocking driver in Node, Deno and Bun.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { serveReads } from "pagestream/read-worker";
import { httpStore } from "pagestream/transports/http";

if (parentPort !== null) {
  serveReads(parentPort, httpStore(workerData as string));
  parentPort.postMessage("up");
}
