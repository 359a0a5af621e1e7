import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import {
  type FakeFault,
  type FakeRequest,
  S3Fake,
  type S3FakeOptions,
} from "../../test/helpers/s3-fake.ts";
import { collect, failure } from "../testing/test-kit.ts";
import { StoreError } from "./errors.ts";
import type { ObjectStore } from "./object-store.ts";
import { s3Store, type S3Options } from "./s3.ts";

const PART = 5 * 2 ** 20;
const RETRY = { attempts: 3, baseMs: 1, capMs: 1, budgetMs: 60_000 };

async function bench(
  server: Partial<S3FakeOptions> = {},
  options: Partial<S3Options> = {},
): Promise<{ readonly fake: S3Fake; readonly store: ObjectStore }> {
  const fake = new S3Fake({ bucket: "bucket", ...server });
  const { credentials } = S3Fake;
  const store = s3Store({
    bucket: "bucket",
    credentials,
    fetch: fake.fetch,
    retry: RETRY,
    ...options,
  });
  return { fake, store };
}

async function probed(server: Partial<S3FakeOptions> = {}): ReturnType<typeof bench> {
  const made = await bench(server);
  await made.store.probe?.();
  made.fake.requests.length = 0;
  return made;
}

/** Sizes of the parts uploaded, in their order. */
function partSizes(fake: S3Fake): number[] {
  return fake.requests
    .filter(({ call }) => call === "PUT partNumber")
    .map(({ url, body }) => ({ number: Number(url.searchParams.get("partNumber")), body }))
    .sort((a, b) => a.number - b.number)
    .map(({ body }) => body.length);
}

test("probe() finds out what a server honours, with at most thirteen requests and once", async () => {
  const found = async (server: Partial<S3FakeOptions>): Promise<string> => {
    const { fake, store } = await bench(server);
    const before = store.capabilities;
    expect([before.conditionalPut, before.conditionalReplace]).toEqual([false, false]);
    const [can] = await Promise.all([store.probe!(), store.probe!()]);
    const count = fake.requests.length;
    expect(count).toBeLessThanOrEqual(13);
    expect(await store.probe!()).toBe(can);
    expect([fake.requests.length, fake.uploads.size]).toEqual([count, 0]);
    return [can.conditionalPut, can.conditionalReplace, can.conditionalLarge, can.conditionalDelete]
      .map(Number)
      .join("");
  };
  expect(await found({})).toBe("1111");
  expect(await found({ bareTags: true })).toBe("1111");
  expect(await found({ ignores: ["large", "delete"] })).toBe("1100");
  expect(await found({ ignores: ["replace"] })).toBe("1011");
  expect(await found({ ignores: ["put", "replace", "large", "delete"] })).toBe("0000");
});

test("probe() does not trust SeaweedFS with large objects, whose races two writers win", async () => {
  const fake = new S3Fake({ bucket: "bucket" });
  const fetch: S3Options["fetch"] = async (url, init) => {
    const { status, headers, body } = await fake.fetch(url, init);
    const answer = new Headers(headers);
    answer.set("server", "SeaweedFS 8000GB 4.48");
    return new Response(body, { status, headers: answer });
  };
  const { store: named } = await bench({}, { fetch });
  expect(await named.probe?.()).toMatchObject({ conditionalPut: true, conditionalLarge: false });
});

test("probe() proves nothing by a refusal for another reason, and can be tried again", async () => {
  const { fake, store } = await bench();
  for (const status of [403, 503]) {
    fake.fault = () => ({ status });
    expect(await failure(() => store.probe?.())).toBe("STORE");
    expect(store.capabilities.conditionalPut).toBe(false);
  }
  fake.fault = ({ headers }) => (headers.has("if-none-match") ? { status: 501 } : undefined);
  expect((await store.probe?.())?.conditionalPut).toBe(false);
});

test("probe() asks nothing of what the user knows", async () => {
  const conditions = {
    conditionalPut: true,
    conditionalReplace: true,
    conditionalLarge: false,
    conditionalDelete: false,
  };
  const { fake, store } = await bench({}, { conditions });
  expect(store.capabilities.conditionalPut).toBe(true);
  expect((await store.probe?.())?.conditionalLarge).toBe(false);
  expect(fake.requests.length).toBe(0);
  const some = await bench({}, { conditions: { conditionalDelete: false } });
  expect((await some.store.probe?.())?.conditionalDelete).toBe(false);
  expect(some.store.capabilities.conditionalPut).toBe(true);
});

