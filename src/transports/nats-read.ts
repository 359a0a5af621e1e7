/**
 * Reading the chunks of an object. Writers cut objects as they like (Litestream makes a chunk of every write of its
 * encoder), so where a byte lies is learned from the sizes that the server tells, never computed.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { throwIfAborted } from "../core/errors.ts";
import { abortable } from "../core/abortable.ts";
import type { BodyContext, ByteRange } from "./body.ts";
import { StoreError } from "./errors.ts";
import type { NatsBucket } from "./nats-connection.ts";
import { deliver } from "./nats-delivery.ts";
import { digestText, type NatsObject } from "./nats-object.ts";

/** Bytes of one batch of chunks, about. */
const BATCH_BYTES = 4 << 20;
/** Messages of one batch that holds no bytes, or very small chunks. */
const BATCH_MESSAGES = 1024;
/** Most chunks that are asked for one by one, which needs no consumer. */
const MAX_SINGLE = 8;
/** Runs of chunks that are remembered, over all objects. */
const MAX_REMEMBERED = 1 << 18;

/** Consecutive chunks of an object: one large one, or small ones that make about as much. */
interface Run {
  /** Offset of its first byte. */
  readonly start: number;
  /** Sequence of its first chunk. */
  readonly seq: number;
  readonly chunks: number;
}

/**
 * Where the chunks of objects lie. What a nuid names never changes, so it is learned once per object, by headers alone.
 */
export class ChunkMap {
  readonly #runs: Map<string, readonly Run[]> = new Map();
  #remembered = 0;

