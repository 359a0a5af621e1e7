/**
 * A bound on what is sent at a time.
 *
 * @module
 */
import type { Clock } from "../core/platform.ts";
import { Refusal } from "./refusal.ts";

/** A place that a request has. */
export interface Place {
  /** A body that keeps the place to its end, and breaks off where nobody takes its next piece in time. */
  send(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Gives the place back, unless a body has it. */
  leave(): void;
}

/** Places for bodies that are being sent. */
export class Slots {
  readonly #options: { readonly stallMs: number; readonly clock: Clock };
  #free: number;

  constructor(count: number, options: { readonly stallMs: number; readonly clock: Clock }) {
    this.#free = count;
    this.#options = options;
  }

  /** Takes a place; where none is free the request is refused. */
  take(): Place {
    if (this.#free === 0) {
      throw new Refusal("BUSY", "too much is being sent", { "retry-after": "1" });
    }
    this.#free--;
    let isTaken = true;
    let isSending = false;
    const release = (): void => {
      if (isTaken) this.#free++;
      isTaken = false;
    };
    return {
      send: (body) => {
        isSending = true;
        return this.#hold(body, release);
      },
      leave: () => {
        if (!isSending) release();
      },
    };
  }

  #hold(
    body: ReadableStream<Uint8Array>,
    release: () => void,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader = body.getReader();
    const { stallMs, clock } = this.#options;
    let stop = (): void => undefined;
    const watch = (controller: ReadableStreamDefaultController): void => {
      stop = clock.schedule(
        () => {
          controller.error(new Error("the client does not take what it asked for"));
          release();
          reader.cancel().catch(() => undefined);
        },
        stallMs,
        true,
      );
    };
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: watch,
        async pull(controller) {
          stop();
          try {
            const { done, value } = await reader.read();
            if (!done) {
              controller.enqueue(value as Uint8Array<ArrayBuffer>);
              watch(controller);
              return;
            }
            controller.close();
          } catch (error) {
            controller.error(error);
          }
          release();
        },
        async cancel(reason) {
          stop();
          release();
          await reader.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }
}
