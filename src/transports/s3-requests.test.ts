import { inspect } from "node:util";
import { expect, test } from "vitest";
import { type FakeFault, S3Fake, type S3FakeOptions } from "../../test/helpers/s3-fake.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { collect, failure, readBody } from "../testing/test-kit.ts";
import { StoreError } from "./errors.ts";
import { type ObjectStore, PROBE_KEY } from "./object-store.ts";
import { presignS3, s3Store, type S3Options } from "./s3.ts";

interface Bench {
  readonly fake: S3Fake;
  readonly store: ObjectStore;
}

function bench(server: Partial<S3FakeOptions> = {}, options: Partial<S3Options> = {}): Bench {
  const fake = new S3Fake({ bucket: "bucket", ...server });
  const { credentials } = S3Fake;
  const store = s3Store({ bucket: "bucket", credentials, fetch: fake.fetch, ...options });
  return { fake, store };
}

const BYTES = new Uint8Array([1, 2, 3]);

test("s3Store() learns the region of the bucket once, from a refusal", async () => {
  const { fake, store } = bench({ region: "eu-north-1" });
  await store.put("a", BYTES);
  await store.head("a");
  expect(fake.calls).toEqual(["PUT", "PUT", "HEAD"]);
  expect(fake.requests.map(({ url }) => url.hostname)).toEqual([
    "bucket.s3.us-east-1.amazonaws.com",
    "bucket.s3.eu-north-1.amazonaws.com",
    "bucket.s3.eu-north-1.amazonaws.com",
  ]);
});

test("s3Store() learns the region from a redirect, which it does not follow", async () => {
  const { fake, store } = bench();
  const headers = { "x-amz-bucket-region": "eu-north-1", location: "https://evil.example/" };
  fake.fault = ({ count }) => ({ status: 301, ...(count === 1 ? { headers } : {}) });
  const error = await store.head("a").catch((caught: unknown) => caught);
  expect(error instanceof StoreError && [error.code, error.retryable]).toEqual(["STORE", false]);
  expect(fake.requests.map(({ url }) => url.hostname)).toEqual([
    "bucket.s3.us-east-1.amazonaws.com",
    "bucket.s3.eu-north-1.amazonaws.com",
  ]);
});

test("s3Store() signs by the server's clock once it was told that its own is wrong", async () => {
  for (const minutes of [20, -20, 60 * 24]) {
    const platform = fakePlatform(1);
    const now = (): number => platform.clock.now() + minutes * 60_000;
    const { fake, store } = bench({ now }, { platform });
    await store.put("a", BYTES);
    await store.head("a");
    expect([minutes, fake.calls]).toEqual([minutes, ["PUT", "PUT", "HEAD"]]);
  }
});

test("s3Store() learns the server's clock without a document, from the time of the answer", async () => {
  const platform = fakePlatform(1);
  const { fake, store } = bench({ now: () => platform.clock.now() + 20 * 60_000 }, { platform });
  expect(await failure(() => store.head("absent"))).toBe("NOT_FOUND");
  expect(fake.calls).toEqual(["HEAD", "HEAD"]);
});

test("s3Store() asks for other keys where its own have expired, once", async () => {
  const secrets = { OLD: "old", NEW: "new" };
  let calls = 0;
  const credentials = async (): Promise<{ accessKeyId: string; secretAccessKey: string }> =>
    calls++ === 0
      ? { accessKeyId: "OLD", secretAccessKey: "old" }
      : { accessKeyId: "NEW", secretAccessKey: "new" };
  const { fake, store } = bench({ secrets }, { credentials });
  fake.fault = ({ headers }) =>
    headers.get("authorization")?.includes("OLD/") === true
      ? { status: 400, code: "ExpiredToken" }
      : undefined;
  await store.put("a", BYTES);
  expect([calls, fake.calls]).toEqual([2, ["PUT", "PUT"]]);
  fake.fault = () => ({ status: 400, code: "ExpiredToken" });
  expect(await failure(() => store.put("a", BYTES))).toBe("STORE");
  expect(fake.calls.length).toBe(4);
});

test("s3Store() sends and signs a session token", async () => {
  const credentials = { ...S3Fake.credentials, sessionToken: "to/ken+=" };
  const { store } = bench({ tokens: { AKTEST: "to/ken+=" } }, { credentials });
  await store.put("a", BYTES);
  expect((await store.head("a")).size).toBe(3);
});

