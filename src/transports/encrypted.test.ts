import { describe, expect, test } from "vitest";
import { bytesSink, openReplica, restore } from "../api/index.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import { buildLtx } from "../testing/build-ltx.ts";
import { faultyStore, storeFault } from "../testing/faulty-store.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { difference, failure, readBody } from "../testing/test-kit.ts";
import { testObjectStore } from "../testing/test-object-store.ts";
import { encryptedStore, type EncryptionKeys } from "./encrypted.ts";
import { CHUNK_SIZE, plainSize, sealedSize } from "./encrypted-format.ts";
import { memoryStore } from "./memory.ts";
import type { ObjectStore } from "./object-store.ts";

const key = (seed: number): Uint8Array => seededRandom(seed).bytes(32);
const KEYS: EncryptionKeys = { keys: { one: key(1) }, keyId: "one" };
const TIME = { "litestream-timestamp": "2026-02-03T04:05:06.789Z" };

testObjectStore(() => encryptedStore(memoryStore(), KEYS), {
  describe,
  test,
  expect,
  name: "encryptedStore() contract",
  // Many chunks, over a store that has no parts.
  largeSize: 1_000_003,
});

/** A store that keeps no metadata, and reads the time of an LTX file from the header that it can read. */
function withoutMetadata(store: ObjectStore): ObjectStore {
  return {
    ...store,
    capabilities: { ...store.capabilities, metadataInList: false },
    put: (name, body, options) => store.put(name, body, { ...options, metadata: {} }),
  };
}

async function bytesAt(store: ObjectStore, name: string): Promise<Uint8Array> {
  return await readBody((await store.get(name)).body);
}

async function reasonOf(read: () => Promise<unknown>): Promise<string> {
  try {
    await read();
    return "none";
  } catch (error) {
    const { code, reason, object } = error as Record<"code" | "reason" | "object", string>;
    return `${code} ${reason} ${object}`;
  }
}

