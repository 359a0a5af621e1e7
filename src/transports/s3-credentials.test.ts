import { inspect } from "node:util";
import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { failure } from "../testing/test-kit.ts";
import { credentialCache, envCredentials, type S3Credentials } from "./s3-credentials.ts";

const REQUEST = { operation: "read", object: "key" };
const MINUTE = 60_000;

test("credentialCache() returns keys that are given as they are", async () => {
  const keys = { accessKeyId: "a", secretAccessKey: "s" };
  const cache = credentialCache(keys, fakePlatform(1));
  expect(await cache.get(REQUEST)).toBe(keys);
  expect(cache.expired(keys)).toBe(false);
});

test("credentialCache() calls its provider once for all, and again five minutes before the end", async () => {
  const platform = fakePlatform(1);
  let calls = 0;
  const cache = credentialCache(async () => {
    const expiration = new Date(platform.clock.now() + 60 * MINUTE);
    return { accessKeyId: `a${++calls}`, secretAccessKey: "s", expiration };
  }, platform);
  const names = async (): Promise<string[]> =>
    (await Promise.all([cache.get(REQUEST), cache.get(REQUEST)])).map((keys) => keys.accessKeyId);
  expect(await names()).toEqual(["a1", "a1"]);
  platform.clock.advance(54 * MINUTE);
  expect(await names()).toEqual(["a1", "a1"]);
  platform.clock.advance(2 * MINUTE);
  expect(await names()).toEqual(["a2", "a2"]);
});

test("credentialCache() fetches anew after a refusal of the keys it has, once", async () => {
  let calls = 0;
  const cache = credentialCache(
    async () => ({ accessKeyId: `a${++calls}`, secretAccessKey: "s" }),
    fakePlatform(1),
  );
  const first = await cache.get(REQUEST);
  expect([cache.expired(first), cache.expired(first)]).toEqual([true, true]);
  const second = await cache.get(REQUEST);
  cache.expired(first);
  expect(await cache.get(REQUEST)).toBe(second);
  expect(calls).toBe(2);
});

test("credentialCache() uses keys to their end while no others can be had", async () => {
  const platform = fakePlatform(1);
  const expiration = new Date(platform.clock.now() + 60 * MINUTE);
  let down = false;
  const cache = credentialCache(async () => {
    if (down) throw new Error("secret hunter2");
    return { accessKeyId: "a", secretAccessKey: "s", expiration };
  }, platform);
  await cache.get(REQUEST);
  down = true;
  platform.clock.advance(59 * MINUTE);
  expect((await cache.get(REQUEST)).accessKeyId).toBe("a");
  platform.clock.advance(MINUTE);
  const error = await cache.get(REQUEST).catch((caught: unknown) => caught);
  expect(inspect(error)).toContain("Cannot fetch credentials: the function failed");
  expect(inspect(error, { showHidden: true })).not.toContain("hunter2");
});

test("credentialCache() gives a silent provider up, and lets one who waits go early", async () => {
  const platform = fakePlatform(1);
  const cache = credentialCache(() => new Promise<S3Credentials>(() => undefined), platform);
  const waiting = failure(() => cache.get(REQUEST));
  const aborter = new AbortController();
  const aborted = failure(() => cache.get({ ...REQUEST, signal: aborter.signal }));
  aborter.abort();
  expect(await aborted).toBe("ABORTED");
  await platform.clock.advanceAsync(30_000);
  expect(await waiting).toBe("STORE");
});

test("credentialCache() refuses half a pair", async () => {
  const half = { accessKeyId: "a", secretAccessKey: "" };
  const platform = fakePlatform(1);
  expect(await failure(() => credentialCache(half, platform))).toBe("INVALID_ARGUMENT");
  const cache = credentialCache(async () => half, platform);
  expect(await failure(() => cache.get(REQUEST))).toBe("INVALID_ARGUMENT");
});

test("envCredentials() reads AWS's variables, or else Litestream's without a token", () => {
  const aws = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "s", AWS_SESSION_TOKEN: "t" };
  const twins = { LITESTREAM_ACCESS_KEY_ID: "b", LITESTREAM_SECRET_ACCESS_KEY: "u" };
  expect(envCredentials({ ...aws, ...twins })).toEqual({
    accessKeyId: "a",
    secretAccessKey: "s",
    sessionToken: "t",
  });
  expect(envCredentials({ ...twins, AWS_SESSION_TOKEN: "t" })).toEqual({
    accessKeyId: "b",
    secretAccessKey: "u",
    sessionToken: undefined,
  });
  expect(envCredentials({ AWS_ACCESS_KEY_ID: "", HOME: "/" })).toBe(undefined);
});

test("envCredentials() refuses one of a pair", async () => {
  expect(await failure(() => envCredentials({ AWS_ACCESS_KEY_ID: "a" }))).toBe("INVALID_ARGUMENT");
});
