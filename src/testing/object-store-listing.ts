/**
 * The listing part of the object store contract.
 *
 * @module
 */
import { formatTimestamp, TIMESTAMP_METADATA } from "../transports/timestamp.ts";
import { seededRandom } from "./seeded-random.ts";
import { collect, failure } from "./test-kit.ts";
import { type StoreSuite, timed, timedObject } from "./object-store-suite.ts";

/** Names whose order is easy to get wrong: `-` and `.` sort before `/`, `0` after it, capitals before small letters. */
const NAMES: readonly string[] = [
  "B/x",
  "a-b",
  "a.b/y",
  "a/0/1",
  "a/0/2",
  "a/0-1",
  "a/1/1",
  "a/b/c/d",
  "a/bc",
  "a0",
  "ab/c",
  "b",
];

/** Registers the cases of `list` and `watch`. */
export function listCases(suite: StoreSuite): void {
  plainListCases(suite);
  watchCases(suite);
}

function plainListCases({ expect, storeTest, manyObjects, timeFrom }: StoreSuite): void {
  storeTest("list() yields keys in order, with what it knows of each", async (context) => {
    const { store, can, key, names } = context;
    for (const name of seededRandom(8).shuffle(NAMES)) {
      await store.put(key(name), new Uint8Array(name.length), {
        metadata: timed("2026-03-04T05:06:07.08Z"),
      });
    }
    const sorted = [...NAMES].sort();
    expect(await names()).toEqual(sorted);
    for (const info of await collect(store.list({ prefix: key("") }))) {
      const head = await store.head(info.key);
      expect(info.size).toBe(head.size);
      expect(info.size).toBe(info.key.length - key("").length);
      expect(info.etag).toBe(head.etag);
      expect(info.lastModified.getTime()).toBe(head.lastModified.getTime());
      if (can.metadataInList) {
        expect(info.metadata?.[TIMESTAMP_METADATA]).toBe("2026-03-04T05:06:07.08Z");
      }
    }
  });

  storeTest(
    "list() keeps to its prefix and begins after startAfter",
    async ({ store, key, names }) => {
      for (const name of NAMES) await store.put(key(name), new Uint8Array(1));
      const sorted = [...NAMES].sort();
      const prefixes = [
        "",
        "a",
        "a/",
        "a/b",
        "a/b/",
        "a/0",
        "a/0/",
        "a/bc",
        "a.",
        "A",
        "b",
        "b/",
        "z/z/",
      ];
      const starts = [
        undefined,
        "a",
        "a/",
        "a/0/1",
        "a/0/15",
        "a/b",
        "a/b/zz",
        "a0",
        "b",
        "zz",
        "0",
      ];
      for (const prefix of prefixes) {
        const checks = starts.map(async (startAfter) => {
          const expected = sorted.filter(
            (name) => name.startsWith(prefix) && (startAfter === undefined || name > startAfter),
          );
          const listed = await names(
            startAfter === undefined ? { prefix } : { prefix, startAfter },
          );
          expect([prefix, startAfter, listed]).toEqual([prefix, startAfter, expected]);
        });
        await Promise.all(checks);
      }
    },
  );

  storeTest("list() of nothing is empty", async ({ names }) => {
    expect(await names()).toEqual([]);
    expect(await names({ prefix: "no/such/" })).toEqual([]);
  });

  storeTest("list() refuses prefixes that leave the store", async ({ store }) => {
    for (const prefix of ["../", "/", "a/../b", "a//b", "a\\", "a\0"]) {
      const list = (): unknown => collect(store.list({ prefix }));
      const title = JSON.stringify(prefix);
      expect(`${title} ${await failure(list)}`).toBe(`${title} INVALID_ARGUMENT`);
    }
  });

  storeTest("list() can be left early and begun twice", async ({ store, key, names }) => {
    for (const name of ["a", "b", "c"]) await store.put(key(name), new Uint8Array(1));
    const listing = store.list({ prefix: key("") });
    for await (const info of listing) {
      expect(info.key).toBe(key("a"));
      break;
    }
    expect(await names()).toEqual(["a", "b", "c"]);
  });

  storeTest(
    "list() shows an object once its put() has ended, and not after delete()",
    async (context) => {
      const { store, key, names } = context;
      for (let i = 0; i < 5; i++) {
        await store.put(key(`d/${i}`), new Uint8Array(1));
        expect((await names()).length).toBe(i + 1);
      }
      await store.delete([key("d/3")]);
      expect(await names()).toEqual(["d/0", "d/1", "d/2", "d/4"]);
    },
  );

  storeTest(
    `list() and delete() handle ${manyObjects} objects, each with its time`,
    async (context) => {
      const { store, can, key, names } = context;
      const random = seededRandom(9);
      const start = Date.UTC(2001, 0, 1);
      const times = new Map<string, string>();
      for (let i = 1; i <= manyObjects; i++) {
        const txid = i.toString(16).padStart(16, "0");
        const ms = start + random.int(0x1_0000_0000) * 500 + random.int(1000);
        times.set(key(`ltx/0/${txid}-${txid}.ltx`), formatTimestamp(ms));
      }
      const queue = [...times];
      const worker = async (): Promise<void> => {
        for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
          const { bytes, metadata } = timedObject(timeFrom, Date.parse(next[1]), 1);
          await store.put(next[0], bytes, { metadata });
        }
      };
      await Promise.all(Array.from({ length: 16 }, worker));

      const listed = await collect(store.list({ prefix: key("ltx/0/") }));
      expect(listed.map((info) => info.key)).toEqual([...times.keys()]);
      const wrong: string[] = [];
      for (const [i, info] of listed.entries()) {
        // One request per object only for a sample where the listing does not tell.
        if (!can.metadataInList && i % 50 !== 0) continue;
        const { metadata } = can.metadataInList ? info : await store.head(info.key);
        const text = metadata?.[TIMESTAMP_METADATA];
        if (text !== times.get(info.key)) wrong.push(`${text} instead of ${times.get(info.key)}`);
      }
      expect(wrong).toEqual([]);

      const all = [...times.keys()];
      const after = await names({
        prefix: "ltx/0/",
        startAfter: all.at(-11)?.slice(key("").length) ?? "",
      });
      expect(after.length).toBe(Math.min(10, manyObjects));
      await store.delete(all);
      expect(await names()).toEqual([]);
    },
  );
}

