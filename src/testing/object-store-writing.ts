/**
 * The writing half of the object store contract.
 *
 * @module
 */
import { seededRandom } from "./seeded-random.ts";
import { difference, failure, readBody } from "./test-kit.ts";
import { type StoreCase, streamOf, type StoreSuite } from "./object-store-suite.ts";

/** Registers the cases of `put`, `delete` and `deleteOne` without conditions. */
export function writeCases(suite: StoreSuite): void {
  plainCases(suite);
  streamCases(suite);
  deleteCases(suite);
}

/** Characters that stores, URLs and file systems treat in ways of their own. */
const ODD_NAMES: readonly string[] = [
  "ltx/0/0000000000000001-00000000000000ff.ltx",
  "0009/0000000000000001-0000000000000001.ltx",
  "with space/plus+plus",
  "percent%20/%2e%2e",
  "quote'\"s",
  "a=b&c=d?e#f",
  "tilde~!*()",
  "ünï/日本/🙂",
  "semi;colon,comma@at$",
  ".hidden/..twodots/three...",
];

function plainCases({ expect, storeTest, largeSize, dotNames }: StoreSuite): void {
  storeTest("put() replaces an object", async ({ store, key }) => {
    await store.put(key("a"), new Uint8Array([1, 2, 3]));
    await store.put(key("a"), new Uint8Array([4]));
    expect(await contents(store, key("a"))).toEqual([4]);
    expect((await store.head(key("a"))).size).toBe(1);
  });

  storeTest("put() does not keep the bytes it was given", async ({ store, key }) => {
    const bytes = new Uint8Array([1, 2, 3]);
    const view = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    await store.put(key("whole"), bytes);
    await store.put(key("view"), view);
    bytes.fill(0);
    view.fill(0);
    expect(await contents(store, key("whole"))).toEqual([1, 2, 3]);
    expect(await contents(store, key("view"))).toEqual([1, 2]);
  });

  storeTest("get() hands out bytes that the caller may change", async ({ store, key }) => {
    await store.put(key("a"), new Uint8Array([1, 2, 3]));
    (await readBody((await store.get(key("a"))).body)).fill(0);
    const reader = (await store.get(key("a"))).body.getReader();
    (await reader.read()).value?.fill(0);
    await reader.cancel();
    expect(await contents(store, key("a"))).toEqual([1, 2, 3]);
  });

  storeTest("put() takes keys with every character that replicas use", async (context) => {
    const { store, key } = context;
    for (const [i, name] of ODD_NAMES.entries()) await store.put(key(name), new Uint8Array([i]));
    const shown = ODD_NAMES.filter((name) => dotNames || !name.startsWith("."));
    expect(await context.names()).toEqual([...shown].sort());
    for (const [i, name] of ODD_NAMES.entries()) {
      expect(await contents(store, key(name))).toEqual([i]);
    }
    await store.delete(ODD_NAMES.map(key));
    expect(await context.names()).toEqual([]);
  });

  storeTest("put() and the rest refuse keys that are no relative path", async ({ store, key }) => {
    const keys = [
      "",
      "/a",
      "a/",
      "a//b",
      ".",
      "..",
      "../a",
      "a/../b",
      "a/.",
      "a\\b",
      "a\0b",
      "a\nb",
    ];
    for (const bad of keys) {
      const full = bad === "" || bad.startsWith("/") ? bad : key(bad);
      for (const call of [
        () => store.put(full, new Uint8Array(1)),
        () => store.get(full),
        () => store.head(full),
        () => store.delete([full]),
        () => store.deleteOne(full),
      ]) {
        const title = JSON.stringify(bad);
        expect(`${title} ${await failure(call)}`).toBe(`${title} INVALID_ARGUMENT`);
      }
    }
  });

  storeTest("put() takes a large object in one piece", async ({ store, key }) => {
    const bytes = seededRandom(4).bytes(largeSize);
    await store.put(key("large"), bytes);
    const got = await store.get(key("large"));
    expect(difference(await readBody(got.body), bytes)).toBe("");
    const middle = await store.get(key("large"), { offset: 3_000_001, length: 70_000 });
    expect(difference(await readBody(middle.body), bytes.subarray(3_000_001, 3_070_001))).toBe("");
  });

  storeTest("put() and get() can run side by side", async (context) => {
    const { store, key } = context;
    const bodies = Array.from({ length: 24 }, (_, i) => seededRandom(100 + i).bytes(1 + i * 997));
    await Promise.all(bodies.map((body, i) => store.put(key(`deep/${i % 3}/${i}`), body)));
    const results = await Promise.all(
      bodies.map(async (body, i) => {
        const got = await store.get(key(`deep/${i % 3}/${i}`));
        return difference(await readBody(got.body), body);
      }),
    );
    expect(results.join("")).toBe("");
    expect((await context.names()).length).toBe(bodies.length);
  });
}

