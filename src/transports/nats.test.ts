import { describe, expect, test } from "vitest";
import { natsError } from "./nats-errors.ts";
import { type DeliveredMessage, deliveredObject } from "./nats-list.ts";
import { bucketNames, decodeObject, encodeObject } from "./nats-object.ts";
import { deleteObject, writeObject } from "./nats-write.ts";
import type { NatsBucket } from "./nats-connection.ts";
import { natsStore, type NatsStoreOptions } from "./nats.ts";

const context = { operation: "write", object: "a" };
const time = new Date(0);
const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A refusal of JetStream, as the library throws it. */
function refusal(code: number, status = 400): Error {
  return Object.assign(new Error(`refused ${code}`), { name: "JetStreamApiError", code, status });
}

function named(name: string, cause?: Error): Error {
  return Object.assign(new Error(name, { cause }), { name });
}

/** A stream of one object's messages in memory; `metaFault` may fail the publication of the message that describes it. */
class FakeBucket {
  readonly names = bucketNames("b");
  meta: { seq: number; data: Uint8Array } | undefined;
  readonly purged: string[] = [];
  readonly chunks: string[] = [];
  /** `before`: the message never arrives; `after`: it does, and the answer is lost. */
  metaFault: { readonly when: "before" | "after"; readonly error: Error } | undefined;
  lookUpFault: Error | undefined;
  #seq = 0;

