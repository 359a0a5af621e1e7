/**
 * The worker's side of durability `hold-block`: uploads what a blocked thread asks for.
 *
 * @module
 */
import { asciiBytes } from "../core/ascii.ts";
import type { Platform } from "../core/platform.ts";
import {
  DONE,
  FAILED,
  PENDING,
  receiveRequests,
  type RequestPort,
  setStatus,
} from "./blocked-thread.ts";
import {
  CONTROL_BYTES,
  CONTROL_TEXT,
  type SharedFile,
  type UploadRequest,
} from "./blocking-uploader.ts";
import { Fence } from "./fence.ts";
import type { Replica } from "./replica.ts";
import type { LtxObject } from "./upload-staged.ts";
import { fencedWriter } from "./writer.ts";

/** Uploads every file asked for through `port`, and tells in shared memory once the store has confirmed all. */
export function serveRequests(port: RequestPort, replica: Replica, platform: Platform): void {
  receiveRequests<UploadRequest>(port, "pagestream-upload", (request) => {
    void serve(request, replica, platform);
  });
}

async function serve(request: UploadRequest, replica: Replica, platform: Platform): Promise<void> {
  const { control, standing, files, deadlineMs } = request;
  // Anew for each request: one that nobody waits for any more must not keep the next.
  const fence = new Fence({ replica, l0RetentionMs: standing.l0RetentionMs });
  fence.resume(standing);
  const writer = fencedWriter({ replica, fence });
  const words = new Int32Array(control, 0, 2);
  const aborter = platform.newAborter();
  const cancel = platform.clock.schedule(() => aborter.abort("deadline"), deadlineMs);
  let status = DONE;
  try {
    for (const file of files) {
      // Nobody waits any more: what is not begun is left to the asking thread's own uploader.
      if (Atomics.load(words, 0) !== PENDING) return;
      await writer.create(objectOf(file), { signal: aborter.signal });
    }
  } catch (error) {
    status = FAILED;
    const reason = error instanceof Error ? error.message : String(error);
    const text = asciiBytes(reason.replaceAll(/[^ -~]/g, "?")).subarray(
      0,
      CONTROL_BYTES - CONTROL_TEXT,
    );
    new Uint8Array(control, CONTROL_TEXT).set(text);
    words[1] = text.length;
  } finally {
    cancel();
  }
  setStatus(words, status);
}

function objectOf(file: SharedFile): LtxObject {
  const { level, minTxid, maxTxid, timestamp } = file;
  // A copy: runtimes take no shared memory as the body of a request.
  const bytes = new Uint8Array(file.bytes).slice();
  return {
    where: { level, minTxid, maxTxid, timestamp },
    size: bytes.length,
    body: bytes,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