test("s3Store() gives up at once where the secret is wrong", async () => {
  const credentials = { accessKeyId: "AKTEST", secretAccessKey: "hunter2-hunter2" };
  const { fake, store } = bench({}, { credentials });
  const error = await store.put("a", BYTES).catch((caught: unknown) => caught);
  expect(error instanceof StoreError && error.retryable).toBe(false);
  expect(fake.calls).toEqual(["PUT"]);
  expect(String(error)).toContain("SignatureDoesNotMatch");
  expect(inspect([error, store], { depth: 9, showHidden: true })).not.toContain("hunter2");
});

test("get() takes a refused range for the end of the object only where it is that", async () => {
  const { fake, store } = bench();
  await store.put("a", BYTES);
  fake.fault = ({ method }) =>
    method === "GET" ? { status: 416, code: "InvalidRange" } : undefined;
  const { body, size } = await store.get("a", { offset: 3 });
  expect([(await readBody(body)).length, size]).toEqual([0, 3]);
  const error = await store.get("a", { offset: 2 }).catch((caught: unknown) => caught);
  expect(error instanceof StoreError && error.retryable).toBe(true);
  expect(String(error)).toContain("3 bytes and refused those from 2 on");
});

test("get() names what is hidden where a page may not see the version", async () => {
  const { fake } = bench();
  const hiding: S3Options["fetch"] = async (url, init) => {
    const answer = await fake.fetch(url, init);
    answer.headers.delete("etag");
    return answer;
  };
  const { etag } = await bench({}, { fetch: fake.fetch }).store.put("a", BYTES);
  const { store } = bench({}, { fetch: hiding });
  for (const range of [{}, { length: 0 }, { offset: 9 }]) {
    const error = await store.get("a", { ...range, ifMatch: etag }).catch(String);
    expect(error).toContain("let the CORS rule of the bucket expose ETag");
  }
  await (await store.get("a")).body.cancel();
});

test("get() and head() tell a missing object from a missing bucket, a refusal and a stranger", async () => {
  const { fake, store } = bench();
  const told = async (fault?: FakeFault): Promise<string[]> => {
    fake.fault = () => fault;
    return [await failure(() => store.get("a")), await failure(() => store.head("a"))];
  };
  expect(await told()).toEqual(["NOT_FOUND", "NOT_FOUND"]);
  // HEAD has no body that could tell.
  expect(await told({ status: 404, code: "NoSuchBucket" })).toEqual(["STORE", "NOT_FOUND"]);
  expect(await told({ status: 404 })).toEqual(["STORE", "NOT_FOUND"]);
  expect(await told({ status: 403, code: "AccessDenied" })).toEqual(["STORE", "STORE"]);
  fake.fault = () => ({ status: 404, code: "NoSuchBucket" });
  const error = await collect(store.list()).catch((caught: unknown) => caught);
  expect(String(error)).toContain("Cannot list all objects: there is no such bucket");
});

test("s3Store() takes no page of a stranger for an object", async () => {
  let cancelled = 0;
  const store = s3Store({
    bucket: "bucket",
    credentials: S3Fake.credentials,
    fetch: async () =>
      new Response(new ReadableStream({ cancel: () => void cancelled++ }), { status: 200 }),
  });
  expect(await failure(() => store.get("a"))).toBe("STORE");
  expect(cancelled).toBe(1);
  expect(await failure(() => store.put("a", BYTES))).toBe("STORE");
});

test("each call makes one attempt, and says whether another may succeed", async () => {
  const { fake, store } = bench();
  const attempt = async (fault: FakeFault): Promise<unknown> => {
    fake.fault = () => fault;
    fake.requests.length = 0;
    const error = await store.put("a", BYTES).catch((caught: unknown) => caught);
    return [error instanceof StoreError && error.retryable, fake.calls.length];
  };
  for (const [status, code] of [
    [503, "SlowDown"],
    [500, "InternalError"],
    [408, "RequestTimeout"],
    [429, "TooManyRequests"],
    [409, "ConditionalRequestConflict"],
    [400, "RequestTimeout"],
    [400, "RequestCanceled"],
  ] as const) {
    expect([code, await attempt({ status, code })]).toEqual([code, [true, 1]]);
  }
  for (const [status, code] of [
    [400, "InvalidRequest"],
    [403, "AccessDenied"],
    [404, "NoSuchBucket"],
    [405, "MethodNotAllowed"],
  ] as const) {
    expect([code, await attempt({ status, code })]).toEqual([code, [false, 1]]);
  }
});

