/**
 * What only a page can do for a database of its own or of its worker.
 *
 * @module
 */
import { UnsupportedError } from "../core/errors.ts";

/** What {@linkcode flushOnHide} calls: a replication of the page, or a function that tells the worker. */
export type Flushing = { flush(): Promise<unknown> } | (() => unknown);

/**
 * Flushes when the page is hidden or left, the last moment at which a browser lets anything be sent. What does not get
 * through then is in the local file and goes out at the next start. Returns a function that ends it. What `flush` rejects
 * with is left to the events of the replication.
 *
 * @example
 * ```ts ignore
 * flushOnHide(() => worker.postMessage({ type: "flush" })); // the worker calls replication.flush()
 * ```
 */
export function flushOnHide(target: Flushing): () => void {
  if (typeof document === "undefined") {
    throw new UnsupportedError({
      operation: "flush",
      object: "the replication",
      what: "a worker is not told that its page is hidden",
      next: "Call flushOnHide on the page, with a function that posts to the worker",
    });
  }
  const flush = async (): Promise<void> => {
    try {
      await (typeof target === "function" ? target() : target.flush());
    } catch {
      // Told by events; nobody is here to hear it.
    }
  };
  const onHide = (): void => {
    if (document.visibilityState === "hidden") void flush();
  };
  const onLeave = (): void => void flush();
  document.addEventListener("visibilitychange", onHide);
  // Where a page is left while it shows, only this one comes everywhere.
  addEventListener("pagehide", onLeave);
  return () => {
    document.removeEventListener("visibilitychange", onHide);
    removeEventListener("pagehide", onLeave);
  };
}

/** What a browser grants an origin. */
export interface StorageGrant {
  /** Whether it keeps what is stored until the user removes it; else it may be cleared when space is short. */
  readonly persistent: boolean;
  /** Bytes in use, about. `undefined` where the browser does not tell. */
  readonly usage: number | undefined;
  /** Bytes that may be in use. `undefined` where the browser does not tell. */
  readonly quota: number | undefined;
}

/**
 * Asks the browser not to clear what this origin stores, and says what it grants. A worker cannot ask: there it says what was
 * granted before. Browsers decide by the user's habits, or ask; call it when the user has made something worth keeping.
 *
 * @example
 * ```ts ignore
 * const { persistent } = await requestPersistence();
 * if (!persistent) console.warn("notes may be cleared; they are in the replica");
 * ```
 */
export async function requestPersistence(): Promise<StorageGrant> {
  const storage: Partial<StorageManager> | undefined = globalThis.navigator?.storage;
  if (storage?.estimate === undefined || storage.persisted === undefined) {
    return { persistent: false, usage: undefined, quota: undefined };
  }
  const asked = await storage.persist?.();
  const { usage, quota } = await storage.estimate();
  return { persistent: asked ?? (await storage.persisted()), usage, quota };
}
