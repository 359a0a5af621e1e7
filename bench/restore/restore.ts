/**
 * Restores a replica from a directory into a file, in a process of its own, and prints one line of figures.
 *
 * usage: node bench/restore/restore.ts REPLICA_DIRECTORY OUTPUT_FILE
 *
 * To compare, time `litestream restore -o OUTPUT_FILE file://REPLICA_DIRECTORY` with both files in the page cache.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { restore } from "../../src/api/restore.ts";
import { fileSink } from "../../adapters/node/file-sink.ts";
import { fileStore } from "../../adapters/node/file-store.ts";

const [replica, output] = process.argv.slice(2);
if (replica === undefined || output === undefined) {
  console.error("usage: node bench/restore/restore.ts REPLICA_DIRECTORY OUTPUT_FILE");
  process.exit(1);
}

const sink = fileSink(output, { force: true });
const start = performance.now();
const result = await restore(fileStore(replica), sink, { position: false });
const ms = performance.now() - start;
const megabytes = result.size / 1e6;
console.log(
  JSON.stringify({
    runtime: `node ${process.version}`,
    files: result.files.length,
    megabytes: Math.round(megabytes),
    restoreMs: Math.round(ms),
    processMs: Math.round(performance.now()),
    megabytesPerSecond: Math.round((megabytes / ms) * 1000),
    peakRssMegabytes: Math.round(process.resourceUsage().maxRSS / 1000),
  }),
);
