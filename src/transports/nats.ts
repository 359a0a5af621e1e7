/**
 * A bucket of NATS JetStream's object store as a place for a replica.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { abortable } from "../core/abortable.ts";
import { type BodyContext, byteRange, checkPutOptions } from "./body.ts";
import { NotFoundError, otherVersion } from "./errors.ts";
import { type NatsBucket, NatsLink } from "./nats-connection.ts";
import { listObjects, watchObjects } from "./nats-list.ts";
import type { NatsStoreOptions } from "./nats-options.ts";
import { etagOf, infoOf, type NatsObject } from "./nats-object.ts";
import { ChunkMap, readChunks } from "./nats-read.ts";
import { deleteObject, lookUp, writeObject } from "./nats-write.ts";
import type { ObjectInfo, ObjectStore, StoreCapabilities } from "./object-store.ts";
import { inParallel } from "./parts.ts";
import { checkKey, checkPrefix } from "./path-rules.ts";

export type {
  NatsConnectionLike,
  NatsConnectOptions,
  NatsStoreOptions,
  NatsTlsOptions,
} from "./nats-options.ts";

/** What JetStream guarantees for every stream, whatever the server. */
const CAPABILITIES: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  conditionalLarge: true,
  conditionalDelete: true,
  metadataInList: true,
  rangedGet: true,
  watch: true,
};

const DELETES_AT_ONCE = 16;

/**
 * Makes a store of a bucket. It connects at the first call, and anew at the first call after the connection was lost;
 * `close` ends the connection, which otherwise keeps a process alive.
 *
 * @example
 * ```ts
 * import { connect } from "@nats-io/transport-node";
 * import { natsStore } from "pagestream/transports/nats";
 *
 * const account = { user: "app", password: "secret" };
 * const overTcp = natsStore({ servers: "nats://db.example.com", connect, bucket: "app", ...account });
 * const overWebSocket = natsStore({ servers: "wss://db.example.com", bucket: "app", ...account });
 * ```
 */
export function natsStore(options: NatsStoreOptions): ObjectStore {
  const link = new NatsLink(options);
  const { description } = link;
  const map = new ChunkMap();
  /** Writes whose caller is gone, and that still clean up. */
  const unfinished = new Set<Promise<unknown>>();

  const open = async (context: BodyContext): Promise<NatsBucket> => {
    throwIfAborted(context.signal, context.operation, context.object);
    return await abortable(link.open(context.operation, context.object), context);
  };
  const call = async <T>(
    context: BodyContext,
    step: (bucket: NatsBucket) => Promise<T>,
  ): Promise<T> => {
    const bucket = await open(context);
    const running = step(bucket);
    unfinished.add(running);
    const forget = (): void => void unfinished.delete(running);
    running.then(forget, forget);
    return await abortable(running, context);
  };
  async function* walk<T>(
    context: BodyContext,
    items: (bucket: NatsBucket) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    yield* items(await open(context));
  }
  const find = async (context: BodyContext): Promise<NatsObject> => {
    const { operation, object: key } = context;
    const found = await call(context, (bucket) => lookUp(bucket, context));
    if (found !== undefined && !found.deleted && !found.link) return found;
    const what = found?.link
      ? "it is a link to another object"
      : `${description} holds no such object`;
    throw new NotFoundError({ operation, object: key, what });
  };

  return {
    type: "nats",
    description,
    capabilities: CAPABILITIES,
    layout: "directory",

    async get(key, getOptions = {}) {
      checkKey(key, "read");
      const context = { operation: "read", object: key, signal: getOptions.signal };
      const object = await find(context);
      const { ifMatch } = getOptions;
      if (ifMatch !== undefined && ifMatch !== etagOf(object)) throw otherVersion(context);
      const range = byteRange(object.size, getOptions, key);
      const chunks = walk(context, (bucket) => readChunks(bucket, { object, range, map }, context));
      const { size, etag, lastModified, metadata = {} } = infoOf(object);
      return { body: streamOf(chunks), size, etag, lastModified, metadata };
    },

    async put(key, body, putOptions = {}) {
      checkKey(key, "write");
      checkPutOptions(key, putOptions);
      const context = { operation: "write", object: key, signal: putOptions.signal };
      return await call(context, (bucket) => writeObject(bucket, body, { ...putOptions, context }));
    },

    async head(key, headOptions) {
      checkKey(key, "look up");
      return infoOf(await find({ operation: "look up", object: key, signal: headOptions?.signal }));
    },

    async delete(keys, deleteOptions) {
      for (const key of keys) checkKey(key, "delete");
      const { signal } = deleteOptions ?? {};
      throwIfAborted(signal, "delete objects of", description);
      await inParallel(keys, DELETES_AT_ONCE, async (key) => {
        const context = { operation: "delete", object: key, signal };
        await call(context, (bucket) => deleteObject(bucket, { context }));
      });
    },

    async deleteOne(key, deleteOptions = {}) {
      checkKey(key, "delete");
      const { ifMatch, signal } = deleteOptions;
      const context = { operation: "delete", object: key, signal };
      await call(context, (bucket) => deleteObject(bucket, { ifMatch, context }));
    },

    async *list(listOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { prefix = "", signal } = listOptions;
      checkPrefix(prefix, "list");
      const context = { operation: "list", object: prefix === "" ? description : prefix, signal };
      for (const info of await call(context, (bucket) =>
        listObjects(bucket, listOptions, context),
      )) {
        throwIfAborted(signal, "list", context.object);
        yield info;
      }
    },

    async *watch(watchOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const { prefix = "", signal } = watchOptions;
      checkPrefix(prefix, "watch");
      const context = { operation: "watch", object: description, signal };
      yield* walk(context, (bucket) => watchObjects(bucket, watchOptions, context));
    },

    async close() {
      await Promise.allSettled(unfinished);
      await link.close();
    },
  };
}

/** A body that asks for more when it is read. */
function streamOf(chunks: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return();
      },
    },
    { highWaterMark: 0 },
  );
}
