/**
 * Reading a database image although writers may overwrite more of it than is kept.
 *
 * @module
 */
import type { DatabaseImage } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";

/** How often reading begins again while commits go on, before it is done in one go. */
const RESTARTS = 3;

/** Reads an image to its end; each page's bytes are valid during the call only. */
export type ImageReader = (
  image: DatabaseImage,
  page: (pgno: number, data: Uint8Array) => void,
) => Promise<void>;

/**
 * Calls `attempt`, which asks for an image and reads it with `read`, until it is not overrun. Each call must ask for an
 * image of its own and begin its output anew.
 */
export async function readImage<T>(attempt: (read: ImageReader) => Promise<T>): Promise<T> {
  for (let restarts = 0; restarts <= RESTARTS; restarts++) {
    try {
      return await attempt(readRuns);
    } catch (error) {
      if (!isPagestreamError(error, "IMAGE_OVERRUN")) throw error;
    }
  }
  return await attempt(readAtOnce);
}

const readRuns: ImageReader = async (image, page) => {
  for await (const run of image.runs) for (const { pgno, data } of run) page(pgno, data);
};

/** Nothing is awaited here: no commit gets a turn. */
const readAtOnce: ImageReader = async (image, page) => {
  for (const run of image.runsAtOnce()) for (const { pgno, data } of run) page(pgno, data);
};

/** Gives up an image that is not read, or not to its end. */
export async function releaseImage(image: DatabaseImage): Promise<void> {
  await image.runs[Symbol.asyncIterator]().return?.();
}
