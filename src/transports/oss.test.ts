import { describe, expect, test } from "vitest";
import { S3Fake } from "../../test/helpers/s3-fake.ts";
import { isPagestreamError } from "../core/errors.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import type { ObjectStore } from "./object-store.ts";
import { ossEnvCredentials, ossStore, type OssStoreOptions } from "./oss.ts";

const HOST = "https://backups.s3.oss-eu-central-1.aliyuncs.com";
const TIME = { "litestream-timestamp": "2026-01-02T03:04:05.678Z" };

/** What differs in OSS: writes know no condition of HTTP, but a header of their own that a versioned bucket ignores. */
function ossFake(versioned = false): { readonly fake: S3Fake; readonly fetch: S3Fake["fetch"] } {
  const fake = new S3Fake({ bucket: "backups", region: "eu-central-1" });
  fake.fault = ({ method, call, headers, key }) => {
    if (method === "GET" || method === "HEAD") return undefined;
    if (headers.has("if-none-match") || headers.has("if-match")) {
      return { status: 501, code: "NotImplemented" };
    }
    const forbids = headers.get("x-oss-forbid-overwrite") === "true" && !versioned;
    if (forbids && fake.objects.has(key)) return { status: 409, code: "FileAlreadyExists" };
    return call === "POST delete" && !headers.has("content-md5")
      ? { status: 400, code: "InvalidDigest" }
      : undefined;
  };
  return { fake, fetch: fake.fetch };
}

function storeOn(
  { fetch }: { readonly fetch: S3Fake["fetch"] },
  options: Partial<OssStoreOptions> = {},
): ObjectStore {
  const credentials = S3Fake.credentials;
  const place = { bucket: "backups", path: "/app/", region: "eu-central-1" };
  return ossStore({ ...place, credentials, fetch, ...options });
}

describe("ossStore()", () => {
  test("ossStore() writes where Litestream looks, at the door for S3 clients, by host name", async () => {
    const oss = ossFake();
    const store = storeOn(oss);
    expect(store).toMatchObject({ type: "oss", layout: "hex", description: `${HOST}/app` });
    await store.put("0000/a.ltx", new Uint8Array(3), { metadata: TIME });
    const [request] = oss.fake.requests;
    expect(request?.url.href).toBe(`${HOST}/app/0000/a.ltx`);
    expect(request?.method).toBe("PUT");
    const { headers } = request!;
    expect(headers.get("x-amz-meta-litestream-timestamp")).toBe(TIME["litestream-timestamp"]);
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("authorization")).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKTEST\/\d{8}\/eu-central-1\/s3\/aws4_request, /,
    );
    expect((await store.head("0000/a.ltx")).metadata).toEqual(TIME);
  });

  test.each([
    [{}, "https://backups.s3.oss-cn-hangzhou.aliyuncs.com"],
    [{ region: "oss-cn-beijing" }, "https://backups.s3.oss-cn-beijing.aliyuncs.com"],
    [
      { endpoint: "https://oss-cn-beijing-internal.aliyuncs.com" },
      "https://backups.s3.oss-cn-beijing-internal.aliyuncs.com",
    ],
    [
      { endpoint: "s3.oss-accelerate.aliyuncs.com" },
      "https://backups.s3.oss-accelerate.aliyuncs.com",
    ],
    [{ endpoint: "http://127.0.0.1:9000", forcePathStyle: true }, "http://127.0.0.1:9000/backups"],
  ])("ossStore() addresses %o", (options, description) => {
    const credentials = S3Fake.credentials;
    expect(ossStore({ bucket: "backups", credentials, ...options }).description).toBe(description);
  });

  test("ossStore() creates only, by the header of OSS, and says that it can do no more", async () => {
    const oss = ossFake();
    const store = storeOn(oss);
    expect(await store.probe?.()).toMatchObject({
      conditionalPut: true,
      conditionalReplace: false,
      conditionalLarge: true,
    });
    await store.put("a", new Uint8Array(1), { ifNoneMatch: "*" });
    const again = store.put("a", new Uint8Array(2), { ifNoneMatch: "*" });
    await expect(again).rejects.toMatchObject({ code: "PRECONDITION_FAILED" });
    expect((await store.head("a")).size).toBe(1);
    const replaced = store.put("a", new Uint8Array(2), { ifMatch: '"x"' });
    await expect(replaced).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  test("ossStore() finds out that a bucket with versions ignores the header", async () => {
    const store = storeOn(ossFake(true));
    expect(await store.probe?.()).toMatchObject({ conditionalPut: false, conditionalLarge: false });
    const created = store.put("a", new Uint8Array(1), { ifNoneMatch: "*" });
    await expect(created).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  test("ossStore() uploads in parts of 6 MiB, with the condition on the last step", async () => {
    const oss = ossFake();
    const store = storeOn(oss);
    await store.probe?.();
    const before = oss.fake.requests.length;
    const bytes = seededRandom(1).bytes(6 * 2 ** 20 + 5);
    await store.put("large", bytes, { metadata: TIME, ifNoneMatch: "*" });
    const requests = oss.fake.requests.slice(before);
    expect(requests.map(({ call }) => call)).toEqual([
      "POST uploads",
      "PUT partNumber",
      "PUT partNumber",
      "POST uploadId",
    ]);
    expect(
      requests
        .slice(1, 3)
        .map(({ body }) => body.length)
        .sort(),
    ).toEqual([5, 6 * 2 ** 20]);
    expect(requests[3]?.headers.get("x-oss-forbid-overwrite")).toBe("true");
    expect((await store.head("large")).metadata).toEqual(TIME);
  });

  test("ossStore() deletes a thousand at a time, with Content-MD5", async () => {
    const oss = ossFake();
    const store = storeOn(oss);
    await store.delete(Array.from({ length: 1001 }, (_, i) => `0000/${i}`));
    expect(oss.fake.calls).toEqual(["POST delete", "POST delete"]);
    expect(oss.fake.requests.every(({ headers }) => headers.has("content-md5"))).toBe(true);
  });

  test("ossStore() tells a missing object from a missing bucket and from a refusal", async () => {
    const store = storeOn(ossFake());
    await expect(store.get("none")).rejects.toMatchObject({ code: "NOT_FOUND" });
    const elsewhere = storeOn(ossFake(), { bucket: "backups-2" });
    await expect(elsewhere.get("none")).rejects.toMatchObject({ code: "STORE" });
    const credentials = { accessKeyId: "AKTEST", secretAccessKey: "CANARY" };
    const error = await storeOn(ossFake(), { credentials })
      .get("none")
      .catch((e: unknown) => e);
    expect(isPagestreamError(error, "STORE")).toBe(true);
    expect(String(error)).not.toContain("CANARY");
  });

  test.each([{ partSize: 5 * 2 ** 20 - 1 }, { concurrency: 0 }, { bucket: "" }, { region: "a b" }])(
    "ossStore() refuses %o before any request",
    (options) => {
      expect(() => storeOn(ossFake(), options)).toThrowError(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    },
  );
});

describe("ossEnvCredentials()", () => {
  test("ossEnvCredentials() reads the variables of OSS", () => {
    expect(ossEnvCredentials({})).toBeUndefined();
    const env = { OSS_ACCESS_KEY_ID: "id", OSS_ACCESS_KEY_SECRET: "secret" };
    const keys = { accessKeyId: "id", secretAccessKey: "secret" };
    expect(ossEnvCredentials(env)).toEqual({ ...keys, sessionToken: undefined });
    expect(ossEnvCredentials({ ...env, OSS_SESSION_TOKEN: "t" })).toEqual({
      ...keys,
      sessionToken: "t",
    });
  });
});
