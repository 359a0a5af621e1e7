/**
 * The helper worker of `hold-block`, for `bench/durable/run.ts`; `workerData` is the path of the replica.
 *
 * @module
 */
import "./sources.ts";
import { parentPort, workerData } from "node:worker_threads";

const { fileStore } = await import("@pagestream/node");
const { serveUploads } = await import("pagestream/hold-worker");

if (parentPort !== null) {
  serveUploads(parentPort, fileStore(workerData as string));
  parentPort.postMessage("ready");
}
