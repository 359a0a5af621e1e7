/**
 * Bodies in temporary files: for stores that must know the length of what they send.
 *
 * @module
 */
import { openAsBlob } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { webPlatform } from "pagestream";
import { type Spool, tempName } from "pagestream/transports/store-kit";
import { removeLeftBehind } from "./file-write.ts";

/**
 * Keeps bodies in files of a folder, which is made when it is needed; give it to the `spool` option of a store. Files are
 * for the owner alone and live as long as their upload; what a killed process has left goes after a day.
 *
 * @example
 * ```ts
 * import { fileSpool } from "@pagestream/node";
 * import { webdavStore } from "pagestream/transports/webdav";
 *
 * const store = webdavStore({ url: "https://dav.example.com", spool: fileSpool("/var/tmp/app") });
 * ```
 */
export function fileSpool(folder: string): Spool {
  let tidied: Promise<void> | undefined;
  return async (chunks) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    tidied ??= removeLeftBehind(folder, Date.now()).catch(() => undefined);
    await tidied;
    const path = join(folder, tempName(webPlatform.randomBytes));
    const release = (): Promise<void> => rm(path, { force: true });
    try {
      const handle = await open(path, "wx", 0o600);
      try {
        for await (const chunk of chunks) await writeAll(handle, chunk);
      } finally {
        await handle.close();
      }
      return { blob: await openAsBlob(path), release };
    } catch (error) {
      await release();
      throw error;
    }
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    done += (await handle.write(chunk, done, chunk.length - done)).bytesWritten;
  }
}
