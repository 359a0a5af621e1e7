/**
 * Stored messages in order, asked for in batches: a consumer that lives as long as the walk.
 *
 * @module
 */
import type { ConsumerConfig, ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import { throwIfAborted } from "../core/errors.ts";
import { abortable } from "../core/abortable.ts";
import { StoreError } from "./errors.ts";
import type { NatsBucket } from "./nats-connection.ts";

/** What is walked, and how. */
export interface DeliveryOptions {
  /** What the consumer delivers. */
  readonly config: Pick<
    ConsumerConfig,
    "filter_subject" | "deliver_policy" | "opt_start_seq" | "headers_only"
  >;
  /** Most messages asked for at a time: what may have to wait in memory. */
  readonly batch: number;
  /** Go on for ever: wait for messages that are not there yet. @default false */
  readonly endless?: boolean | undefined;
  /** Called when the consumer exists. */
  readonly ready?: (() => void) | undefined;
  /** For messages. */
  readonly operation: string;
  /** For messages. */
  readonly object: string;
  /** Ends the walk with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** How long a request for messages stands before it is made anew; a connection that is lost shows at once. */
const EXPIRES_MS = 2000;
const ENDLESS_EXPIRES_MS = 60_000;

/** A consumer whose owner is gone. */
const INACTIVE_NS = 90_000_000_000;

/**
 * The messages, each exactly once and in the order of the stream, up to the last there is. A gap, or silence where there
 * should be more, ends in an error that may be retried.
 */
export async function* deliver(
  bucket: NatsBucket,
  options: DeliveryOptions,
): AsyncGenerator<JsMsg, void, undefined> {
  const { js, jsm, nc, names, timeoutMs, ask } = bucket;
  const { endless = false, signal } = options;
  const adding = ask(
    options,
    jsm.consumers.add(names.stream, {
      ...options.config,
      ack_policy: "none",
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: INACTIVE_NS,
    }),
  );
  const remove = (): void => {
    adding
      .then(({ name }) => jsm.consumers.delete(names.stream, name))
      // It goes by itself after a while.
      .catch(() => undefined);
  };
  let messages: ConsumerMessages | undefined;
  const stop = (): void => messages?.stop();
  signal?.addEventListener("abort", stop);
  try {
    const info = await abortable(adding, options);
    const consumer = js.consumers.getConsumerFromInfo(info);
    options.ready?.();
    const expires = endless ? ENDLESS_EXPIRES_MS : EXPIRES_MS;
    /** How many are still to come: without end there are always some. */
    const left = (count: number): number => (endless ? Number.POSITIVE_INFINITY : count);
    let pending = left(info.num_pending);
    let delivered = 0;
    let silentMs = 0;
    while (pending > 0) {
      const max_messages = Math.min(pending, options.batch);
      const before = delivered;
      messages = await abortable(consumer.fetch({ max_messages, expires }), options);
      if (signal?.aborted) stop();
      const iterator = messages[Symbol.asyncIterator]();
      for (;;) {
        const { done, value: message } = await ask(options, iterator.next());
        if (done === true) break;
        if (message.info.deliverySequence !== ++delivered) {
          throw broken(options, "a message was lost");
        }
        pending = left(message.info.pending);
        yield message;
      }
      throwIfAborted(signal, options.operation, options.object);
      if (nc.isClosed()) throw broken(options, "the connection was lost");
      silentMs = delivered > before || endless ? 0 : silentMs + expires;
      if (silentMs >= timeoutMs) throw broken(options, "the server stopped delivering");
      // What was still to come may have been deleted meanwhile.
      if (silentMs > 0) {
        pending = (await abortable(ask(options, consumer.info()), options)).num_pending;
      }
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
    remove();
  }
}

function broken({ operation, object }: DeliveryOptions, what: string): StoreError {
  return new StoreError({ operation, object, what }, { retryable: true });
}