test("put() and deleteOne() refuse conditions that the server does not honour", async () => {
  const { fake, store } = await probed({ ignores: ["put", "replace", "large", "delete"] });
  const body = new Uint8Array(1);
  expect(await failure(() => store.put("a", body, { ifNoneMatch: "*" }))).toBe("UNSUPPORTED");
  expect(await failure(() => store.put("a", body, { ifMatch: '"x"' }))).toBe("UNSUPPORTED");
  expect(await failure(() => store.deleteOne("a", { ifMatch: '"x"' }))).toBe("UNSUPPORTED");
  expect(fake.requests.length).toBe(0);
});

test("put() takes one request up to the size of a part, and parts of that size beyond", async () => {
  const { fake, store } = await bench();
  for (const [size, calls] of [
    [PART - 1, ["PUT"]],
    [PART, ["PUT"]],
    [PART + 1, ["POST uploads", "PUT partNumber", "PUT partNumber", "POST uploadId"]],
  ] as const) {
    fake.requests.length = 0;
    await store.put("a", new Uint8Array(size).fill(7));
    expect([size, fake.calls]).toEqual([size, calls]);
    expect((await store.head("a")).size).toBe(size);
  }
  expect(partSizes(fake)).toEqual([PART, 1]);
});

test("put() makes parts as large as the known size needs", async () => {
  const { fake, store } = await bench();
  const sizeBound = 10_000 * (6 * 2 ** 20);
  async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
    yield new Uint8Array(13 * 2 ** 20);
  }
  await store.put("a", body(), { sizeBound });
  // Of a body above 100 MiB a part has at least 8 MiB.
  expect(partSizes(fake)).toEqual([8 * 2 ** 20, 5 * 2 ** 20]);
  const own = await bench({}, { partSize: PART });
  await own.store.put("a", body(), { sizeBound });
  expect(partSizes(own.fake)).toEqual([6 * 2 ** 20, 6 * 2 ** 20, 2 ** 20]);
});

test("put() sends the same headers in one request and at the start of an upload in parts", async () => {
  const key = btoa("0123456789abcdef0123456789abcdef");
  const customer = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": key,
    "x-amz-server-side-encryption-customer-key-md5": createHash("md5")
      .update("0123456789abcdef0123456789abcdef")
      .digest("base64"),
  };
  const kms = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "key-id",
  };
  for (const [options, expected] of [
    [{ sseCustomerKey: key, storageClass: "STANDARD_IA" }, customer],
    [{ sseKmsKeyId: "key-id", storageClass: "STANDARD_IA" }, kms],
  ] as const) {
    const { fake, store } = await bench({}, options);
    const metadata = { "litestream-timestamp": "2026-01-01T00:00:00Z" };
    await store.put("small", new Uint8Array(1), { metadata });
    await store.put("large", new Uint8Array(PART + 1), { metadata });
    await store.get("small");
    await store.head("small");
    await store.delete(["small"]);
    const own = (request: FakeRequest | undefined): unknown =>
      Object.fromEntries(
        [...(request?.headers ?? [])].filter(
          ([name]) => !["authorization", "x-amz-date", "x-amz-content-sha256"].includes(name),
        ),
      );
    const written = {
      "content-type": "application/octet-stream",
      "x-amz-meta-litestream-timestamp": "2026-01-01T00:00:00Z",
      "x-amz-storage-class": "STANDARD_IA",
      ...expected,
    };
    const of = (call: string): unknown => own(fake.requests.find((each) => each.call === call));
    expect(of("PUT")).toEqual(written);
    expect(of("POST uploads")).toEqual(written);
    const reads = expected === customer ? customer : {};
    expect(of("PUT partNumber")).toEqual(expect.objectContaining(reads));
    expect(of("HEAD")).toEqual(reads);
    expect(of("GET")).toEqual({ ...reads, "accept-encoding": "identity" });
    expect(JSON.stringify(of("POST delete"))).not.toContain("encryption");
  }
});

