/**
 * Deno's own watch of files: that of its `node:fs` keeps the process alive from the first event on.
 *
 * @module
 */
import type { WatchFile } from "../files/index.ts";

/** What is used of `Deno`. */
interface DenoFiles {
  watchFs(path: string): FsWatcher;
}

interface FsWatcher extends AsyncIterable<{ readonly kind: string }> {
  /** Lets the process end although the next event is waited for. Only while it is. */
  unref(): void;
  close(): void;
}

/** Calls `changed` when a file may have been written. It keeps no process alive. */
export const watchFile: WatchFile = (path, changed) => {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoFiles };
  const watcher = Deno.watchFs(path);
  const events = watcher[Symbol.asyncIterator]();
  const listen = async (): Promise<void> => {
    for (;;) {
      const event = events.next();
      watcher.unref();
      const { done, value } = await event;
      if (done === true) return;
      // Told of reads, too, among them the follower's own.
      if (value.kind !== "access") changed();
    }
  };
  // What fails is left to the follower's ticks.
  listen().catch(() => undefined);
  return () => watcher.close();
};
