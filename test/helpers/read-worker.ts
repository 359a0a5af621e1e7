/**
 * A helper worker of blocking reads that runs from the sources, with a store that fails as its keys say.
 *
 * @module
 */
import { registerHooks } from "node:module";
import { parentPort } from "node:worker_threads";

/** What the object `data` holds: a byte for each position. */
export function sampleBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => ((offset + i) * 31 + ((offset + i) >> 8)) & 255);
}

/** Size of the object `data`. */
export const SAMPLE_SIZE = 300_000;

if (parentPort !== null) {
  // Sources alone: what they import of other entries is the package.
  registerHooks({
    resolve: (specifier, context, next) =>
      next(
        specifier === "pagestream"
          ? new URL("../../src/api/index.ts", import.meta.url).href
          : specifier,
        context,
      ),
  });
  const { serveReads } = await import("../../src/api/read-worker.ts");
  const { DecryptError, StoreError } = await import("../../src/transports/errors.ts");
  const { memoryStore } = await import("../../src/transports/memory.ts");
  const store = memoryStore();
  await store.put("data", sampleBytes(0, SAMPLE_SIZE));
  let flaky = 0;
  const get: typeof store.get = async (key, options) => {
    const details = { operation: "read", object: key, what: "ein Fehler – café" };
    if (key === "refused") {
      const next = "Check the credentials";
      throw new StoreError({ ...details, next }, { status: 403, retryAfterMs: 5 });
    }
    if (key === "busy") throw new StoreError(details, { retryable: true, status: 503 });
    if (key === "sealed") throw new DecryptError(details, { reason: "wrong-key" });
    if (key === "foreign") throw new TypeError("fetch of https://host/?signature=secret failed");
    if (key === "hang") return await new Promise(() => {});
    if (key === "die") process.exit(1);
    const found = await store.get("data", options);
    if (key === "long") return await store.get("data", { ...options, length: undefined });
    if (key === "flaky" && flaky++ === 0) {
      const part = { ...options, length: (options?.length ?? 2) - 1 };
      return { ...found, body: (await store.get("data", part)).body };
    }
    return key === "flaky" ? found : await store.get(key, options);
  };
  serveReads(parentPort, { ...store, get });
  parentPort.postMessage("up");
}
