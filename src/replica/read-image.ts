/**
 * Reading a database image although writers may overwrite more of it than is kept.
 *
 * @module
 */
import type { DatabaseImage } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Clock } from "../core/platform.ts";

/** How often reading begins again while commits go on, before it is done in one go. */
const RESTARTS = 3;

/** Bytes after which everything else gets a turn. */
const TURN_SIZE = 1 << 20;

/** Reads an image to its end; each page's bytes are valid during the call only. */
export type ImageReader = (
  image: DatabaseImage,
  page: (pgno: number, data: Uint8Array) => void,
) => Promise<void>;

/**
 * Calls `attempt`, which asks for an image and reads it with `read`, until it is not overrun. Each call must ask for an
 * image of its own and begin its output anew.
 */
export async function readImage<T>(
  clock: Clock,
  attempt: (read: ImageReader) => Promise<T>,
): Promise<T> {
  for (let restarts = 0; restarts <= RESTARTS; restarts++) {
    try {
      return await attempt((image, page) => readRuns(image, page, clock));
    } catch (error) {
      if (!isPagestreamError(error, "IMAGE_OVERRUN")) throw error;
    }
  }
  return await attempt(readAtOnce);
}

async function readRuns(
  image: DatabaseImage,
  page: Parameters<ImageReader>[1],
  clock: Clock,
): Promise<void> {
  let bytes = 0;
  for await (const run of image.runs) {
    for (const { pgno, data } of run) page(pgno, data);
    bytes += run.length * image.pageSize;
    if (bytes < TURN_SIZE) continue;
    // Promises alone would keep timers and requests waiting until the whole database is read.
    await new Promise<void>((resolve) => void clock.schedule(resolve, 0));
    bytes = 0;
  }
}

/** Nothing is awaited here: no commit gets a turn. */
const readAtOnce: ImageReader = async (image, page) => {
  for (const run of image.runsAtOnce()) for (const { pgno, data } of run) page(pgno, data);
};

/** Gives up an image that is not read, or not to its end. */
export async function releaseImage(image: DatabaseImage): Promise<void> {
  await image.runs[Symbol.asyncIterator]().return?.();
}
