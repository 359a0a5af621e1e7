/**
 * A bound on what is sent at a time.
 *
 * @module
 */

/** Places for bodies that are being sent. */
export class Slots {
  readonly #stallMs: number;
  #free: number;

  constructor(count: number, options: { readonly stallMs: number }) {
    this.#free = count;
    this.#stallMs = options.stallMs;
  }

  /** Takes a place; undefined where none is free. The function gives it back, once however often it is called. */
  take(): (() => void) | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    let isTaken = true;
    return () => {
      if (isTaken) this.#free++;
      isTaken = false;
    };
  }

  /** A body that gives its place back at its end, and ends with an error where nobody takes its next piece in time. */
  hold(body: ReadableStream<Uint8Array>, release: () => void): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    const stallMs = this.#stallMs;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stalled = (controller: ReadableStreamDefaultController): void => {
      controller.error(new Error("the client does not take what it asked for"));
      release();
      reader.cancel().catch(() => undefined);
    };
    return new ReadableStream<Uint8Array>(
      {
        start(controller) {
          timer = setTimeout(stalled, stallMs, controller);
        },
        async pull(controller) {
          clearTimeout(timer);
          try {
            const { done, value } = await reader.read();
            if (!done) {
              controller.enqueue(value);
              timer = setTimeout(stalled, stallMs, controller);
              return;
            }
            controller.close();
          } catch (error) {
            controller.error(error);
          }
          release();
        },
        async cancel(reason) {
          clearTimeout(timer);
          release();
          await reader.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }
}