describe("encryptedStore", () => {
  test("encryptedStore() opens an object that was written before", async () => {
    const inner = memoryStore();
    await inner.put("a", fromHex(WRITTEN_BEFORE));
    const store = encryptedStore(inner, KEYS);
    expect(toHex(await bytesAt(store, "a"))).toBe("010203");
  });

  test("encryptedStore() stores nothing that looks like what it was given", async () => {
    const inner = memoryStore();
    const plain = new Uint8Array(200_000).fill(7);
    const store = encryptedStore(inner, KEYS);
    await store.put("a", plain);
    const first = await bytesAt(inner, "a");
    await store.put("a", plain);
    const second = await bytesAt(inner, "a");
    expect(first.length).toBe(sealedSize(plain.length));
    const same = first.filter((byte, i) => i >= 48 && byte === second[i]).length;
    expect(same / first.length).toBeLessThan(0.01);
    const sevens = first.filter((byte) => byte === 7).length;
    expect(sevens / first.length).toBeLessThan(0.01);
  });

  test("plainSize() is the inverse of sealedSize(), and undefined for sizes between", () => {
    const sizes = [0, 1, 2, 1000, 1, 2, 3].flatMap((n) => [n, CHUNK_SIZE * n, CHUNK_SIZE * n - 1]);
    for (const size of sizes.filter((n) => n >= 0)) {
      expect(plainSize(sealedSize(size))).toBe(size);
    }
    for (const stored of [0, 100, 128, 143]) expect(plainSize(stored)).toBeUndefined();
    // One byte more than a whole chunk needs a second tag.
    const whole = sealedSize(CHUNK_SIZE);
    for (let extra = 1; extra <= 16; extra++) expect(plainSize(whole + extra)).toBeUndefined();
    expect(plainSize(whole + 17)).toBe(CHUNK_SIZE + 1);
  });

  test("every changed bit, cut and added byte of a small object is a DECRYPT error", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, KEYS);
    await store.put("a", seededRandom(3).bytes(40));
    const sealed = await bytesAt(inner, "a");
    const changed: Uint8Array[] = [];
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const bytes = sealed.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      changed.push(bytes);
    }
    for (let length = 0; length < sealed.length; length++) changed.push(sealed.slice(0, length));
    changed.push(new Uint8Array([...sealed, 0]), sealed.slice().fill(0, 150));
    for (const [i, bytes] of changed.entries()) {
      await inner.put("a", bytes);
      expect(`${i} ${await failure(() => bytesAt(store, "a"))}`).toBe(`${i} DECRYPT`);
    }
  });

  test("moved, repeated, missing and foreign chunks are DECRYPT errors", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, KEYS);
    await store.put("a", seededRandom(4).bytes(3 * CHUNK_SIZE));
    await store.put("b", seededRandom(5).bytes(3 * CHUNK_SIZE));
    const [a, b] = [await bytesAt(inner, "a"), await bytesAt(inner, "b")];
    const size = CHUNK_SIZE + 16;
    const parts = (bytes: Uint8Array): Uint8Array[] => [
      bytes.slice(0, 128),
      ...[0, 1, 2].map((i) => bytes.slice(128 + i * size, 128 + (i + 1) * size)),
    ];
    const [head, first, second, third] = parts(a) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const [, , foreign] = parts(b) as [Uint8Array, Uint8Array, Uint8Array];
    const wrong: readonly (readonly Uint8Array[])[] = [
      [head, second, first, third],
      [head, first, first, third],
      [head, first, second],
      [head, first, third],
      [head, first, second, third, third],
      [head, first, foreign, third],
      [b.slice(0, 128), first, second, third],
    ];
    for (const [i, pieces] of wrong.entries()) {
      await inner.put("a", new Uint8Array(Buffer.concat(pieces)));
      const found = await reasonOf(() => bytesAt(store, "a"));
      expect(`${i} ${found}`).toBe(`${i} DECRYPT ${i === 6 ? "wrong-key" : "damaged"} a`);
    }
  });

  test("an object under another name, or with another context, is a DECRYPT error", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, { ...KEYS, context: "app" });
    await store.put("a", new Uint8Array([1]));
    await inner.put("b", await bytesAt(inner, "a"));
    expect(await reasonOf(() => store.get("b"))).toBe("DECRYPT wrong-key b");
    const other = encryptedStore(inner, { ...KEYS, context: "other" });
    expect(await reasonOf(() => other.get("a"))).toBe("DECRYPT wrong-key a");
    expect(await bytesAt(store, "a")).toEqual(new Uint8Array([1]));
  });

  test("a key that was replaced still opens what it sealed, and new objects get the new one", async () => {
    const inner = memoryStore();
    await encryptedStore(inner, KEYS).put("old", new Uint8Array([1]));
    const both = { keys: { one: key(1), two: key(2) }, keyId: "two" };
    const store = encryptedStore(inner, both);
    await store.put("new", new Uint8Array([2]));
    expect(await bytesAt(store, "old")).toEqual(new Uint8Array([1]));
    expect(await bytesAt(store, "new")).toEqual(new Uint8Array([2]));
    const onlyNew = encryptedStore(inner, { keys: { two: key(2) }, keyId: "two" });
    expect(await reasonOf(() => onlyNew.get("old"))).toBe("DECRYPT unknown-key old");
    const wrong = encryptedStore(inner, { keys: { one: key(9) }, keyId: "one" });
    expect(await reasonOf(() => wrong.get("old"))).toBe("DECRYPT wrong-key old");
  });

  test("plain data and a later version of the format are DECRYPT errors", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, KEYS);
    for (const bytes of [new Uint8Array(0), buildLtx({ pages: { 1: 1 } }).bytes]) {
      await inner.put("a", bytes);
      expect(await reasonOf(() => bytesAt(store, "a"))).toBe("DECRYPT plain a");
    }
    await store.put("a", new Uint8Array(1));
    const later = await bytesAt(inner, "a");
    later[7] = 2;
    await inner.put("a", later);
    expect(await reasonOf(() => store.get("a"))).toBe("DECRYPT version a");
  });

  test("get() fetches the chunks of a range alone, and the header once", async () => {
    const inner = faultyStore(memoryStore());
    const store = encryptedStore(inner, KEYS);
    const bytes = seededRandom(6).bytes(10 * CHUNK_SIZE + 5);
    const { etag } = await store.put("a", bytes);
    inner.reset();
    const offset = 5 * CHUNK_SIZE - 1;
    for (const turn of [1, 2]) {
      const got = await store.get("a", { offset, length: 2, ifMatch: etag });
      expect(await readBody(got.body)).toEqual(bytes.slice(offset, offset + 2));
      expect({ turn, size: got.size }).toEqual({ turn, size: bytes.length });
    }
    const size = CHUNK_SIZE + 16;
    const chunks = { offset: 128 + 4 * size, length: 2 * size };
    expect(inner.requests.map(({ offset, length }) => ({ offset, length }))).toEqual([
      { offset: undefined, length: 128 },
      chunks,
      chunks,
    ]);
    inner.reset();
    const head = await store.get("a", { length: 100 });
    expect(await readBody(head.body)).toEqual(bytes.slice(0, 100));
    expect(inner.requests.map(({ length }) => length)).toEqual([128 + size]);
  });

  test("get() gives any range of an object of several chunks, also past its end", async () => {
    const random = seededRandom(20261123);
    for (const size of [CHUNK_SIZE, 2 * CHUNK_SIZE + 1, 3 * CHUNK_SIZE - 1]) {
      const store = encryptedStore(memoryStore(), KEYS);
      const bytes = random.bytes(size);
      const { etag } = await store.put("a", bytes);
      for (let i = 0; i < 60; i++) {
        // Near the edges of chunks, where an offset by one would show.
        const near = (): number => random.int(5) * CHUNK_SIZE + random.int(5) - 2;
        const offset = Math.max(0, near());
        const length = random.chance(0.2) ? undefined : Math.max(0, near());
        const ifMatch = random.chance(0.5) ? etag : undefined;
        const got = await store.get("a", { offset, length, ifMatch });
        const wanted = bytes.slice(offset, length === undefined ? undefined : offset + length);
        const shown = { seed: random.seed, size, offset, length, whole: got.size };
        const found = difference(await readBody(got.body), wanted);
        expect({ ...shown, found }).toEqual({ ...shown, whole: size, found: "" });
      }
    }
  });

  test("get() reads the new version of an object that is replaced between its two requests", async () => {
    const memory = memoryStore();
    const before = encryptedStore(memory, KEYS);
    await before.put("a", new Uint8Array(200_000).fill(1));
    let gets = 0;
    const inner: ObjectStore = {
      ...memory,
      async get(name, options) {
        if (++gets === 2) await before.put("a", new Uint8Array(200_000).fill(2));
        return await memory.get(name, options);
      },
    };
    const got = await encryptedStore(inner, KEYS).get("a", { offset: 150_000, length: 1 });
    expect(await readBody(got.body)).toEqual(new Uint8Array([2]));
  });

  test("get() ends with a retryable error where the transfer breaks off", async () => {
    const inner = faultyStore(memoryStore());
    const store = encryptedStore(inner, KEYS);
    await store.put("a", new Uint8Array(1000));
    inner.failNext("get", { cutAfter: 500 });
    await expect(bytesAt(store, "a")).rejects.toMatchObject({ code: "STORE", retryable: true });
    // A store that ends the body quietly is not believed either.
    const quiet: ObjectStore = {
      ...inner,
      async get(name, options) {
        return { ...(await inner.get(name, { ...options, length: 500 })) };
      },
    };
    const cut = bytesAt(encryptedStore(quiet, KEYS), "a");
    await expect(cut).rejects.toMatchObject({ code: "STORE", retryable: true });
  });

  test("put() whose answer was lost resolves by reading, as without encryption", async () => {
    const inner = faultyStore(memoryStore());
    const store = encryptedStore(inner, KEYS);
    inner.failNext("put", { after: storeFault() });
    await expect(store.put("a", new Uint8Array([5]), { ifNoneMatch: "*" })).rejects.toThrow();
    const again = (): Promise<unknown> => store.put("a", new Uint8Array([5]), { ifNoneMatch: "*" });
    expect(await failure(again)).toBe("PRECONDITION_FAILED");
    expect((await store.head("a")).size).toBe(1);
    expect(await bytesAt(store, "a")).toEqual(new Uint8Array([5]));
  });

  test("head() tells the time of a file where the store keeps no metadata", async () => {
    const store = encryptedStore(withoutMetadata(memoryStore()), KEYS);
    await store.put("a.ltx", new Uint8Array([1]), { metadata: TIME });
    await store.put("b.ltx", new Uint8Array([1]));
    expect((await store.head("a.ltx")).metadata).toEqual(TIME);
    expect((await store.head("b.ltx")).metadata).toEqual({});
  });

  test("list() and head() tell plain sizes, and of foreign objects what is there", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, KEYS);
    await store.put("a", new Uint8Array(70_000));
    await inner.put("b", new Uint8Array(70));
    const sizes: number[] = [];
    for await (const { size } of store.list()) sizes.push(size);
    expect(sizes).toEqual([70_000, 70]);
    expect((await store.head("a")).size).toBe(70_000);
    expect(store.description).toBe("memory (encrypted)");
    expect(store.encrypted).toBe(true);
  });

  test("a replica in it restores with the key, and says without it that it is encrypted", async () => {
    const inner = memoryStore();
    const store = encryptedStore(inner, KEYS);
    const files = [
      buildLtx({ pages: { 1: { seed: 1 }, 2: { seed: 2 }, 3: { seed: 3 } } }),
      buildLtx({ minTxid: 2n, pages: { 2: { seed: 4 } }, commit: 3 }),
    ];
    for (const { minTxid, maxTxid, timestamp, bytes } of files) {
      const where = { level: 0, minTxid, maxTxid, timestamp: BigInt(timestamp) };
      await openReplica(store).write(where, bytes);
    }
    const sink = bytesSink();
    const { txid, time } = await restore(store, sink, { timestamp: new Date(files[1]!.timestamp) });
    expect({ txid, time }).toEqual({ txid: 2n, time: new Date(files[1]!.timestamp) });
    expect(sink.bytes.subarray(4096, 8192)).toEqual(seededRandom(4).bytes(4096));
    await expect(restore(inner, bytesSink())).rejects.toMatchObject({
      code: "DAMAGED_FILE",
      message: expect.stringContaining("the file is encrypted") as string,
    });
  });

  test("encryptedStore() refuses what can be no key", () => {
    const refusedKeys: readonly EncryptionKeys[] = [
      { keys: { one: new Uint8Array(16) }, keyId: "one" },
      { keys: { one: key(1) }, keyId: "two" },
      { keys: { "": key(1) }, keyId: "" },
      { keys: { ["x".repeat(33)]: key(1) }, keyId: "x".repeat(33) },
      { keys: { ä: key(1) }, keyId: "ä" },
      { ...KEYS, context: "a\0b" },
    ];
    for (const keys of refusedKeys) {
      expect(() => encryptedStore(memoryStore(), keys)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    }
  });
});

/** Bytes 1, 2, 3 under the name `a` by the first key, written with OpenSSL's AES and HKDF. */
const WRITTEN_BEFORE =
  "50534352595054010000019c21acec656f6e6500000000000000000000000000000000000000000000000000" +
  "000000001111111111111111111111111111111111111111111111111111111111111111b1504b539397a9be" +
  "ce02941884e56376ee47a019fc132329033d33e0205d7f0c9c0fc441d221e6ec9dd2a2ea6c206a6972c89912" +
  "14ef9e9a292cc42f527e4bc94a8242";