  store(name: string, nuid: string): void {
    this.meta = { seq: ++this.#seq, data: text({ name, bucket: "b", nuid, size: 1, chunks: 1 }) };
  }

  get bucket(): NatsBucket {
    const failure = (error: unknown): Error => natsError(error, { ...context, bucket: "b" });
    return {
      name: "b",
      names: this.names,
      chunkSize: 4,
      failure,
      ask: (_: unknown, answer: Promise<unknown>) =>
        answer.catch((error: unknown) => {
          throw failure(error);
        }),
      newId: () => `n${this.#seq}`,
      newHeaders: () => new Map<string, string>(),
      js: { publish: this.#publish },
      jsm: {
        streams: {
          getMessage: async () => {
            if (this.lookUpFault !== undefined && this.chunks.length > 0) throw this.lookUpFault;
            return this.meta === undefined ? null : { ...this.meta, time };
          },
          purge: async (_: string, { filter }: { filter: string }) => void this.purged.push(filter),
          deleteMessage: this.deleteMessage,
        },
      },
    } as unknown as NatsBucket;
  }

  deleteMessage = async (_stream: string, seq: number): Promise<boolean> => {
    if (this.meta?.seq !== seq) throw refusal(10_043);
    this.meta = undefined;
    return true;
  };

  readonly #publish = async (
    subject: string,
    data: string | Uint8Array,
    options?: { expect: { lastSubjectSequence: number } },
  ): Promise<{ seq: number }> => {
    if (typeof data !== "string") {
      this.chunks.push(subject);
      return { seq: ++this.#seq };
    }
    const fault = this.metaFault;
    this.metaFault = undefined;
    if (fault?.when === "before") throw fault.error;
    if ((this.meta?.seq ?? 0) !== options?.expect.lastSubjectSequence) throw refusal(10_071);
    this.meta = { seq: ++this.#seq, data: new TextEncoder().encode(data) };
    if (fault !== undefined) throw fault.error;
    return { seq: this.#seq };
  };
}

describe("writeObject()", () => {
  const bytes = new Uint8Array(10);

  test("succeeds when only the answer to its last message was lost", async () => {
    const fake = new FakeBucket();
    fake.metaFault = { when: "after", error: named("TimeoutError") };
    const { etag } = await writeObject(fake.bucket, bytes, { context, ifNoneMatch: "*" });
    expect(etag).toBe("4-n0");
    expect(fake.purged).toEqual([]);
  });

  test("keeps its chunks while its last message may still arrive", async () => {
    const fake = new FakeBucket();
    fake.metaFault = { when: "before", error: named("TimeoutError") };
    const put = writeObject(fake.bucket, bytes, { context });
    await expect(put).rejects.toMatchObject({ code: "STORE", retryable: true });
    expect(fake.purged).toEqual([]);

    const blind = new FakeBucket();
    blind.metaFault = { when: "after", error: named("TimeoutError") };
    blind.lookUpFault = named("ClosedConnectionError");
    await expect(writeObject(blind.bucket, bytes, { context })).rejects.toMatchObject({
      code: "STORE",
      retryable: true,
    });
    expect(blind.purged).toEqual([]);
  });

  test("removes its chunks when its last message cannot arrive any more", async () => {
    const fake = new FakeBucket();
    const { bucket } = fake;
    const { getMessage } = bucket.jsm.streams;
    let lookUps = 0;
    bucket.jsm.streams.getMessage = (...query) => {
      // Another writer comes between.
      if (++lookUps === 2) fake.store("a", "other");
      return getMessage(...query);
    };
    fake.metaFault = { when: "before", error: named("TimeoutError") };
    await expect(writeObject(bucket, bytes, { context })).rejects.toMatchObject({ code: "STORE" });
    expect(fake.purged).toEqual(["$O.b.C.n0"]);
  });

  test("removes its chunks when its last message is refused", async () => {
    const fake = new FakeBucket();
    fake.metaFault = { when: "before", error: refusal(10_077) };
    const put = writeObject(fake.bucket, bytes, { context });
    await expect(put).rejects.toThrow("Raise the largest size of the bucket");
    expect(fake.purged).toEqual(["$O.b.C.n0"]);
  });

  test("tells when the server stored chunks in another order", async () => {
    const fake = new FakeBucket();
    const { bucket } = fake;
    let seq = 100;
    bucket.js.publish = async () => ({ seq: seq--, stream: "OBJ_b", duplicate: false });
    await expect(writeObject(bucket, bytes, { context })).rejects.toThrow("in another order");
    expect(fake.purged).toEqual(["$O.b.C.n0"]);
  });

  test("gives up when others replace the object each time", async () => {
    const fake = new FakeBucket();
    const { bucket } = fake;
    bucket.js.publish = async (subject) => {
      if (subject.includes(".C.")) return { seq: ++lost, stream: "OBJ_b", duplicate: false };
      lost++;
      throw refusal(10_071);
    };
    let lost = 0;
    const put = writeObject(bucket, bytes, { context });
    await expect(put).rejects.toMatchObject({ code: "STORE", retryable: true });
    expect(lost).toBe(3 + 100);
  });
});

describe("deleteObject()", () => {
  test("deletes what has replaced the object it looked up", async () => {
    const fake = new FakeBucket();
    fake.store("a", "old");
    const { deleteMessage } = fake;
    let calls = 0;
    fake.deleteMessage = (stream, seq) => {
      if (calls++ === 0) fake.store("a", "new");
      return deleteMessage(stream, seq);
    };
    await deleteObject(fake.bucket, { context });
    expect(fake.purged).toEqual(["$O.b.C.new"]);
    expect(fake.meta).toBe(undefined);
  });

  test("removes no chunks of a version that it could not delete", async () => {
    const fake = new FakeBucket();
    fake.store("a", "kept");
    fake.deleteMessage = () => Promise.reject(refusal(10_109));
    await expect(deleteObject(fake.bucket, { context })).rejects.toMatchObject({
      code: "STORE",
      retryable: false,
    });
    expect(fake.purged).toEqual([]);
  });
});

describe("decodeObject()", () => {
  test("reads what encodeObject() wrote, and Go finds the header by its spelling", () => {
    const json = encodeObject({
      key: "ltx/0/ü.ltx",
      bucket: "b",
      nuid: "N",
      size: 5,
      chunks: 1,
      sha256: new Uint8Array([255, 254, 253]),
      chunkSize: 10,
      nowMs: 0,
      metadata: { "litestream-timestamp": "2026-01-02T03:04:05Z" },
    });
    expect(JSON.parse(json)).toEqual({
      name: "ltx/0/ü.ltx",
      headers: { "Litestream-Timestamp": ["2026-01-02T03:04:05Z"] },
      options: { max_chunk_size: 10 },
      bucket: "b",
      nuid: "N",
      size: 5,
      mtime: "1970-01-01T00:00:00.000Z",
      chunks: 1,
      digest: "SHA-256=__79",
    });
    const object = decodeObject({ data: new TextEncoder().encode(json), seq: 7, time }, "read");
    expect(object).toEqual({
      key: "ltx/0/ü.ltx",
      seq: 7,
      time,
      nuid: "N",
      size: 5,
      chunks: 1,
      digest: "SHA-256=__79",
      deleted: false,
      link: false,
      metadata: { "litestream-timestamp": "2026-01-02T03:04:05Z" },
    });
  });

  test("deliveredObject() tells the millisecond that has begun, as a look-up does", () => {
    const data = text({ name: "a", nuid: "N" });
    const info = { streamSequence: 7 } as DeliveredMessage["info"];
    const message = { data, info, timestampNanos: 1_795_352_037_600_999_999n };
    expect(deliveredObject(message, "list").time.getTime()).toBe(1_795_352_037_600);
  });

  test("refuses what does not describe an object", () => {
    for (const value of [
      1,
      null,
      {},
      { name: "a", size: -1 },
      { name: "a", size: 1.5 },
      { name: "a", chunks: "1" },
      { name: "a", nuid: "x.>" },
      { name: "a", nuid: 5 },
      { name: "a", headers: "x" },
    ]) {
      const decode = (): unknown => decodeObject({ data: text(value), seq: 1, time }, "read");
      expect(decode, JSON.stringify(value)).toThrow("does not describe an object");
    }
    const broken = { data: new Uint8Array([255, 123]), seq: 1, time };
    expect(() => decodeObject(broken, "read")).toThrow("does not describe an object");
  });
});

describe("natsError()", () => {
  test.each<[Error, boolean, string]>([
    [named("AuthorizationError"), false, "refused the credentials"],
    [named("UserAuthenticationExpiredError"), false, "refused the credentials"],
    [named("RequestError", named("PermissionViolationError")), false, "does not permit"],
    [named("ConnectionError"), true, "the connection was lost"],
    [named("TimeoutError"), true, "did not answer in time"],
    [named("Error"), true, "the connection to the server failed"],
    [refusal(10_059, 404), false, "nats object add b"],
    [refusal(10_039, 503), false, "Enable JetStream"],
    [refusal(10_047, 500), false, "more storage"],
    [refusal(10_008, 503), true, "refused 10008"],
    [refusal(10_014, 404), true, "refused 10014"],
    [refusal(10_025, 400), false, "refused 10025"],
  ])("natsError() of %s: may be retried %s", (error, retryable, message) => {
    const made = natsError(error, { ...context, bucket: "b" });
    expect(made).toMatchObject({ code: "STORE", retryable });
    expect(made.message).toContain(message);
    expect(made.cause).toBe(undefined);
  });
});

describe("natsStore()", () => {
  const base = { bucket: "app", servers: "wss://host" };

  test("refuses options that can never work", () => {
    for (const [options, message] of [
      [{ bucket: "a/b" }, "no name of a bucket"],
      [{ bucket: "" }, "no name of a bucket"],
      [{ path: "db" as never }, "one database per bucket"],
      [{ servers: undefined }, "there is no server"],
      [{ servers: [] }, "there is no server"],
      [{ servers: "nats://host" }, "@nats-io/transport-node"],
      [{ servers: ["wss://host", "host:4222"] }, "no WebSocket address"],
      [{ servers: "wss://user:hunter2@host" }, "holds user info"],
      [{ tls: { ca: "x" } }, "the runtime does TLS"],
    ] as [Partial<NatsStoreOptions>, string][]) {
      const make = (): unknown => natsStore({ ...base, ...options });
      expect(make).toThrow(message);
      expect(make).not.toThrow("hunter2");
    }
  });

  test("names its place, without secrets", () => {
    const connect = (): never => {
      throw new Error("not called");
    };
    const places = [
      natsStore({ ...base, token: "hunter2" }),
      natsStore({ bucket: "app", servers: ["host:4222", "other"], connect }),
      natsStore({ bucket: "app", servers: "wss://host:1/path?token=hunter2" }),
    ];
    expect(places.map((store) => store.description)).toEqual([
      "wss://host/app",
      "nats://host:4222/app",
      "wss://host:1/app",
    ]);
    expect(JSON.stringify(places)).not.toContain("hunter2");
  });

  test("does nothing once it is closed", async () => {
    const store = natsStore(base);
    await store.close?.();
    await store.close?.();
    await expect(store.head("a")).rejects.toMatchObject({ code: "CLOSED" });
  });
});