test("put() repeats a part with the same bytes, and the last step", async () => {
  const { fake, store } = await bench();
  const failed = new Set<string>();
  fake.fault = ({ call, url }) => {
    const name = `${call} ${url.searchParams.get("partNumber")}`;
    if (call === "POST uploads" || call === "HEAD" || failed.has(name)) return undefined;
    failed.add(name);
    return { status: 503, code: "SlowDown" };
  };
  const bytes = new Uint8Array(2 * PART + 1).map((_, i) => i % 251);
  await store.put("a", bytes);
  expect(fake.calls.filter((call) => call === "PUT partNumber").length).toBe(6);
  expect(fake.calls.filter((call) => call === "POST uploadId").length).toBe(2);
  expect(Buffer.compare(fake.objects.get("a")!.bytes, bytes)).toBe(0);
});

test("put() cleans up after a failure, whatever failed", async () => {
  const failing: Readonly<Record<string, FakeFault>> = {
    "PUT partNumber": { status: 403, code: "AccessDenied" },
    "POST uploadId": { status: 400, code: "InvalidPart" },
  };
  for (const [call, fault] of Object.entries(failing)) {
    const { fake, store } = await bench();
    fake.fault = (request) => (request.call === call ? fault : undefined);
    expect(await failure(() => store.put("a", new Uint8Array(3 * PART)))).toBe("STORE");
    expect([call, fake.calls.at(-1), fake.uploads.size]).toEqual([call, "DELETE uploadId", 0]);
    expect(fake.objects.size).toBe(0);
  }
});

test("put() takes no 200 with an error in it for success", async () => {
  const { fake, store } = await probed();
  let faults = 1;
  fake.fault = ({ call }) =>
    call === "POST uploadId" && faults-- > 0 ? { status: 200, code: "InternalError" } : undefined;
  await store.put("a", new Uint8Array(PART + 1));
  expect(fake.calls.filter((call) => call === "POST uploadId").length).toBe(2);
  fake.fault = ({ call }) =>
    call === "POST uploadId" ? { status: 200, code: "PreconditionFailed" } : undefined;
  const create = (): unknown => store.put("b", new Uint8Array(PART + 1), { ifNoneMatch: "*" });
  expect(await failure(create)).toBe("PRECONDITION_FAILED");
  expect([fake.objects.has("b"), fake.uploads.size]).toEqual([false, 0]);
});

test("put() says that the outcome is open where the answer to the last step was lost", async () => {
  const { fake, store } = await probed();
  fake.fault = ({ call, count }) =>
    call === "POST uploadId" && fake.calls.indexOf("POST uploadId") === count - 1
      ? { status: 500, done: true, lost: true }
      : undefined;
  const plain = await store.put("a", new Uint8Array(PART + 1)).catch((error: unknown) => error);
  expect(plain instanceof StoreError && plain.retryable).toBe(true);
  expect(String(plain)).toContain("answer to the last step was lost");
  fake.requests.length = 0;
  // Under a condition, what is stored decides: whose it is, the engine finds out by reading.
  const create = (): unknown => store.put("b", new Uint8Array(PART + 1), { ifNoneMatch: "*" });
  expect(await failure(create)).toBe("PRECONDITION_FAILED");
  expect(fake.objects.get("b")?.bytes.length).toBe(PART + 1);
});

test("put() looks where a server answers 409 or 500 to a condition", async () => {
  for (const [status, code] of [
    [409, "ConditionalRequestConflict"],
    [500, "UnknownError"],
  ] as const) {
    const { fake, store } = await probed();
    fake.fault = ({ call }) => (call === "PUT" ? { status, code } : undefined);
    const create = (): unknown => store.put("a", new Uint8Array(1), { ifNoneMatch: "*" });
    // Nothing is there: the next attempt may create it.
    const error = await Promise.resolve(create()).catch((caught: unknown) => caught);
    expect(error instanceof StoreError && error.retryable).toBe(true);
    fake.fault = () => undefined;
    const { etag } = await store.put("a", new Uint8Array([1]));
    fake.fault = ({ call }) => (call === "PUT" ? { status, code } : undefined);
    expect(await failure(create)).toBe("PRECONDITION_FAILED");
    const replace = (ifMatch: string): unknown => store.put("a", new Uint8Array(1), { ifMatch });
    expect(await failure(() => replace('"other"'))).toBe("PRECONDITION_FAILED");
    expect(await failure(() => replace(etag))).toBe("STORE");
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("STORE");
  }
});