function streamCases({ expect, storeTest, largeSize }: StoreSuite): void {
  storeTest("put() takes a stream of unknown size in odd chunks", async ({ store, key }) => {
    const bytes = seededRandom(5).bytes(300_007);
    const sizes = [1, 4096, 3, 65_537, 100, 0, 7];
    await store.put(key("small chunks"), streamOf(bytes, sizes));
    const got = await store.get(key("small chunks"));
    expect(difference(await readBody(got.body), bytes)).toBe("");
    await store.put(key("empty"), streamOf(new Uint8Array(0), [1]));
    expect((await store.head(key("empty"))).size).toBe(0);
  });

  storeTest("put() takes a large stream", async ({ store, key }) => {
    const bytes = seededRandom(6).bytes(largeSize);
    const sizeBound = largeSize + 1000;
    await store.put(key("large"), streamOf(bytes, [1_000_003, 17, 262_144]), { sizeBound });
    const got = await store.get(key("large"));
    expect(difference(await readBody(got.body), bytes)).toBe("");
  });

  for (const [size, title] of [
    [1000, "small"],
    [largeSize, "large"],
  ] as const) {
    storeTest(`put() shows nothing of a ${title} stream before its last byte`, async (context) => {
      const { store, key } = context;
      const seen: string[] = [];
      const bytes = seededRandom(7).bytes(size);
      async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
        yield bytes.subarray(0, size - 1);
        seen.push(await failure(() => store.head(key("a"))), ...(await context.names()));
        yield bytes.subarray(size - 1);
      }
      await store.put(key("a"), body());
      expect(seen).toEqual(["NOT_FOUND"]);
      expect(await context.names()).toEqual(["a"]);
    });

    storeTest(`put() leaves nothing of a ${title} stream that fails`, async (context) => {
      const { store, key } = context;
      await store.put(key("old"), new Uint8Array([1]));
      for (const name of ["new", "old"]) {
        const caught = await failure(() => store.put(key(name), failing(size)));
        expect(caught).toBe("Error: the source failed");
      }
      expect(await context.names()).toEqual(["old"]);
      expect(await contents(store, key("old"))).toEqual([1]);
    });
  }

  storeTest("put() ends at once when it is aborted while the source hangs", async (context) => {
    const { store, key } = context;
    const aborter = new AbortController();
    async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
      yield new Uint8Array(10);
      aborter.abort();
      await new Promise(() => undefined);
    }
    const put = (): unknown => store.put(key("a"), body(), { signal: aborter.signal });
    expect(await failure(put)).toBe("ABORTED");
    expect(await context.names()).toEqual([]);
  });
}

async function* failing(size: number): AsyncGenerator<Uint8Array, void, undefined> {
  yield new Uint8Array(size);
  throw new Error("the source failed");
}

function deleteCases({ expect, storeTest }: StoreSuite): void {
  storeTest("delete() removes objects and does not mind missing ones", async (context) => {
    const { store, key } = context;
    for (const name of ["a", "b/c", "b/d", "e"]) await store.put(key(name), new Uint8Array(1));
    await store.delete([key("a"), key("absent"), key("b/c"), key("b/absent"), key("x/y/z")]);
    expect(await context.names()).toEqual(["b/d", "e"]);
    await store.delete([key("a"), key("b/c")]);
    await store.delete([]);
    expect(await context.names()).toEqual(["b/d", "e"]);
    expect(await failure(() => store.get(key("a")))).toBe("NOT_FOUND");
  });

  storeTest("deleteOne() removes one object and does not mind a missing one", async (context) => {
    const { store, key } = context;
    await store.put(key("a"), new Uint8Array(1));
    await store.put(key("a2"), new Uint8Array(1));
    await store.deleteOne(key("a"));
    await store.deleteOne(key("a"));
    expect(await context.names()).toEqual(["a2"]);
  });

  storeTest("put() creates an object anew after it was deleted", async ({ store, key }) => {
    await store.put(key("d/a"), new Uint8Array([1]));
    await store.delete([key("d/a")]);
    await store.put(key("d/a"), new Uint8Array([2]));
    expect(await contents(store, key("d/a"))).toEqual([2]);
  });
}

async function contents(store: StoreCase["store"], key: string): Promise<number[]> {
  return [...(await readBody((await store.get(key)).body))];
}
