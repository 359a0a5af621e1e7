/**
 * Listing and watching a bucket: both read the messages that describe objects.
 *
 * @module
 */
import type { JsMsg } from "@nats-io/jetstream";
import type { ListOptions, ObjectInfo, WatchOptions } from "./object-store.ts";
import type { BodyContext } from "./body.ts";
import type { NatsBucket } from "./nats-connection.ts";
import { deliver } from "./nats-delivery.ts";
import { decodeObject, infoOf, type NatsObject } from "./nats-object.ts";
import { isKey } from "./path-rules.ts";

const BATCH_MESSAGES = 1024;

/**
 * All objects, in key order. The server keeps them in the order of their writes and knows no prefixes, so all are gone through
 * and those asked for are held in memory.
 */
export async function listObjects(
  bucket: NatsBucket,
  options: ListOptions,
  context: BodyContext,
): Promise<ObjectInfo[]> {
  const { prefix = "", startAfter } = options;
  const found = new Map<string, ObjectInfo>();
  const messages = deliver(bucket, {
    ...context,
    config: { filter_subject: bucket.names.allMeta, deliver_policy: "last_per_subject" },
    batch: BATCH_MESSAGES,
  });
  for await (const message of messages) {
    const object = deliveredObject(message, context.operation);
    const { key } = object;
    if (!key.startsWith(prefix) || (startAfter !== undefined && key <= startAfter)) continue;
    // One that was replaced during the walk comes a second time.
    found.delete(key);
    if (isObject(object)) found.set(key, infoOf(object));
  }
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Objects as they are put. */
export async function* watchObjects(
  bucket: NatsBucket,
  { prefix = "", ready }: WatchOptions,
  context: BodyContext,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const messages = deliver(bucket, {
    ...context,
    config: { filter_subject: bucket.names.allMeta, deliver_policy: "new" },
    batch: BATCH_MESSAGES,
    endless: true,
    ready,
  });
  for await (const message of messages) {
    const object = deliveredObject(message, context.operation);
    if (object.key.startsWith(prefix) && isObject(object)) yield infoOf(object);
  }
}

/** What is read of a message that a consumer got. */
export type DeliveredMessage = Pick<JsMsg, "data" | "info" | "timestampNanos">;

/** The object that a delivered message describes. */
export function deliveredObject(message: DeliveredMessage, operation: string): NatsObject {
  const { data, info, timestampNanos } = message;
  // Its `time` is rounded through a float: at times a millisecond later than what a look-up tells.
  const time = new Date(Number(timestampNanos / 1_000_000n));
  return decodeObject({ data, seq: info.streamSequence, time }, operation);
}

/** Whether it can be read here: neither a marker of deletion nor a link, and under a name that is a key. */
function isObject({ deleted, link, key }: NatsObject): boolean {
  return !deleted && !link && isKey(key);
}
