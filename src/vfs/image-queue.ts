/**
 * The images of one captured path: those that wait for a commit boundary, and those that are being read.
 *
 * @module
 */
import type { DatabaseImage, ImageOptions } from "../core/commit-source.ts";
import { abortedError, throwIfAborted } from "../core/errors.ts";
import type { CapturedImage } from "./database-image.ts";
import type { ParentFile } from "./parent-file.ts";

/** What the images are taken of. */
export interface ImageHost {
  readonly name: string;
  /** Open main files of the path. */
  readonly files: ReadonlySet<ParentFile>;
  /** Whether the database is at a commit boundary; a transaction of `ended` does not count. */
  readonly atBoundary: (ended?: ParentFile) => boolean;
  /** Begins an image, which calls `onRelease` when it needs no more saving. */
  readonly begin: (
    options: ImageOptions,
    onRelease: (image: CapturedImage) => void,
  ) => CapturedImage;
}

/** An image that waits for a write transaction to end. */
interface Waiting {
  readonly begin: () => void;
  readonly fail: (error: unknown) => void;
}

/** Waiting and running images. */
export class ImageQueue {
  /** Images that must be told before something they need is overwritten. */
  readonly running: Set<CapturedImage> = new Set();
  readonly #host: ImageHost;
  readonly #waiting = new Set<Waiting>();

  constructor(host: ImageHost) {
    this.#host = host;
  }

  /** Begins an image now, or when the write transaction that is open has ended. */
  async request(options: ImageOptions): Promise<DatabaseImage> {
    const { name, atBoundary } = this.#host;
    const { signal } = options;
    throwIfAborted(signal, "read", name);
    if (atBoundary()) return this.#begin(options);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        if (this.#waiting.size === 0) this.#watchUnlock(false);
        reject(abortedError({ operation: "read", object: name, signal }));
      };
      const waiting: Waiting = {
        begin: () => {
          signal?.removeEventListener("abort", onAbort);
          try {
            resolve(this.#begin(options));
          } catch (error) {
            reject(error);
          }
        },
        fail: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      if (this.#waiting.size === 0) this.#watchUnlock(true);
      this.#waiting.add(waiting);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Begins the waiting images if no write transaction is open; one of `ended` does not count. */
  retry(ended?: ParentFile): void {
    if (this.#waiting.size === 0 || !this.#host.atBoundary(ended)) return;
    this.#watchUnlock(false);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { begin } of waiting) begin();
  }

  /** Somebody else wrote the database: what running images have not read yet may be gone. */
  overrun(): void {
    for (const image of this.running) image.overrun("somebody else wrote the database");
  }

  /** A file joins the host's, or is about to leave it. */
  watch(file: ParentFile, joins: boolean): void {
    if (this.#waiting.size > 0) file.methods.watchUnlock(joins);
  }

  /** Ends all waiting: there is nothing left to read. */
  fail(error: unknown): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { fail } of waiting) fail(error);
  }

  #begin(options: ImageOptions): CapturedImage {
    const image = this.#host.begin(options, (released) => this.running.delete(released));
    this.running.add(image);
    return image;
  }

  #watchUnlock(watch: boolean): void {
    for (const file of this.#host.files) file.methods.watchUnlock(watch);
  }
}
