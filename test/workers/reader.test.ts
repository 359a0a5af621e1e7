import { Miniflare, type ModuleDefinition } from "miniflare";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { s3Store } from "pagestream/transports/s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleWorker } from "../helpers/bundle-worker.ts";
import { type LargeReplica, largeReplica, titleOf, writeLarge } from "../helpers/large-replica.ts";
import { S3Fake } from "../helpers/s3-fake.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";

const MIB = 2 ** 20;
/** What a Worker may have in all. */
const WORKER_MEMORY = 128 * MIB;
const ROWS = 52_000;

let replica: LargeReplica;
let modules: ModuleDefinition[];
let s3: S3Server;

beforeAll(async () => {
  modules = await bundleWorker(new URL("../../examples/workers/reader.ts", import.meta.url));
  replica = largeReplica(ROWS);
  s3 = await startS3Server({ bucket: "bucket" });
});
afterAll(() => s3.close());

type Driver = "retry" | "jspi";

/** A Worker, and the inspector of its isolate. */
interface Running {
  readonly worker: Miniflare;
  readonly isolate: Isolate;
}

/** Starts the example with its replica in R2 or in S3. */
async function start(store: "r2" | "s3", driver: Driver): Promise<Running> {
  const { credentials } = S3Fake;
  const options = { endpoint: s3.endpoint, bucket: "bucket", path: "app", credentials } as const;
  const worker = new Miniflare({
    modules,
    modulesRoot: "/worker",
    compatibilityDate: "2026-07-01",
    inspectorPort: 0,
    durableObjects: { READER: "Reader" },
    bindings: { DRIVER: driver, ...(store === "s3" ? { S3: options } : {}) },
    ...(store === "r2" ? { r2Buckets: ["BUCKET"] } : {}),
  });
  await worker.ready;
  const target =
    store === "r2"
      ? r2Store((await worker.getR2Bucket("BUCKET")) as unknown as R2Bucket, { path: "app" })
      : s3Store(options);
  await writeLarge(target, replica);
  return { worker, isolate: await Isolate.of(worker) };
}

/** Watches the memory that a Worker needs, as its runtime counts it. */
class Isolate {
  /** The most that was seen, in bytes: objects, array buffers and WebAssembly memory. */
  peak = 0;
  samples = 0;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      const { id, result } = JSON.parse(data) as {
        readonly id: number;
        readonly result: HeapUsage;
      };
      if (id === 1) return;
      this.samples++;
      this.peak = Math.max(this.peak, result.usedSize + result.backingStorageSize);
      this.#ask();
    };
    this.#ask();
  }

  /** Begins to ask, and goes on to ask as soon as there was an answer. */
  static async of(worker: Miniflare): Promise<Isolate> {
    const url = await worker.getInspectorURL();
    const targets = (await (
      await fetch(new URL("/json", String(url).replace(/^ws/, "http")))
    ).json()) as readonly {
      readonly webSocketDebuggerUrl: string;
    }[];
    const socket = new WebSocket(targets[0]!.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Isolate(socket);
  }

  #ask(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    // Garbage goes when memory is short, not before.
    this.#socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" }));
    this.#socket.send(JSON.stringify({ id: 2, method: "Runtime.getHeapUsage" }));
  }

  close(): void {
    this.#socket.close();
  }
}

interface HeapUsage {
  readonly usedSize: number;
  readonly backingStorageSize: number;
}

async function json({ worker }: Running, path: string): Promise<unknown> {
  const response = await worker.dispatchFetch(`http://worker${path}`);
  expect(response.status, path).toBe(200);
  return await response.json();
}

interface Status {
  readonly driver: string;
  readonly txid: string;
  readonly requests: number;
  readonly bytes: number;
}

describe("examples/workers/reader", () => {
  test.for<["r2" | "s3", Driver]>([
    ["r2", "jspi"],
    ["s3", "retry"],
  ])(
    "a Worker answers from a replica in %s that its memory could not hold, with %s",
    async ([store, driver]) => {
      expect(replica.databaseSize).toBeGreaterThan(200 * MIB);
      const running = await start(store, driver);
      try {
        expect(await json(running, "/notes/40000")).toEqual({ id: 40_000, title: titleOf(40_000) });
        const cold = (await json(running, "/status")) as Status;
        expect(cold).toMatchObject({ driver, txid: "1" });
        expect(cold.requests).toBeLessThanOrEqual(8);
        expect(cold.bytes).toBeLessThan(1.5 * MIB);
        // Warm: the pages are there.
        expect(await json(running, "/notes/40000")).toMatchObject({ id: 40_000 });
        expect(((await json(running, "/status")) as Status).requests).toBe(cold.requests);
        // Requests that come together, and one whose client goes away, leave it usable.
        const gone = new AbortController();
        const lost = running.worker.dispatchFetch("http://worker/notes/123", {
          signal: gone.signal,
        });
        gone.abort();
        await lost.catch(() => undefined);
        const ids = Array.from({ length: 20 }, (_, i) => 1 + i * 2_500);
        const notes = await Promise.all(ids.map((id) => json(running, `/notes/${id}`)));
        expect(notes).toEqual(ids.map((id) => ({ id, title: titleOf(id) })));
        // A statement that starts anew keeps its pages: it reads a part, the other all.
        const from = driver === "jspi" ? 1 : ROWS - 1_999;
        const count = ROWS - from + 1;
        expect(await json(running, `/summary?from=${from}`)).toMatchObject([{ notes: count }]);
        expect(running.isolate.samples).toBeGreaterThan(10);
        expect(running.isolate.peak).toBeGreaterThan(8 * MIB);
        expect(running.isolate.peak).toBeLessThan(WORKER_MEMORY);
      } finally {
        running.isolate.close();
        await running.worker.dispose();
      }
    },
  );
});