function watchCases({ expect, storeTest }: StoreSuite): void {
  storeTest("watch() announces what is put, and nothing else", async ({ store, can, key }) => {
    expect(can.watch).toBe(store.watch !== undefined);
    if (store.watch === undefined) return;
    await store.put(key("in/old"), new Uint8Array(1));
    const aborter = new AbortController();
    let ready = (): void => undefined;
    const watching = new Promise<void>((resolve) => (ready = resolve));
    const { signal } = aborter;
    const announced = store.watch({ prefix: key("in/"), ready, signal })[Symbol.asyncIterator]();
    const first = announced.next();
    await watching;
    const metadata = timed("2026-03-04T05:06:07.08Z");
    await store.put(key("out/1"), new Uint8Array(1), { metadata });
    await store.put(key("in/2"), new Uint8Array(2), { metadata });
    await store.put(key("in/1"), new Uint8Array(3), { metadata });
    await store.delete([key("in/old")]);
    await store.put(key("in/old"), new Uint8Array(4), { metadata });
    const results = [await first, await announced.next(), await announced.next()];
    const infos = results.map((result) => (result.done === true ? undefined : result.value));
    expect(infos.map((info) => info?.key)).toEqual([key("in/2"), key("in/1"), key("in/old")]);
    expect(infos).toEqual(await Promise.all(infos.map((info) => store.head(info?.key ?? ""))));
    const next = failure(() => announced.next());
    aborter.abort();
    expect(await next).toBe("ABORTED");
  });

  storeTest("watch() can be left early", async ({ store, key }) => {
    if (store.watch === undefined) return;
    let put: Promise<unknown> | undefined;
    const ready = (): void => {
      put = store.put(key("a"), new Uint8Array(1));
    };
    for await (const info of store.watch({ prefix: key(""), ready })) {
      expect(info.key).toBe(key("a"));
      break;
    }
    await put;
  });

  storeTest("watch() ends at once when its signal is aborted already", async ({ store, key }) => {
    const { watch } = store;
    if (watch === undefined) return;
    const signal = AbortSignal.abort();
    const watching = (): unknown => collect(watch({ prefix: key(""), signal }));
    expect(await failure(watching)).toBe("ABORTED");
  });
}
