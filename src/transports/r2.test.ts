import { expect, test } from "vitest";
import { collect, failure, readBody } from "../testing/test-kit.ts";
import { StoreError } from "./errors.ts";
import { type R2Bucket, type R2Object, r2Store } from "./r2.ts";

const OBJECT: R2Object = { key: "p/a", size: 3, etag: "e", uploaded: new Date(1) };
const PART = 5 * 2 ** 20;

/** A binding that does nothing but what a test gives it. */
function binding(methods: Partial<R2Bucket>): R2Bucket {
  const refuse = (): never => {
    throw new Error("not expected");
  };
  const none = { head: refuse, get: refuse, put: refuse, delete: refuse, list: refuse };
  return { ...none, createMultipartUpload: refuse, ...methods };
}

async function* stream(size: number): AsyncGenerator<Uint8Array, void, undefined> {
  yield new Uint8Array(size);
}

test("r2Store() tells errors of R2 that may pass from others", async () => {
  for (const [message, retryable] of [
    ["put: We encountered an internal error. Please try again. (10001)", true],
    ["put: Reduce your concurrent request rate for the same object. (10058)", true],
    ["network connection lost", true],
    ["put: The specified bucket does not exist. (10006)", false],
  ] as const) {
    const put = (): Promise<never> => Promise.reject(new Error(message));
    const store = r2Store(binding({ put }));
    const error = await store.put("a", new Uint8Array(1)).catch((caught: unknown) => caught);
    expect([message, error instanceof StoreError && error.retryable]).toEqual([message, retryable]);
  }
});

test("get() reads past the end what R2 refuses, and ends a body of another length in an error", async () => {
  const refused = r2Store(
    binding({
      get: () => Promise.reject(new Error("get: The range is not satisfiable (10039)")),
      head: async () => OBJECT,
    }),
    { path: "p" },
  );
  const { body, size } = await refused.get("a", { offset: 3 });
  expect([size, (await readBody(body)).length]).toEqual([3, 0]);
  for (const sent of [2, 4]) {
    const wrong = r2Store(
      binding({
        get: async () => ({ ...OBJECT, body: new Blob([new Uint8Array(sent)]).stream() }),
      }),
    );
    const got = await wrong.get("a");
    expect(await failure(() => readBody(got.body))).toBe("STORE");
  }
});

test("put() sends bytes in one call whatever their size, and large streams in parts", async () => {
  const calls: string[] = [];
  const store = r2Store(
    binding({
      put: async (key, value) => {
        calls.push(`put ${key} ${value.length}`);
        return OBJECT;
      },
      createMultipartUpload: async (key, options) => {
        calls.push(`create ${key} ${JSON.stringify(options)}`);
        return {
          uploadPart: async (partNumber, value) => {
            calls.push(`part ${partNumber} ${value.length}`);
            return { partNumber, etag: "t" };
          },
          complete: async (parts) => {
            calls.push(`complete ${parts.map(({ partNumber }) => partNumber).join()}`);
            return { ...OBJECT, etag: "whole" };
          },
          abort: async () => void calls.push("abort"),
        };
      },
    }),
    { path: "p" },
  );
  await store.put("a", new Uint8Array(PART + 1), { ifNoneMatch: "*" });
  await store.put("a", stream(PART));
  expect(calls.splice(0)).toEqual([`put p/a ${PART + 1}`, `put p/a ${PART}`]);
  const { etag } = await store.put("a", stream(PART + 1), { metadata: { n: "v" } });
  expect(etag).toBe("whole");
  expect(calls).toEqual([
    'create p/a {"customMetadata":{"n":"v"}}',
    `part 1 ${PART}`,
    "part 2 1",
    "complete 1,2",
  ]);
});

test("put() of a large stream under a condition looks before the last step and after it", async () => {
  const stored: (R2Object | null)[] = [];
  let aborted = 0;
  const store = r2Store(
    binding({
      head: async () => stored.shift() ?? null,
      createMultipartUpload: async () => ({
        uploadPart: async (partNumber) => ({ partNumber, etag: "t" }),
        complete: async () => ({ ...OBJECT, etag: "mine" }),
        abort: async () => void aborted++,
      }),
    }),
  );
  const create = async (...found: (R2Object | null)[]): Promise<unknown[]> => {
    stored.splice(0, stored.length, ...found);
    aborted = 0;
    const code = await failure(() => store.put("a", stream(PART + 1), { ifNoneMatch: "*" }));
    return [code, aborted];
  };
  expect(await create(null, { ...OBJECT, etag: "mine" })).toEqual(["no error", 0]);
  expect(await create(OBJECT)).toEqual(["PRECONDITION_FAILED", 1]);
  expect(await create(null, { ...OBJECT, etag: "theirs" })).toEqual(["PRECONDITION_FAILED", 0]);
});

test("delete() takes 1000 keys at a time", async () => {
  const sizes: number[] = [];
  const store = r2Store(binding({ delete: async (keys) => void sizes.push(keys.length) }));
  await store.delete(Array.from({ length: 2001 }, (_, i) => `k${i}`));
  expect(sizes).toEqual([1000, 1000, 1]);
});

test("list() goes on while R2 says so, and is never short without an error", async () => {
  const pages = [
    { objects: [OBJECT], truncated: true, cursor: "1" },
    { objects: [], truncated: true, cursor: "2" },
    {
      objects: [
        { ...OBJECT, key: "p/b" },
        { ...OBJECT, key: "p/c/" },
      ],
      truncated: false,
    },
  ];
  let count = 0;
  const store = r2Store(binding({ list: async () => pages[count++]! }), { path: "p" });
  expect((await collect(store.list())).map(({ key }) => key)).toEqual(["a", "b"]);
  const short = { objects: [OBJECT], truncated: true };
  const broken = r2Store(binding({ list: async () => short }));
  expect(await failure(() => collect(broken.list()))).toBe("STORE");
});
