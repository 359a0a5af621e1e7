import { describe, expect, test } from "vitest";
import { faultyStore } from "../testing/faulty-store.ts";
import { testObjectStore } from "../testing/test-object-store.ts";
import { memoryStore } from "./memory.ts";
import type { LocalReads, ObjectInfo, ObjectStore, WatchOptions } from "./object-store.ts";
import { prefixedStore } from "./prefixed.ts";

const kit = { describe, test, expect };

testObjectStore(() => prefixedStore(memoryStore(), "a/b"), {
  ...kit,
  name: "prefixedStore() contract",
});

async function keys(infos: AsyncIterable<ObjectInfo>): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of infos) found.push(key);
  return found;
}

describe("prefixedStore()", () => {
  test("keeps two parts of a store apart, and from a name that only begins alike", async () => {
    const store = memoryStore({ description: "here" });
    const one = prefixedStore(store, "tenants/1");
    const eleven = prefixedStore(store, "tenants/11");
    await one.put("x", new Uint8Array(1));
    await eleven.put("x", new Uint8Array(2));
    expect(await keys(store.list())).toEqual(["tenants/1/x", "tenants/11/x"]);
    expect(await keys(one.list())).toEqual(["x"]);
    expect((await eleven.head("x")).size).toBe(2);
    await one.delete(["x"]);
    expect(await keys(store.list())).toEqual(["tenants/11/x"]);
    expect(one.description).toBe("here/tenants/1");
  });

  test.each(["", "/", "a/", "a//b", "../a"])("refuses the prefix %j", (prefix) => {
    expect(() => prefixedStore(memoryStore(), prefix)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  test("refuses a key that leaves it, before the store is asked", async () => {
    const store = faultyStore(memoryStore());
    const part = prefixedStore(store, "a");
    for (const key of ["../b/x", "", "x/"]) {
      await expect(part.get(key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await expect(part.delete([key])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    expect(store.count()).toBe(0);
  });

  test("says what the store says of itself, after a probe of the whole store too", async () => {
    const inner = memoryStore();
    let capabilities = { ...inner.capabilities, conditionalPut: false };
    const store: ObjectStore = {
      ...inner,
      layout: "hex",
      encrypted: true,
      clockOffsetMs: () => 7,
      get capabilities() {
        return capabilities;
      },
      probe: () => Promise.resolve((capabilities = inner.capabilities)),
    };
    const part = prefixedStore(store, "a");
    expect(part.capabilities.conditionalPut).toBe(false);
    await part.probe?.();
    expect(part.capabilities).toBe(inner.capabilities);
    expect(part.clockOffsetMs?.()).toBe(7);
    expect(part).toMatchObject({ layout: "hex", encrypted: true, local: true, type: "memory" });
    expect(prefixedStore(inner, "a").probe).toBeUndefined();
  });

  test("watch() tells of the part alone", async () => {
    const asked: WatchOptions[] = [];
    const inner = memoryStore();
    const store: ObjectStore = {
      ...inner,
      async *watch(options = {}) {
        asked.push(options);
        yield* inner.list(options);
      },
    };
    await inner.put("a/ltx/x", new Uint8Array(1));
    await inner.put("b/ltx/x", new Uint8Array(1));
    const watching = prefixedStore(store, "a").watch?.({ prefix: "ltx/" });
    expect(await keys(watching ?? inner.list())).toEqual(["ltx/x"]);
    expect(asked).toMatchObject([{ prefix: "a/ltx/" }]);
    expect(prefixedStore(inner, "a").watch).toBeUndefined();
  });

  test("localReads() reads the part alone, where the store reads so", async () => {
    const inner = memoryStore();
    const asked: string[] = [];
    let isOpen = true;
    const reads: LocalReads = {
      read(key, { offset, length }) {
        asked.push(key);
        return new Uint8Array(length).fill(offset);
      },
      close() {
        isOpen = false;
      },
    };
    const part = prefixedStore({ ...inner, localReads: () => Promise.resolve(reads) }, "a");
    const own = await part.localReads?.();
    const range = { offset: 7, length: 2, etag: "" };
    expect(own?.read("ltx/x", range)).toEqual(Uint8Array.of(7, 7));
    expect(() => own?.read("../b/x", range)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
    expect(asked).toEqual(["a/ltx/x"]);
    own?.close();
    expect(isOpen).toBe(false);
    expect(prefixedStore(inner, "a").localReads).toBeUndefined();
    const shared = { ...inner, localReads: () => Promise.resolve(undefined) };
    expect(await prefixedStore(shared, "a").localReads?.()).toBeUndefined();
  });
});
