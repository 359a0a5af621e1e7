import { expect, test } from "vitest";
import { S3Fake, type S3FakeOptions } from "../../test/helpers/s3-fake.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { collect, failure } from "../testing/test-kit.ts";
import type { ObjectStore } from "./object-store.ts";
import { s3Store } from "./s3.ts";

function bench(
  keys: readonly string[],
  server: Partial<S3FakeOptions> = {},
): { readonly fake: S3Fake; readonly store: ObjectStore } {
  const fake = new S3Fake({ bucket: "bucket", ...server });
  for (const key of keys) {
    fake.objects.set(`p/${key}`, {
      bytes: new Uint8Array(1),
      etag: '"e"',
      time: 1234,
      headers: {},
    });
  }
  const store = s3Store({
    bucket: "bucket",
    path: "p",
    credentials: S3Fake.credentials,
    fetch: fake.fetch,
    retry: { attempts: 3, baseMs: 1, capMs: 1, budgetMs: 60_000 },
  });
  return { fake, store };
}

async function names(store: ObjectStore, options: object = {}): Promise<string[]> {
  return (await collect(store.list(options))).map(({ key }) => key);
}

/** A store whose listings are these documents, one after the other and then the last. */
function answering(...documents: readonly string[]): ObjectStore {
  let count = 0;
  return s3Store({
    bucket: "bucket",
    credentials: S3Fake.credentials,
    retry: { attempts: 1, baseMs: 1, capMs: 1, budgetMs: 1 },
    fetch: async () =>
      new Response(documents[Math.min(count++, documents.length - 1)]!, { status: 200 }),
  });
}

function page(keys: readonly string[], more = ""): string {
  const contents = keys.map(
    (key) =>
      `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.5Z</LastModified></Contents>`,
  );
  return `<ListBucketResult>${contents.join("")}${more}</ListBucketResult>`;
}

const MORE = "<IsTruncated>true</IsTruncated>";

test("list() is in order and complete whatever the order of the server", async () => {
  const random = seededRandom(11);
  const name = (): string =>
    Array.from({ length: 1 + random.int(5) }, () => "ab0-.!~ /"[random.int(9)]!)
      .join("")
      .replace(/^\/+|\/+$|\/(?=\/)/g, "");
  for (let round = 0; round < 60; round++) {
    const keys = new Set<string>();
    for (let i = 0; i < 30; i++) {
      const key = name();
      const segments = key.split("/");
      if (key !== "" && !segments.some((each) => each === "." || each === "..")) keys.add(key);
    }
    const all = [...keys].sort();
    const prefixes = ["", "a", "a/", "ab", "-", all[random.int(all.length)] ?? ""];
    for (const order of ["bytes", "tree"] as const) {
      const { store } = bench(all, { order, pageSize: 4 });
      const prefix = prefixes[random.int(prefixes.length)] ?? "";
      const startAfter = random.int(2) === 0 ? undefined : all[random.int(all.length)];
      const expected = all.filter(
        (key) => key.startsWith(prefix) && (startAfter === undefined || key > startAfter),
      );
      const title = [`seed ${random.seed}`, round, order, prefix, startAfter, all];
      expect([...title, await names(store, { prefix, startAfter })]).toEqual([...title, expected]);
    }
  }
});

test("list() of a level holds nothing back: each page is one request", async () => {
  const txid = (n: number): string => n.toString(16).padStart(16, "0");
  const keys = Array.from({ length: 30 }, (_, i) => `0000/${txid(i + 1)}-${txid(i + 1)}.ltx`);
  const { fake, store } = bench(keys, { pageSize: 10 });
  const requests: number[] = [];
  for await (const _ of store.list({ prefix: "0000/" })) requests.push(fake.requests.length);
  expect([requests[0], requests[9], requests[10], requests[29]]).toEqual([1, 1, 2, 3]);
});

test("list() begins where it shall, not at the beginning", async () => {
  const txid = (n: number): string => n.toString(16).padStart(16, "0");
  const keys = Array.from({ length: 400 }, (_, i) => `0000/${txid(i + 1)}-${txid(i + 1)}.ltx`);
  const { fake, store } = bench(keys, { pageSize: 20 });
  for (const n of [5, 16, 255, 256, 257, 390]) {
    fake.requests.length = 0;
    const [first] = await names(store, { prefix: "0000/", startAfter: `0000/${txid(n)}` });
    expect(first).toBe(`0000/${txid(n)}-${txid(n)}.ltx`);
    expect(fake.requests[0]?.url.searchParams.get("start-after")).toContain("p/0000/0000000000000");
    expect(fake.requests.length).toBe(Math.ceil((401 - n) / 20));
  }
});

test("list() skips names that are no keys, and repeats further pages", async () => {
  const { fake, store } = bench(["a", "b", "c/", "d//e", "f"], { pageSize: 2 });
  let faults = 2;
  fake.fault = ({ count }) => (count > 1 && faults-- > 0 ? { status: 503 } : undefined);
  expect(await names(store)).toEqual(["a", "b", "f"]);
  expect(fake.requests.length).toBe(5);
  fake.fault = () => ({ status: 503 });
  fake.requests.length = 0;
  expect(await failure(() => names(store))).toBe("STORE");
  expect(fake.requests.length).toBe(1);
});

test("list() tells times in the whole seconds that HEAD tells", async () => {
  const [info] = await collect(answering(page(["a"])).list());
  expect(info?.lastModified.toISOString()).toBe("2026-01-01T00:00:00.000Z");
});

test("list() ends in an error where a server's list is short, endless or out of order", async () => {
  const token = (text: string): string =>
    `${MORE}<NextContinuationToken>${text}</NextContinuationToken>`;
  const listings: Readonly<Record<string, ObjectStore>> = {
    "no token": answering(page(["a"], MORE)),
    "the same token": answering(page(["a"], token("t")), page(["b"], token("t"))),
    "the same page": answering(page(["a"], token("1")), page(["a"], token("2"))),
    backwards: answering(page(["b", "a"])),
    twice: answering(page(["c/a", "c/a"])),
    "foreign keys": answering(page(["a"])),
    "another document": answering("<Other/>"),
    "a cut document": answering(page(["a"]).slice(0, -5)),
    "no size": answering("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
    "an encoding that is none": answering(page(["%zz"], "<EncodingType>url</EncodingType>")),
  };
  for (const [what, store] of Object.entries(listings)) {
    const prefix = what === "foreign keys" ? "b" : "";
    expect(`${what} ${await failure(() => names(store, { prefix }))}`).toBe(`${what} STORE`);
  }
  const endless = s3Store({
    bucket: "bucket",
    credentials: S3Fake.credentials,
    fetch: async () => new Response(page([], token(String(Math.random())))),
  });
  expect(await failure(() => names(endless))).toBe("STORE");
});