  /** The runs of an object, in order; together they are exactly its bytes. */
  async runs(
    bucket: NatsBucket,
    object: NatsObject,
    context: BodyContext,
  ): Promise<readonly Run[]> {
    const known = this.#runs.get(object.nuid);
    if (known !== undefined) return known;
    const runs = await readRuns(bucket, object, context);
    this.#runs.set(object.nuid, runs);
    this.#remembered += runs.length;
    for (const [nuid, { length }] of this.#runs) {
      if (this.#remembered <= MAX_REMEMBERED) break;
      this.#runs.delete(nuid);
      this.#remembered -= length;
    }
    return runs;
  }
}

async function readRuns(
  bucket: NatsBucket,
  object: NatsObject,
  context: BodyContext,
): Promise<Run[]> {
  const runs: { start: number; seq: number; chunks: number }[] = [];
  let size = 0;
  const headers = deliver(bucket, {
    ...context,
    config: {
      filter_subject: bucket.names.chunks(object.nuid),
      deliver_policy: "all",
      headers_only: true,
    },
    batch: BATCH_MESSAGES,
  });
  for await (const message of headers) {
    const length = Number(message.headers?.get("Nats-Msg-Size"));
    if (!Number.isSafeInteger(length)) throw changed(context, "a chunk without a size");
    const last = runs.at(-1);
    if (last !== undefined && size + length - last.start <= bucket.chunkSize) last.chunks++;
    else runs.push({ start: size, seq: message.info.streamSequence, chunks: 1 });
    size += length;
  }
  if (size !== object.size) throw changed(context, `${size} of ${object.size} bytes`);
  return runs;
}

/**
 * The bytes of a range, as chunks of any size; the caller may change them. A whole object is held to its digest, at its
 * end; a part cannot be.
 */
export async function* readChunks(
  bucket: NatsBucket,
  from: { readonly object: NatsObject; readonly range: ByteRange; readonly map: ChunkMap },
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { object, range } = from;
  const { start, end } = range;
  if (start === end) return;
  const whole = start === 0 && end === object.size;
  if (!whole) {
    yield* readPart(bucket, from, context);
    return;
  }
  const digest = sha256.create();
  let size = 0;
  for await (const chunk of wholeObject(bucket, object, context)) {
    throwIfAborted(context.signal, context.operation, context.object);
    digest.update(chunk);
    size += chunk.length;
    if (size > object.size) break;
    yield chunk;
  }
  if (size !== object.size) throw changed(context, `${size} of ${object.size} bytes`);
  if (object.digest !== digestText(digest.digest())) throw damaged(context);
}

async function* wholeObject(
  bucket: NatsBucket,
  object: NatsObject,
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const filter_subject = bucket.names.chunks(object.nuid);
  if (object.chunks === 1) {
    const { jsm, names, ask } = bucket;
    const asked = jsm.streams.getMessage(names.stream, { last_by_subj: filter_subject });
    const message = await abortable(ask(context, asked), context);
    if (message !== null) yield message.data;
    return;
  }
  const config = { filter_subject, deliver_policy: "all" } as const;
  for await (const message of deliver(bucket, { ...context, config, batch: batchOf(object) })) {
    yield message.data;
  }
}

async function* readPart(
  bucket: NatsBucket,
  { object, range, map }: { object: NatsObject; range: ByteRange; map: ChunkMap },
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const runs = await map.runs(bucket, object, context);
  const first = runs.findLastIndex((run) => run.start <= range.start);
  const behind = runs.findIndex((run) => run.start >= range.end);
  const wanted = runs.slice(first, behind < 0 ? undefined : behind);
  const single = wanted.length <= MAX_SINGLE && wanted.every((run) => run.chunks === 1);
  const chunks = single
    ? singleChunks(bucket, wanted, context)
    : chunksFrom(bucket, { object, first: wanted[0] as Run }, context);
  let offset = (wanted[0] as Run).start;
  for await (const chunk of chunks) {
    throwIfAborted(context.signal, context.operation, context.object);
    const bytes = chunk.subarray(Math.max(0, range.start - offset), range.end - offset);
    offset += chunk.length;
    if (bytes.length > 0) yield bytes;
    if (offset >= range.end) return;
  }
  throw changed(context, `its chunks up to byte ${offset}`);
}

/** All asked for at once: they are few. */
async function* singleChunks(
  bucket: NatsBucket,
  runs: readonly Run[],
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const asked = runs.map(({ seq }) => chunkAt(bucket, seq, context));
  for (const each of asked) each.catch(() => undefined);
  for (const each of asked) yield await each;
}

async function chunkAt(
  { jsm, names, ask }: NatsBucket,
  seq: number,
  context: BodyContext,
): Promise<Uint8Array> {
  const asked = jsm.streams.getMessage(names.stream, { seq });
  const message = await abortable(ask(context, asked), context);
  if (message === null) throw changed(context, "not all of its chunks");
  return message.data;
}

async function* chunksFrom(
  bucket: NatsBucket,
  { object, first }: { object: NatsObject; first: Run },
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const config = {
    filter_subject: bucket.names.chunks(object.nuid),
    deliver_policy: "by_start_sequence",
    opt_start_seq: first.seq,
  } as const;
  for await (const message of deliver(bucket, { ...context, config, batch: batchOf(object) })) {
    yield message.data;
  }
}

/** As many chunks as make a batch, by the mean of the object. */
function batchOf({ size, chunks }: NatsObject): number {
  const mean = Math.max(1, size / Math.max(1, chunks));
  return Math.max(2, Math.min(BATCH_MESSAGES, Math.floor(BATCH_BYTES / mean)));
}

/** Chunks go when their object is replaced or deleted; a writer's crash between two steps leaves no such thing. */
function changed({ operation, object }: BodyContext, found: string): StoreError {
  return new StoreError(
    {
      operation,
      object,
      what: `the bucket holds ${found}: it was replaced or deleted meanwhile`,
      next: "Read it anew",
    },
    { retryable: true },
  );
}

function damaged({ operation, object }: BodyContext): StoreError {
  return new StoreError({
    operation,
    object,
    what: "its bytes do not match their digest",
    next: "Restore the bucket's stream from a copy, or write the object again",
  });
}
