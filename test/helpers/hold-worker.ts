/**
 * A helper worker that runs from the sources: what a user's worker does, with a store that fails on demand.
 *
 * @module
 */
import { registerHooks } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

/** What the asking thread passes as `workerData`. */
export interface HoldWorkerData {
  readonly directory: string;
  /** One word: how the next PUT goes; see {@linkcode PUT_MODES}. */
  readonly mode: SharedArrayBuffer;
}

/** How a PUT goes: as it should, lost once, not at all, done without an answer, or with the end of the worker. */
export const PUT_MODES = ["work", "lose", "hang", "swallow", "die"] as const;

const sources: Readonly<Record<string, string>> = {
  pagestream: "../../src/api/index.ts",
  "pagestream/transports/store-kit": "../../src/transports/store-kit.ts",
  "pagestream/ltx": "../../src/ltx/index.ts",
};

if (parentPort !== null) {
  registerHooks({
    resolve(specifier, context, next) {
      const source = sources[specifier];
      return source === undefined
        ? next(specifier, context)
        : { url: new URL(source, import.meta.url).href, shortCircuit: true };
    },
  });
  const { fileStore } = await import("../../adapters/files/file-store.ts");
  const { serveUploads } = await import("../../src/api/hold-worker.ts");
  const { StoreError } = await import("../../src/transports/errors.ts");
  const { directory, mode } = workerData as HoldWorkerData;
  const word = new Int32Array(mode);
  const store = fileStore(directory);
  const put: typeof store.put = async (key, body, options) => {
    const now = PUT_MODES[Atomics.load(word, 0)];
    if (now === "die") process.exit(1);
    if (now === "hang") return await new Promise(() => {});
    const result = await store.put(key, body, options);
    if (now === "swallow") return await new Promise(() => {});
    if (now === "lose") {
      Atomics.store(word, 0, 0);
      const what = { operation: "upload", object: key, what: "the connection broke" };
      throw new StoreError(what, { retryable: true });
    }
    return result;
  };
  serveUploads(parentPort, { ...store, put });
  parentPort.postMessage("ready");
}