test("s3Store() sends what a provider wants, and signs no header that is changed on the way", async () => {
  const tigris = bench({}, { endpoint: "https://fly.storage.tigris.dev" });
  tigris.fake.fault = () => ({ status: 404, code: "NoSuchKey" });
  await failure(() => tigris.store.get("a"));
  const [seen] = tigris.fake.requests;
  expect(seen?.headers.get("x-tigris-consistent")).toBe("true");
  const authorization = seen?.headers.get("authorization") ?? "";
  expect(authorization).toContain("x-tigris-consistent");
  expect(seen?.headers.get("accept-encoding")).toBe("identity");
  expect(authorization).not.toContain("accept-encoding");
  expect(authorization).not.toContain("range");
});

test("s3Store() lets a back end sign: with addresses signed in advance it can all but send keys", async () => {
  const fake = new S3Fake({ bucket: "bucket" });
  const { credentials } = S3Fake;
  const asked: string[] = [];
  const store = s3Store({
    bucket: "bucket",
    path: "db",
    fetch: fake.fetch,
    sign: (request) => {
      asked.push(`${request.method} ${request.key ?? request.query?.["prefix"]}`);
      return presignS3({ bucket: "bucket", credentials }, { ...request, expiresInS: 60 });
    },
  });
  await store.probe?.();
  await store.put("a b+c", BYTES, { ifNoneMatch: "*", metadata: { name: "value" } });
  expect(await failure(() => store.put("a b+c", BYTES, { ifNoneMatch: "*" }))).toBe(
    "PRECONDITION_FAILED",
  );
  expect((await store.head("a b+c")).metadata).toEqual({ name: "value" });
  await store.put("large", new Uint8Array(5 * 2 ** 20 + 1));
  expect((await collect(store.list())).map(({ key }) => key)).toEqual([
    "a b+c",
    "large",
    PROBE_KEY,
  ]);
  await store.delete(["a b+c", "large", PROBE_KEY]);
  expect(fake.objects.size).toBe(0);
  expect(asked).toContain("PUT db/a b+c");
  expect(asked).toContain("DELETE db/large");
  // The back end sees of each request what it is about.
  expect(asked.filter((each) => !each.includes(" db/"))).toEqual([]);
  expect(fake.requests.every(({ headers }) => !headers.has("authorization"))).toBe(true);
});

test("s3Store() shows nothing of a back end that fails to sign", async () => {
  const store = s3Store({ bucket: "bucket", sign: () => Promise.reject(new Error("hunter2")) });
  const error = await store.head("a").catch((caught: unknown) => caught);
  expect(String(error)).toContain("Cannot sign a: the function failed");
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
  const none = s3Store({ bucket: "bucket", sign: async () => "https://x" as never });
  expect(await failure(() => none.head("a"))).toBe("INVALID_ARGUMENT");
});

test("presignS3() gives an address that works alone, until it expires", async () => {
  let now = Date.UTC(2026, 0, 1);
  const fake = new S3Fake({ bucket: "bucket", now: () => now });
  const { credentials } = S3Fake;
  const platform = fakePlatform(1, now);
  const store = s3Store({ bucket: "bucket", credentials, fetch: fake.fetch, platform });
  await store.put("a b/ü+.ltx", BYTES);
  const { url } = await presignS3(
    { bucket: "bucket", credentials, platform },
    { method: "GET", key: "a b/ü+.ltx", expiresInS: 60 },
  );
  expect((await fake.fetch(url, {})).status).toBe(200);
  now += 61_000;
  expect((await fake.fetch(url, {})).status).toBe(403);
});

test("s3Store() refuses options that cannot work, before any request", async () => {
  const key = btoa("0123456789abcdef0123456789abcdef");
  const bad: readonly Partial<S3Options>[] = [
    { credentials: undefined },
    { sign: () => Promise.reject(new Error("never")) },
    { partSize: 5 * 2 ** 20 - 1 },
    { concurrency: 0 },
    { path: "a//b" },
    { path: "../a" },
    { sseCustomerKey: "short" },
    { sseCustomerKey: key, sseKmsKeyId: "k" },
    { sseCustomerKey: key, sseCustomerAlgorithm: "AES128" },
    { sseCustomerKey: key, endpoint: "http://s3.example" },
    { sseCustomerAlgorithm: "AES256" },
  ];
  for (const options of bad) {
    const title = JSON.stringify(options);
    expect(`${title} ${await failure(() => bench({}, options))}`).toBe(`${title} INVALID_ARGUMENT`);
  }
  expect(await failure(() => bench({}, { sseCustomerKey: key, endpoint: "localhost" }))).toBe(
    "no error",
  );
});

test("description names the place without a secret", () => {
  const { store } = bench({}, { path: "/a/b/" });
  expect(store.description).toBe("s3://bucket/a/b");
  const own = bench({}, { endpoint: "https://s3.example/base", forcePathStyle: false }).store;
  expect(own.description).toBe("https://bucket.s3.example/base");
});
