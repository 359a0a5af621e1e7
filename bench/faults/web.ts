/**
 * Measures one driver in a page or a worker of a browser.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { type BlockingReads, blockingReads } from "pagestream";
import { serveReads } from "pagestream/read-worker";
import { httpStore, xhrReads } from "pagestream/transports/http";
import { type FaultsResult, faultSteps, timeSteps } from "./steps.ts";

/** What is measured. */
export interface WebRequest {
  readonly replica: string;
  readonly way: "retry" | "jspi" | "helper" | "xhr";
  /** Serve reads for another worker instead of measuring. */
  readonly serve?: boolean;
}

// Nobody needs the VFSes over OPFS here, and they would look for files that are not there.
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

async function helper(replica: string): Promise<BlockingReads> {
  const worker = new Worker(import.meta.url, { type: "module" });
  const up = new Promise((resolve) => {
    worker.onmessage = resolve;
  });
  worker.postMessage({ replica, way: "helper", serve: true } satisfies WebRequest);
  await up;
  return blockingReads(worker);
}

/** Measures, in this thread. */
export async function measureWeb({ replica, way }: WebRequest): Promise<FaultsResult> {
  const blocks = way === "helper" || way === "xhr";
  const reads =
    way === "helper" ? await helper(replica) : way === "xhr" ? xhrReads(replica) : undefined;
  const sqlite3 = await sqlite3InitModule();
  return await timeSteps(
    faultSteps({ sqlite3, replica, driver: blocks ? "block" : way, blockingReads: reads }),
  );
}

if ("WorkerGlobalScope" in globalThis) {
  onmessage = async ({ data }: MessageEvent<WebRequest>): Promise<void> => {
    if (data.serve === true) {
      serveReads(globalThis, httpStore(data.replica));
      postMessage("up");
    } else {
      postMessage(await measureWeb(data));
    }
  };
} else {
  Object.assign(globalThis, { measureWeb });
}
