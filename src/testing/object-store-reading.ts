/**
 * The reading half of the object store contract.
 *
 * @module
 */
import { seededRandom } from "./seeded-random.ts";
import { difference, failure, readBody } from "./test-kit.ts";
import { type StoreSuite, timedObject } from "./object-store-suite.ts";

/** Registers the cases of `get`, `head` and metadata. */
export function readCases({ expect, storeTest, largeSize, timeFrom }: StoreSuite): void {
  storeTest("get() returns what put() wrote, and head() describes it", async ({ store, key }) => {
    const ms = Date.UTC(2026, 1, 3, 4, 5, 6, 789);
    const { bytes, metadata } = timedObject(timeFrom, ms, 10_000);
    const put = await store.put(key("a.ltx"), bytes, { metadata });
    const got = await store.get(key("a.ltx"));
    expect(difference(await readBody(got.body), bytes)).toBe("");
    const head = await store.head(key("a.ltx"));
    expect(head.key).toBe(key("a.ltx"));
    for (const info of [got, head]) {
      expect(info.size).toBe(bytes.length);
      expect(info.etag).toBe(put.etag);
      expect(Number.isNaN(info.lastModified.getTime())).toBe(false);
    }
    // What is only in the file's own header, a reader of the file needs no metadata for.
    const timed = timeFrom === "header" ? [head] : [got, head];
    for (const info of timed) {
      expect(info.metadata?.["litestream-timestamp"]).toBe("2026-02-03T04:05:06.789Z");
    }
  });

  storeTest("get() returns an empty object", async ({ store, key }) => {
    await store.put(key("empty"), new Uint8Array(0));
    const got = await store.get(key("empty"));
    expect(got.size).toBe(0);
    expect((await readBody(got.body)).length).toBe(0);
    expect((await readBody((await store.get(key("empty"), { offset: 5 })).body)).length).toBe(0);
    expect((await store.head(key("empty"))).size).toBe(0);
  });

  storeTest("get() and head() of a missing key fail with NOT_FOUND", async ({ store, key }) => {
    await store.put(key("dir/present"), new Uint8Array(1));
    for (const name of ["absent", "dir", "dir/absent", "dir/present/below", "no/such/folder"]) {
      expect(`${name} ${await failure(() => store.get(key(name)))}`).toBe(`${name} NOT_FOUND`);
      expect(`${name} ${await failure(() => store.head(key(name)))}`).toBe(`${name} NOT_FOUND`);
    }
    expect(await failure(() => store.get(key("absent"), { offset: 3, length: 4 }))).toBe(
      "NOT_FOUND",
    );
  });

  storeTest("get() returns ranges, and the whole size with each", async ({ store, key }) => {
    const bytes = seededRandom(2).bytes(1000);
    await store.put(key("a"), bytes);
    const ranges: readonly (readonly [number | undefined, number | undefined])[] = [
      [0, 1],
      [0, 1000],
      [0, 5000],
      [100, 200],
      [999, 1],
      [999, 100],
      [500, undefined],
      [undefined, 10],
      [1000, undefined],
      [1000, 10],
      [5000, 10],
      [5000, undefined],
      [0, 0],
      [500, 0],
    ];
    for (const [offset, length] of ranges) {
      const got = await store.get(key("a"), { offset, length });
      const start = offset ?? 0;
      const expected = bytes.subarray(start, length === undefined ? undefined : start + length);
      const title = `${offset}+${length}: `;
      expect(title + difference(await readBody(got.body), expected)).toBe(title);
      expect(`${title}${got.size}`).toBe(`${title}1000`);
    }
  });

  storeTest("get() refuses ranges that are not made of whole numbers", async ({ store, key }) => {
    await store.put(key("a"), new Uint8Array(10));
    const ranges = [{ offset: -1 }, { length: -1 }, { offset: 0.5 }, { offset: Number.NaN }];
    for (const range of ranges) {
      expect(await failure(() => store.get(key("a"), range))).toBe("INVALID_ARGUMENT");
    }
  });

  storeTest("get() reads the version that ifMatch names, and no other", async ({ store, key }) => {
    const { etag } = await store.put(key("a"), new Uint8Array([1]));
    if (etag === "") {
      const refused = await failure(() => store.get(key("a"), { ifMatch: "other" }));
      expect(refused).toBe("UNSUPPORTED");
      return;
    }
    const got = await store.get(key("a"), { ifMatch: etag });
    expect([...(await readBody(got.body))]).toEqual([1]);
    const second = await store.put(key("a"), new Uint8Array([2, 2]));
    expect(second.etag === etag).toBe(false);
    expect(await failure(() => store.get(key("a"), { ifMatch: etag }))).toBe("PRECONDITION_FAILED");
    const part = { ifMatch: etag, offset: 1, length: 1 };
    expect(await failure(() => store.get(key("a"), part))).toBe("PRECONDITION_FAILED");
    const again = await store.get(key("a"), { ifMatch: second.etag, offset: 1 });
    expect([...(await readBody(again.body))]).toEqual([2]);
  });

  storeTest("get() can be cancelled again and again before the end", async ({ store, key }) => {
    const bytes = seededRandom(3).bytes(largeSize);
    await store.put(key("large"), bytes);
    for (let i = 0; i < 16; i++) {
      const { body } = await store.get(key("large"), { offset: i });
      if (i % 2 === 0) {
        await body.cancel();
        continue;
      }
      const reader = body.getReader();
      const { value } = await reader.read();
      expect(value?.[0]).toBe(bytes[i]);
      await reader.cancel();
    }
    const got = await store.get(key("large"));
    expect(difference(await readBody(got.body), bytes)).toBe("");
  });

  storeTest(
    "get() of an object that is replaced meanwhile is never a mixture",
    async ({ store, key }) => {
      const size = largeSize;
      await store.put(key("a"), new Uint8Array(size).fill(1));
      const { body } = await store.get(key("a"));
      const reader = body.getReader();
      const first = await reader.read();
      await store.put(key("a"), new Uint8Array(size).fill(2));
      let total = first.value?.length ?? 0;
      let wrong = (first.value ?? new Uint8Array()).some((byte) => byte !== 1);
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          total += next.value.length;
          wrong ||= next.value.some((byte) => byte !== 1);
        }
        expect(total).toBe(size);
      } catch {
        // A store may end the body with an error instead of finishing the old version.
      }
      expect(wrong).toBe(false);
    },
  );

  storeTest("every call fails with ABORTED when its signal is aborted already", async (context) => {
    const { store, key } = context;
    await store.put(key("a"), new Uint8Array(1));
    const signal = AbortSignal.abort(new Error("enough"));
    const calls: Readonly<Record<string, () => unknown>> = {
      get: () => store.get(key("a"), { signal }),
      head: () => store.head(key("a"), { signal }),
      put: () => store.put(key("b"), new Uint8Array(1), { signal }),
      delete: () => store.delete([key("a")], { signal }),
      deleteOne: () => store.deleteOne(key("a"), { signal }),
      list: async () => {
        for await (const _ of store.list({ prefix: key(""), signal }));
      },
    };
    for (const [name, call] of Object.entries(calls)) {
      expect(`${name} ${await failure(call)}`).toBe(`${name} ABORTED`);
    }
    expect(await context.names()).toEqual(["a"]);
  });
}
