import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { failure } from "../testing/test-kit.ts";
import { s3Address } from "./s3-address.ts";
import { credentialCache } from "./s3-credentials.ts";
import { presign, s3Signer } from "./s3-signing.ts";
import { presignS3 } from "./s3.ts";

// The examples of Amazon's own documentation of signatures.
const platform = fakePlatform(1, Date.UTC(2013, 4, 24));
const keys = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const place = {
  bucket: "examplebucket",
  endpoint: "https://s3.amazonaws.com",
  forcePathStyle: false,
};
const options = {
  address: s3Address(place),
  credentials: credentialCache(keys, platform),
  platform,
};
const CONTEXT = { operation: "list", object: "all objects" };

test("s3Signer() makes the signature that Amazon documents", async () => {
  const query = { "max-keys": "2", prefix: "J" };
  const signed = await s3Signer(options).sign({ method: "GET", query }, undefined, CONTEXT);
  expect(signed.url).toBe("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
  expect(signed.headers["authorization"]).toBe(
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date, " +
      "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );
});

test("presign() makes the signature that Amazon documents", async () => {
  const request = { method: "GET", key: "test.txt" };
  const { url, headers } = await presign(request, { ...options, expiresInS: 86_400 });
  expect(url).toContain("https://examplebucket.s3.amazonaws.com/test.txt?");
  expect(new URL(url).searchParams.get("X-Amz-Signature")).toBe(
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
  expect(headers).toEqual({});
});

test("presignS3() refuses what cannot be signed", async () => {
  for (const expiresInS of [0, 1.5, 604_801, NaN]) {
    const sign = (): unknown =>
      presignS3({ ...place, credentials: keys }, { method: "GET", key: "k", expiresInS });
    expect(`${expiresInS} ${await failure(sign)}`).toBe(`${expiresInS} INVALID_ARGUMENT`);
  }
  const without = (): unknown => presignS3(place, { method: "GET", key: "k", expiresInS: 1 });
  expect(await failure(without)).toBe("INVALID_ARGUMENT");
});

test("s3Signer() signs no body where it is told so", async () => {
  const signer = s3Signer({ ...options, signPayload: false });
  const { headers } = await signer.sign({ method: "PUT", key: "k" }, "body", CONTEXT);
  expect(headers["x-amz-content-sha256"]).toBe("UNSIGNED-PAYLOAD");
});

test("s3Signer() takes no region from a server that is none", async () => {
  const signer = s3Signer(options);
  const signature = await signer.sign({ method: "GET", key: "k" }, undefined, CONTEXT);
  for (const region of ["evil.example/", "", "us-east-1", "a".repeat(64)]) {
    expect([region, signature.remedy({ status: 400, region })]).toEqual([region, undefined]);
  }
  expect(signature.remedy({ status: 400, region: "eu-west-1" })).toBe("region");
  const next = await signer.sign({ method: "GET", key: "k" }, undefined, CONTEXT);
  expect(next.headers["authorization"]).toContain("/eu-west-1/s3/");
});
