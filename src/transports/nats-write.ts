/**
 * Writing and deleting an object: chunks first, then the one message that makes them the object.
 *
 * That message is always published on condition of the one it replaces. So it is known exactly whose chunks are to be purged,
 * of racing writers one wins, and chunks are never purged while a message that names them may still arrive.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { throwIfAborted } from "../core/errors.ts";
import type { BodyContext } from "./body.ts";
import { alreadyExists, otherVersion, StoreError } from "./errors.ts";
import type { CallContext, NatsBucket } from "./nats-connection.ts";
import { isRefusal, isWrongSequence } from "./nats-errors.ts";
import { decodeObject, encodeObject, etagOf, type NatsObject } from "./nats-object.ts";
import type { PutOptions, PutResult } from "./object-store.ts";
import { bodyParts, inParallel } from "./parts.ts";

/** Chunks under way at once. */
const CHUNKS_AT_ONCE = 8;

/** How often a write without a condition may lose against others before it says so. */
const MAX_LOST_RACES = 100;

/** The message of a key, a marker of deletion included; asked of the leader of the stream, whose answer is the newest. */
export async function lookUp(
  { jsm, names, ask }: NatsBucket,
  context: CallContext,
): Promise<NatsObject | undefined> {
  const last_by_subj = names.meta(context.object);
  const message = await ask(context, jsm.streams.getMessage(names.stream, { last_by_subj }));
  return message === null ? undefined : decodeObject(message, context.operation);
}

/** Writes an object; on failure nothing of it is left. Runs to its end whatever happens to the signal. */
export async function writeObject(
  bucket: NatsBucket,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  options: PutOptions & { readonly context: BodyContext },
): Promise<PutResult> {
  const { context } = options;
  const key = context.object;
  const before = await lookUp(bucket, context);
  checkCondition(before, options);
  const nuid = bucket.newId();
  try {
    const written = await writeChunks(bucket, { nuid, body }, context);
    throwIfAborted(context.signal, context.operation, key);
    const nowMs = Date.now();
    const { name, chunkSize } = bucket;
    const { metadata } = options;
    const meta = encodeObject({ key, bucket: name, nuid, ...written, chunkSize, nowMs, metadata });
    const seq = await publishMeta(bucket, { meta, nuid, before }, options);
    // The acknowledgement tells no time; clocks of a cluster agree as well as those of its clients.
    return { etag: etagOf({ seq, nuid }), lastModified: new Date(nowMs) };
  } catch (error) {
    if (!(error instanceof UnsettledError)) await purgeChunks(bucket, nuid);
    throw error instanceof UnsettledError ? error.reason : error;
  }
}

interface Written {
  readonly size: number;
  readonly chunks: number;
  readonly sha256: Uint8Array;
}

async function writeChunks(
  bucket: NatsBucket,
  { nuid, body }: { nuid: string; body: Uint8Array | AsyncIterable<Uint8Array> },
  context: BodyContext,
): Promise<Written> {
  const { js, names, chunkSize, ask } = bucket;
  const digest = sha256.create();
  let [size, chunks] = [0, 0];
  async function* parts(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const { bytes } of bodyParts(body, chunkSize, context)) {
      if (bytes.length === 0) continue;
      digest.update(bytes);
      size += bytes.length;
      chunks++;
      yield bytes;
    }
  }
  const acks = await inParallel(parts(), CHUNKS_AT_ONCE, async (bytes) => {
    return (await ask(context, js.publish(names.chunks(nuid), bytes))).seq;
  });
  // One connection keeps the order; a change of the stream's leader may not.
  if (acks.some((seq, i) => i > 0 && seq <= (acks[i - 1] as number))) {
    const what = "the server stored its chunks in another order";
    const { operation, object } = context;
    throw new StoreError({ operation, object, what }, { retryable: true });
  }
  return { size, chunks, sha256: digest.digest() };
}

/** What is published, and what it is to replace. */
interface Publication {
  readonly meta: string;
  readonly nuid: string;
  readonly before: NatsObject | undefined;
}

