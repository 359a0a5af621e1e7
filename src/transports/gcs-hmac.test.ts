import { expect, test } from "vitest";
import { failure } from "../testing/test-kit.ts";
import { gcsHmacStore } from "./gcs-hmac.ts";

const KEYS = { bucket: "backups", accessKeyId: "GOOG1EXAMPLE", secretAccessKey: "very-secret" };

test("gcsHmacStore() signs for S3 and uses the headers of S3 alone", async () => {
  const seen: Request[] = [];
  const store = gcsHmacStore({
    ...KEYS,
    path: "app",
    fetch: (url, init) => {
      seen.push(new Request(url, init));
      return Promise.resolve(new Response("", { headers: { etag: '"e"' } }));
    },
  });
  const metadata = { "litestream-timestamp": "2026-01-01T00:00:00Z" };
  await store.put("ltx/0/a", new Uint8Array([1]), { metadata });
  const [request] = seen;
  expect(request?.url).toBe("https://storage.googleapis.com/backups/app/ltx/0/a");
  const { headers } = request ?? new Request("https://none");
  expect(headers.get("authorization")).toMatch(
    /^AWS4-HMAC-SHA256 Credential=GOOG1EXAMPLE\/\d{8}\/auto\/s3\/aws4_request/,
  );
  expect(headers.get("x-amz-meta-litestream-timestamp")).toBe("2026-01-01T00:00:00Z");
  expect([...headers.keys()].filter((name) => name.startsWith("x-goog-"))).toEqual([]);
});

test("gcsHmacStore() finds out that conditions are ignored", async () => {
  const store = gcsHmacStore({
    ...KEYS,
    fetch: () => Promise.resolve(new Response("", { headers: { etag: '"e"' } })),
  });
  expect(await store.probe?.()).toMatchObject({
    conditionalPut: false,
    conditionalReplace: false,
    conditionalLarge: false,
    conditionalDelete: false,
  });
  const put = (): unknown => store.put("a", new Uint8Array([1]), { ifNoneMatch: "*" });
  expect(await failure(put)).toBe("UNSUPPORTED");
});
