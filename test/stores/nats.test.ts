import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { wsconnect } from "@nats-io/nats-core";
import { Objm } from "@nats-io/obj";
import { connect } from "@nats-io/transport-node";
import { isPagestreamError, type ObjectStore, StoreError } from "pagestream";
import { natsStore, type NatsStoreOptions } from "pagestream/transports/nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bucketNames } from "../../src/transports/nats-object.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { collect, difference, failure, readBody } from "../../src/testing/test-kit.ts";
import { natsProcess } from "../servers/nats.ts";
import { Scratch } from "../servers/server.ts";
import { describeWithServer, part, storeContract } from "./kit.ts";

describeWithServer("nats", (address) => {
  const [user, password] = [part(address, "user"), part(address, "password")];
  const [ws, tcp] = [part(address, "ws"), part(address, "tcp")];
  const stores: ObjectStore[] = [];
  const make = (options: Partial<NatsStoreOptions> = {}): ObjectStore => {
    const base = { servers: ws, user, password, bucket: "contract", createBucket: true };
    const store = natsStore({ ...base, ...options });
    stores.push(store);
    return store;
  };
  afterAll(() => Promise.all(stores.map((store) => store.close?.())));

  const overWebSocket = make();
  // No list has pages here.
  storeContract(
    { store: "NATS", server: "nats-server 2.15, WebSocket", make: () => overWebSocket },
    { manyObjects: 60, largeSize: 3.5 * 2 ** 20 },
  );
  // Small chunks, so that a large object is many batches.
  const overTcp = make({ servers: tcp, connect, bucket: "contract-tcp", chunkSize: 16 * 1024 });
  storeContract(
    { store: "NATS", server: "nats-server 2.15, TCP", make: () => overTcp },
    { manyObjects: 20, largeSize: 3.5 * 2 ** 20, short: true },
  );

  test.each<[string, () => Partial<NatsStoreOptions>]>([
    ["an nkey", () => ({ user: undefined, seed: part(address, "nkeySeed") })],
    ["a token", () => ({ user: undefined, servers: part(address, "tokenWs"), token: "t0ken" })],
    [
      "a JWT",
      () => ({
        servers: part(address, "jwtWs"),
        jwt: part(address, "jwt"),
        seed: part(address, "jwtSeed"),
      }),
    ],
    ["a file of credentials", () => ({ servers: part(address, "jwtWs"), creds: credentials() })],
    [
      "a file of credentials over TCP",
      () => ({ servers: part(address, "jwtTcp"), connect, creds: credentials() }),
    ],
    [
      "a token over TCP",
      () => ({ servers: part(address, "tokenTcp"), connect, token: "t0ken", user: undefined }),
    ],
  ])("natsStore() authenticates by %s", async (_, options) => {
    const store = make({ ...options(), bucket: "auth" });
    await store.put("a", new Uint8Array([1]));
    expect((await store.head("a")).size).toBe(1);
  });

  function credentials(): string {
    return `-----BEGIN NATS USER JWT-----
${part(address, "jwt")}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${part(address, "jwtSeed")}
------END USER NKEY SEED------
`;
  }

  // There for those who may not make it.
  beforeAll(() => collect(make().list({ prefix: "none" })));

  test.each<[string, Partial<NatsStoreOptions>, RegExp]>([
    ["a wrong password", { password: "hunter2" }, /refused the credentials/],
    ["a wrong password over TCP", { servers: tcp, connect, password: "hunter2" }, /refused the c/],
    ["a user without permission", { user: "limited", createBucket: false }, /not permit this user/],
    ["a missing bucket", { bucket: "absent", createBucket: false }, /nats object add absent/],
  ])("natsStore() says of %s that no repetition helps", async (_, options, message) => {
    const store = make(options);
    for (const call of [
      () => store.put("a", new Uint8Array(1)),
      () => store.get("a"),
      () => collect(store.list()),
    ]) {
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toMatchObject({ code: "STORE", retryable: false });
      expect(String(error)).toMatch(message);
      expect(String(error)).not.toContain("hunter2");
    }
  });

  test("natsStore() says that a bucket is gone which was there", async () => {
    const store = make({ bucket: "goes", timeoutMs: 1000 });
    await store.put("a", new Uint8Array(1));
    const nc = await connect({ servers: tcp, user, pass: password });
    await (await jetstreamManager(nc)).streams.delete("OBJ_goes");
    await nc.close();
    for (const call of [() => store.head("a"), () => collect(store.list())]) {
      await expect(call()).rejects.toThrow("nats object add goes");
    }
  });

  test("natsStore() needs no more permissions than docs/stores/nats.md tells", async () => {
    await make({ bucket: "scoped" })
      .head("a")
      .catch(() => undefined);
    const store = make({ bucket: "scoped", user: "scoped", createBucket: false, chunkSize: 100 });
    const bytes = seededRandom(14).bytes(1000);
    const ready = (): void => void store.put("a", bytes, { ifNoneMatch: "*" });
    for await (const { key } of store.watch?.({ ready }) ?? store.list()) {
      expect(key).toBe("a");
      break;
    }
    expect(difference(await readBody((await store.get("a")).body), bytes)).toBe("");
    const part = await store.get("a", { offset: 350, length: 10 });
    expect(difference(await readBody(part.body), bytes.subarray(350, 360))).toBe("");
    await store.put("a", bytes.subarray(1));
    await store.delete(["a"]);
    expect(await collect(store.list())).toEqual([]);
  });

  test("natsStore() refuses credentials that it cannot read, and does not show them", async () => {
    for (const options of [
      { creds: "hunter2" },
      { seed: "hunter2" },
      { jwt: "x", seed: "hunter2" },
    ]) {
      const error = await make(options)
        .head("a")
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(`${error} ${JSON.stringify(error)}`).not.toContain("hunter2");
    }
  });

  test("natsStore() repeats what a server that is away would do later", async () => {
    const store = make({ servers: "ws://127.0.0.1:9" });
    const error = await store.head("a").catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "STORE", retryable: true });
    expect(await failure(() => store.head("a", { signal: AbortSignal.abort() }))).toBe("ABORTED");
  });

  test("natsStore() uses a connection that it is given, and leaves it open", async () => {
    const connection = await wsconnect({ servers: ws, user, pass: password });
    const store = natsStore({ connection, bucket: "given", createBucket: true });
    await store.put("a", new Uint8Array([7]));
    await store.close?.();
    expect(await failure(() => store.head("a"))).toBe("CLOSED");
    expect(connection.isClosed()).toBe(false);
    await connection.close();
  });

  test("natsStore() reads what the library of NATS wrote, and the library what it wrote", async () => {
    const bucket = "library";
    const store = make({ bucket });
    const bytes = seededRandom(11).bytes(500_000);
    await store.put("ltx/0/ours.ltx", bytes, {
      metadata: { "litestream-timestamp": "2026-01-02T03:04:05.6Z" },
    });
    const nc = await connect({ servers: tcp, user, pass: password });
    const theirs = await new Objm(jetstream(nc)).open(bucket);
    // The last row of what the library reads is its check of the digest.
    expect(difference((await theirs.getBlob("ltx/0/ours.ltx")) as Uint8Array, bytes)).toBe("");
    const info = await theirs.info("ltx/0/ours.ltx");
    expect(info?.headers?.get("Litestream-Timestamp")).toBe("2026-01-02T03:04:05.6Z");
    await theirs.putBlob({ name: "theirs", options: { max_chunk_size: 1000 } }, bytes);
    await theirs.putBlob({ name: "gone" }, bytes);
    await theirs.delete("gone");
    const ours = await theirs.info("ltx/0/ours.ltx");
    if (ours !== null) await theirs.link("link", ours);
    await nc.close();

    expect((await collect(store.list())).map(({ key }) => key)).toEqual([
      "ltx/0/ours.ltx",
      "theirs",
    ]);
    expect(difference(await readBody((await store.get("theirs")).body), bytes)).toBe("");
    for (const name of ["gone", "link"]) {
      expect(await failure(() => store.get(name))).toBe("NOT_FOUND");
    }
    await store.put("gone", new Uint8Array([1]), { ifNoneMatch: "*" });
    expect((await store.head("gone")).size).toBe(1);
  });

  test("get() finds ranges in chunks of any sizes", async () => {
    const bucket = "odd";
    const store = make({ bucket, chunkSize: 10_000 });
    const names = bucketNames(bucket);
    const bytes = seededRandom(12).bytes(300_000);
    await store.put("other", bytes.subarray(0, 1));
    const nc = await connect({ servers: tcp, user, pass: password });
    const js = jetstream(nc);
    const random = seededRandom(13);
    let chunks = 0;
    for (let at = 0; at < bytes.length; chunks++) {
      const size = random.int(10) === 0 ? random.int(9000) : 100 + random.int(400);
      await js.publish(names.chunks("odd1"), bytes.subarray(at, at + size));
      at += size;
    }
    // As Go writes it: year 1, and a size of chunks that says nothing.
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    const meta = {
      name: "odd",
      headers: { "Litestream-Timestamp": ["2026-01-02T03:04:05.678Z"] },
      options: { max_chunk_size: 131_072 },
      bucket,
      nuid: "odd1",
      size: bytes.length,
      mtime: "0001-01-01T00:00:00Z",
      chunks,
      digest: `SHA-256=${Buffer.from(digest).toString("base64url")}=`,
    };
    await js.publish(names.meta("odd"), JSON.stringify(meta));
    await nc.close();

    const head = await store.head("odd");
    expect(head.metadata).toEqual({ "litestream-timestamp": "2026-01-02T03:04:05.678Z" });
    expect(Math.abs(head.lastModified.getTime() - Date.now())).toBeLessThan(60_000);
    expect(difference(await readBody((await store.get("odd")).body), bytes)).toBe("");
    for (let i = 0; i < 60; i++) {
      const offset = random.int(bytes.length + 100);
      const length = random.int(2) === 0 ? random.int(200) : random.int(bytes.length);
      const part = await readBody((await store.get("odd", { offset, length })).body);
      const title = `${offset}+${length}: `;
      expect(title + difference(part, bytes.subarray(offset, offset + length))).toBe(title);
    }
  });

  test("get() tells bytes that do not match their digest", async () => {
    const bucket = "damaged";
    const store = make({ bucket });
    await store.put("a", new Uint8Array(1000));
    const nc = await connect({ servers: tcp, user, pass: password });
    const jsm = await jetstreamManager(nc);
    const names = bucketNames(bucket);
    const stored = await jsm.streams.getMessage(names.stream, { last_by_subj: names.allMeta });
    const wrong = { ...stored?.json<object>(), digest: `SHA-256=${"A".repeat(43)}=` };
    await jetstream(nc).publish(names.meta("a"), JSON.stringify(wrong));
    const { body } = await store.get("a");
    await expect(readBody(body)).rejects.toThrow("do not match their digest");
    await jsm.streams.purge(names.stream, { filter: names.chunks(">") });
    await nc.close();
    const error = await store
      .get("a")
      .then(({ body: left }) => readBody(left))
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "STORE", retryable: true });
  });

  test("put() and delete() leave no chunks and no markers behind", async () => {
    const bucket = "tidy";
    const store = make({ bucket, chunkSize: 1000 });
    await store.put("a", new Uint8Array(5000));
    await store.put("a", new Uint8Array(4500));
    const failing = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      yield new Uint8Array(20_000);
      throw new Error("the source failed");
    };
    await expect(store.put("b", failing())).rejects.toThrow("the source failed");
    expect(await failure(() => store.put("a", new Uint8Array(9000), { ifNoneMatch: "*" }))).toBe(
      "PRECONDITION_FAILED",
    );
    await Promise.allSettled(
      Array.from({ length: 6 }, () =>
        store.put("race", new Uint8Array(3000), { ifNoneMatch: "*" }),
      ),
    );
    await Promise.all(Array.from({ length: 6 }, () => store.put("last", new Uint8Array(2000))));
    await store.put("c", new Uint8Array(3000));
    await store.delete(["c", "absent"]);
    const aborter = new AbortController();
    const hanging = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      yield new Uint8Array(20_000);
      aborter.abort();
      await new Promise(() => undefined);
    };
    expect(await failure(() => store.put("d", hanging(), { signal: aborter.signal }))).toBe(
      "ABORTED",
    );
    await store.close?.();

    const nc = await connect({ servers: tcp, user, pass: password });
    const jsm = await jetstreamManager(nc);
    const names = bucketNames(bucket);
    const { state } = await jsm.streams.info(names.stream, { subjects_filter: ">" });
    await nc.close();
    // Of a, race and last: the chunks of one version each, and a message.
    expect(Object.values(state.subjects ?? {}).toSorted()).toEqual([1, 1, 1, 2, 3, 5]);
  });

  test("natsStore() goes on after its server was killed and started again", async () => {
    const scratch = new Scratch("nats-restart");
    try {
      const server = await natsProcess(scratch, "restart", "");
      const first = await server.start();
      const store = make({ servers: server.ws, user: undefined, chunkSize: 10_000 });
      await store.put("before", new Uint8Array(30_000).fill(1));
      async function* killed(): AsyncGenerator<Uint8Array, void, undefined> {
        yield new Uint8Array(200_000);
        first.kill();
        yield new Uint8Array(200_000);
      }
      const error = await store.put("during", killed()).catch((reason: unknown) => reason);
      expect(isPagestreamError(error, "STORE") && error).toMatchObject({ retryable: true });
      await server.start();
      expect((await collect(store.list())).map(({ key }) => key)).toEqual(["before"]);
      await store.put("during", new Uint8Array(10), { ifNoneMatch: "*" });
      expect((await readBody((await store.get("before")).body)).length).toBe(30_000);
    } finally {
      await scratch.end();
    }
  });

  test("watch() ends with an error when its connection is lost", async () => {
    const scratch = new Scratch("nats-watch");
    try {
      const server = await natsProcess(scratch, "watch", "");
      const running = await server.start();
      const store = make({ servers: server.tcp, connect, user: undefined });
      const watching = collect(store.watch?.({ ready: running.kill }) ?? store.list());
      const error = await watching.catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "STORE", retryable: true });
    } finally {
      await scratch.end();
    }
  });
});
