/**
 * Reads that block the main thread while a helper worker fetches.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Worker as NodeWorker } from "node:worker_threads";
import { blockingReads, isPagestreamError, type WorkerPort } from "pagestream";
import { describe, runtime, test } from "./kit.ts";
import { sample, SAMPLE_SIZE } from "./read-worker.ts";

/** A worker that has said that it is up, and what it said. */
interface Started extends WorkerPort {
  readonly said: string;
  terminate(): unknown;
}

const program = new URL("./read-worker.ts", import.meta.url);

/** Starts a worker as `node:worker_threads` of each runtime does. */
function startNode(server: string): Promise<Started> {
  const worker = new NodeWorker(program);
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (said: string) => resolve(Object.assign(worker, { said })));
    worker.postMessage({ server });
  });
}

interface WebWorker extends WorkerPort {
  onmessage: unknown;
  onerror: unknown;
  terminate(): void;
}

/** Starts one as Deno and Bun have it beside that. */
function startWeb(server: string): Promise<Started> {
  const { Worker } = globalThis as unknown as {
    readonly Worker: new (program: URL, options: object) => WebWorker;
  };
  const worker = new Worker(program, { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onerror = reject;
    worker.onmessage = ({ data }: { readonly data: string }) =>
      resolve(Object.assign(worker, { said: data }));
    worker.postMessage({ server });
  });
}

/** Reads through a worker, and then through the same worker once it has ended. */
async function readThrough(worker: Started): Promise<void> {
  const reads = blockingReads(worker, { deadlineMs: 20_000, bufferBytes: 100_000 });
  for (const [offset, length] of [
    [0, 100],
    [4096, 65_536],
    [1, SAMPLE_SIZE - 1],
  ] as const) {
    const bytes = reads.read("data", { offset, length, etag: '"1"' });
    assert.ok(Buffer.from(bytes).equals(sample(offset, length)), `${length} bytes`);
  }
  const read = (key: string, etag: string) => (): unknown =>
    reads.read(key, { offset: 0, length: 1, etag });
  assert.throws(read("absent", ""), (error) => isPagestreamError(error, "NOT_FOUND"));
  assert.throws(read("data", '"2"'), (error) => isPagestreamError(error, "PRECONDITION_FAILED"));
  await worker.terminate();
  const dead = blockingReads(worker, { deadlineMs: 100 });
  const ofDead = (): unknown => dead.read("data", { offset: 0, length: 1, etag: "" });
  // One of Bun's two kinds of worker says that it has ended; the others are waited for.
  assert.throws(
    ofDead,
    (error) => isPagestreamError(error, "TIMEOUT") || isPagestreamError(error, "CLOSED"),
  );
}

describe("blockingReads()", () => {
  test("blockingReads() reads through a helper worker while the main thread is blocked", async () => {
    const server = await startNode("");
    const address = `http://127.0.0.1:${server.said}`;
    try {
      for (const start of runtime === "node" ? [startNode] : [startNode, startWeb]) {
        const worker = await start(address);
        try {
          await readThrough(worker);
        } finally {
          await worker.terminate();
        }
      }
    } finally {
      await server.terminate();
    }
  });
});