test("put() of a large body compares before and after where the server does not", async () => {
  const { fake, store } = await probed({ ignores: ["large"] });
  const create = (key: string): unknown =>
    store.put(key, new Uint8Array(PART + 1), { ifNoneMatch: "*" });
  expect(await failure(() => create("new"))).toBe("no error");
  await store.put("old", new Uint8Array(1));
  expect(await failure(() => create("old"))).toBe("PRECONDITION_FAILED");
  expect([fake.objects.get("old")?.bytes.length, fake.uploads.size]).toEqual([1, 0]);
  // Another writer comes between the last step and the look behind it.
  let heads = 0;
  fake.fault = ({ call, key }) => {
    if (call === "HEAD" && ++heads === 2) {
      fake.objects.set(key, {
        bytes: new Uint8Array(2),
        etag: '"x"',
        time: 0,
        headers: {
          "content-type": "x",
        },
      });
    }
    return undefined;
  };
  expect(await failure(() => create("raced"))).toBe("PRECONDITION_FAILED");
});

test("put() refuses metadata that a header cannot hold", async () => {
  const { fake, store } = await bench();
  for (const metadata of [
    { "a b": "x" },
    { A: "x" },
    { a: "ü" },
    { a: "x\r\ny: z" },
    { a: " x" },
  ]) {
    const put = (): unknown => store.put("a", new Uint8Array(1), { metadata });
    expect(await failure(put)).toBe("INVALID_ARGUMENT");
  }
  expect(fake.requests.length).toBe(0);
});

test("delete() takes 1000 at a time, each request with its MD5, and repeats all but the first", async () => {
  const { fake, store } = await bench();
  const keys = Array.from({ length: 1001 }, (_, i) => `k/${i}&<">'`);
  let faults = 1;
  fake.fault = ({ call, count }) =>
    call === "POST delete" && count > 1 && faults-- > 0 ? { status: 503 } : undefined;
  await store.put(keys[1000]!, new Uint8Array(1));
  fake.requests.length = 0;
  await store.delete(keys);
  expect(fake.calls).toEqual(["POST delete", "POST delete", "POST delete"]);
  expect(fake.objects.size).toBe(0);
  for (const { body, headers } of fake.requests) {
    const md5 = createHash("md5").update(body).digest("base64");
    expect(headers.get("content-md5")).toBe(md5);
  }
  const without = await bench({}, { requireContentMD5: false });
  expect(await failure(() => without.store.delete(["a"]))).toBe("STORE");
  expect(without.fake.requests[0]?.headers.has("content-md5")).toBe(false);
});

test("delete() tells of keys that the server did not delete", async () => {
  const { fake, store } = await bench();
  const answer = async (...codes: readonly string[]): Promise<unknown> => {
    const errors = codes.map((code) => `<Error><Key>a</Key><Code>${code}</Code></Error>`).join("");
    fake.fault = () => ({ status: 200, code: "-", more: "" });
    const { fetch } = fake;
    const own = s3Store({
      bucket: "bucket",
      credentials: S3Fake.credentials,
      fetch: async (url, init) => {
        await fetch(url, init);
        return new Response(`<DeleteResult>${errors}</DeleteResult>`);
      },
    });
    const error = await own.delete(["a", "b"]).catch((caught: unknown) => caught);
    return error instanceof StoreError ? [error.message, error.retryable] : error;
  };
  expect(await answer("NoSuchKey")).toBe(undefined);
  expect(await answer("AccessDenied", "InternalError")).toEqual([
    "Cannot delete 2 objects: the server answered AccessDenied for 2 of them. " +
      "Check whether the credentials allow to delete",
    false,
  ]);
  expect(await answer("InternalError", "SlowDown")).toEqual([expect.any(String), true]);
  await store.delete([]);
  expect(await collect(store.list()).catch(() => "failed")).toBe("failed");
});