/** Whether the message arrived, or still will, is not known: its chunks must stay. */
class UnsettledError extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super("the outcome is unknown");
    this.reason = reason;
  }
}

/** Makes the chunks the object; returns the sequence of its message. What it replaced is purged. */
async function publishMeta(
  bucket: NatsBucket,
  publication: Publication,
  options: PutOptions & { readonly context: BodyContext },
): Promise<number> {
  const { meta, nuid } = publication;
  const { operation, object } = options.context;
  let { before } = publication;
  for (let lost = 0; lost < MAX_LOST_RACES; lost++) {
    const outcome = await tryPublish(bucket, { meta, nuid, before }, options.context);
    if ("seq" in outcome) {
      if (before?.deleted === false) await purgeChunks(bucket, before.nuid);
      return outcome.seq;
    }
    before = outcome.now;
    checkCondition(before, options);
  }
  const what = "other writers replaced it each time";
  throw new StoreError({ operation, object, what }, { retryable: true });
}

/** Publishes once: the sequence it got, or what is there instead of what was expected. */
async function tryPublish(
  bucket: NatsBucket,
  { meta, nuid, before }: Publication,
  context: BodyContext,
): Promise<{ readonly seq: number } | { readonly now: NatsObject | undefined }> {
  const { js, names } = bucket;
  const key = context.object;
  const expected = before?.seq ?? 0;
  try {
    const headers = bucket.newHeaders();
    headers.set("Nats-Rollup", "sub");
    return await js.publish(names.meta(key), meta, {
      headers,
      expect: { lastSubjectSequence: expected },
    });
  } catch (error) {
    const failure = bucket.failure(error, context);
    if (isRefusal(error) && !isWrongSequence(error)) throw failure;
    const now = await lookUp(bucket, context).catch(() => {
      throw new UnsettledError(failure);
    });
    if (now?.nuid === nuid) return now;
    if (isWrongSequence(error)) return { now };
    // Where another message is the last by now, ours was refused or will be.
    if ((now?.seq ?? 0) === expected) throw new UnsettledError(failure);
    throw failure;
  }
}

/**
 * Deletes an object, or that version of it: its message goes by its sequence, which is a condition by itself, and leaves no
 * marker behind, of which a replica would gather millions.
 */
export async function deleteObject(
  bucket: NatsBucket,
  options: { readonly ifMatch?: string | undefined; readonly context: BodyContext },
): Promise<void> {
  const { jsm, names } = bucket;
  const { ifMatch, context } = options;
  let refused: { readonly seq: number; readonly failure: Error } | undefined;
  for (;;) {
    const now = await lookUp(bucket, context);
    if (now === undefined || now.deleted) return;
    if (now.seq === refused?.seq) throw refused.failure;
    if (ifMatch !== undefined && ifMatch !== etagOf(now)) throw otherVersion(context);
    try {
      await jsm.streams.deleteMessage(names.stream, now.seq, false);
      await purgeChunks(bucket, now.nuid);
      return;
    } catch (error) {
      const failure = bucket.failure(error, context);
      if (!isRefusal(error)) throw failure;
      // It may have been replaced or deleted since it was looked up.
      refused = { seq: now.seq, failure };
    }
  }
}

/** Removes chunks that belong to no object; what fails costs space alone. */
async function purgeChunks({ jsm, names }: NatsBucket, nuid: string): Promise<void> {
  if (nuid === "") return;
  await jsm.streams.purge(names.stream, { filter: names.chunks(nuid) }).catch(() => undefined);
}

function checkCondition(
  now: NatsObject | undefined,
  options: PutOptions & { context: BodyContext },
): void {
  const { ifNoneMatch, ifMatch, context } = options;
  const present = now !== undefined && !now.deleted;
  if (ifNoneMatch !== undefined && present) {
    throw alreadyExists(context.object);
  }
  if (ifMatch !== undefined && (!present || ifMatch !== etagOf(now))) throw otherVersion(context);
}
