import { request } from "node:http";
import { Readable } from "node:stream";
import { isPagestreamError, type ObjectStore } from "pagestream";
import { presignS3, s3Store, type S3Options } from "pagestream/transports/s3";
import { PROBE_KEY } from "pagestream/transports/store-kit";
import { beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { collect, difference, failure, readBody } from "../../src/testing/test-kit.ts";
import { webPlatform } from "../../src/transports/web-platform.ts";
import { describeWithServer, part } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

const TIME = { "litestream-timestamp": "2026-01-02T03:04:05.678Z" };

/** What every server of the family must do. */
function commonTests(options: S3Options & { readonly credentials: object }): void {
  const store = (path: string, more: Partial<S3Options> = {}): ObjectStore =>
    s3Store({ ...options, path, ...more });

  test("s3Store() refuses wrong keys at once", async () => {
    const credentials = { accessKeyId: "AKTEST", secretAccessKey: "wrong" };
    const error = await store("x", { credentials })
      .put("a", new Uint8Array(1))
      .catch((caught: unknown) => caught);
    expect(String(error)).toContain("the server answered 403, SignatureDoesNotMatch");
    expect(isPagestreamError(error) && (error as { retryable?: boolean }).retryable).toBe(false);
  });

  test("s3Store() tells a missing bucket from an empty one", async () => {
    const missing = store("x", { bucket: "no-such-bucket" });
    expect(await failure(() => collect(missing.list()))).toBe("STORE");
    expect(await failure(() => missing.get("a"))).toBe("STORE");
    expect(await collect(store("empty").list())).toEqual([]);
  });

  test("s3Store() recovers from a clock that is 20 minutes off", async () => {
    for (const minutes of [20, -20]) {
      const clock = { ...webPlatform.clock, now: () => Date.now() + minutes * 60_000 };
      const late = store("clock", { platform: { ...webPlatform, clock } });
      await late.put("a", new Uint8Array([1]));
      expect((await late.head("a")).size).toBe(1);
    }
  });

  test("s3Store() works without a signed payload, and from addresses signed in advance", async () => {
    const unsigned = store("unsigned", { signPayload: false });
    await unsigned.put("a b+c/ü.ltx", new Uint8Array([1, 2]), { metadata: TIME });
    expect((await unsigned.head("a b+c/ü.ltx")).metadata).toEqual(TIME);
    const { credentials: _, ...place } = options;
    const signed = s3Store({
      ...place,
      path: "signed",
      sign: (request) => presignS3(options, { ...request, expiresInS: 60 }),
    });
    await signed.probe?.();
    await signed.put("a b+c/ü.ltx", new Uint8Array([1, 2, 3]), { metadata: TIME });
    await signed.put("large", new Uint8Array(5 * 2 ** 20 + 1));
    const { body, metadata } = await signed.get("a b+c/ü.ltx", { offset: 1, length: 1 });
    expect([...(await readBody(body))]).toEqual([2]);
    expect(metadata).toEqual(TIME);
    // Ceph has deleted the object of the probe, SeaweedFS has not.
    const names = (await collect(signed.list())).map(({ key }) => key);
    expect(names.filter((key) => key !== PROBE_KEY)).toEqual(["a b+c/ü.ltx", "large"]);
    await signed.delete(names);
    expect(await collect(signed.list())).toEqual([]);
  });

  test("s3Store() takes a large object in several parts of the usual size, and leaves no upload", async () => {
    const large = store("large");
    const bytes = seededRandom(3).bytes(16 * 2 ** 20 + 5);
    const { etag } = await large.put("a", bytes, { metadata: TIME });
    const got = await large.get("a");
    expect([got.etag, got.metadata]).toEqual([etag, TIME]);
    expect(difference(await readBody(got.body), bytes)).toBe("");
    async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
      yield bytes;
      throw new Error("the source failed");
    }
    expect(await failure(() => large.put("b", broken()))).toBe("Error: the source failed");
    const { url } = await presignS3(options, {
      method: "GET",
      query: { uploads: "" },
      expiresInS: 60,
    });
    expect(await (await fetch(url)).text()).not.toContain("<Upload>");
    await large.delete(["a"]);
  });

  test("s3Store() encrypts with a key of the customer's", async () => {
    const sseCustomerKey = btoa("0123456789abcdef0123456789abcdef");
    const own = store("sse", { sseCustomerKey });
    const large = seededRandom(4).bytes(5 * 2 ** 20 + 3);
    await own.put("small", new Uint8Array([1, 2, 3]), { metadata: TIME });
    await own.put("large", large, { metadata: TIME });
    expect([...(await readBody((await own.get("small")).body))]).toEqual([1, 2, 3]);
    expect(difference(await readBody((await own.get("large")).body), large)).toBe("");
    expect((await own.head("large")).metadata).toEqual(TIME);
    expect(await failure(() => store("sse").get("small"))).toBe("STORE");
    await own.delete(["small", "large"]);
  });
}

describeWithServer("seaweedfs", (address) => {
  const options = s3Options(address, "dialects");
  beforeAll(() => makeBucket(options));
  commonTests(options);

  test("s3Store() loses nothing of a list that SeaweedFS orders by folders", async () => {
    const store = s3Store({ ...options, path: "order", pageSize: 2 });
    const keys = ["a-b", "a.x", "a/b-c", "a/b/c", "a0"];
    for (const key of keys) await store.put(key, new Uint8Array(1));
    const names = async (startAfter?: string): Promise<string[]> =>
      (await collect(store.list({ startAfter }))).map(({ key }) => key);
    expect(await names()).toEqual(keys);
    for (const [i, key] of keys.entries()) expect(await names(key)).toEqual(keys.slice(i + 1));
    await store.delete(keys);
  });
});

describeWithServer("ceph", (address) => {
  const options = s3Options(address, "dialects");
  beforeAll(() => makeBucket(options));
  commonTests(options);

  test("s3Store() addresses a bucket by its host name", async () => {
    const endpoint = part(address, "virtualEndpoint");
    const { port } = new URL(endpoint);
    const hosts = new Set<string>();
    const store = s3Store({
      ...options,
      endpoint,
      forcePathStyle: false,
      path: "virtual",
      fetch: (url, init) => {
        hosts.add(new URL(url).host);
        return fetchLocally(url, init);
      },
    });
    await store.put("a b+c", new Uint8Array([1, 2, 3]), { metadata: TIME });
    expect((await store.head("a b+c")).metadata).toEqual(TIME);
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(["a b+c"]);
    await store.delete(["a b+c"]);
    expect([...hosts]).toEqual([`dialects.localhost:${port}`]);
    expect(store.description).toBe(`http://dialects.localhost:${port}/virtual`);
  });
});

/** Asks this machine whatever the host: no name server here knows the names below `localhost`. */
function fetchLocally(url: string, init: RequestInit): Promise<Response> {
  const { host, port, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        path: pathname + search,
        method: init.method ?? "GET",
        headers: { ...(init.headers as Record<string, string>), host },
      },
      (answer) => {
        const { statusCode: status = 0, headers } = answer;
        const empty = init.method === "HEAD" || status === 204;
        const body = empty ? null : (Readable.toWeb(answer) as ReadableStream);
        if (empty) answer.resume();
        resolve(new Response(body, { status, headers: headers as Record<string, string> }));
      },
    );
    sent.on("error", reject);
    sent.end(init.body);
  });
}
