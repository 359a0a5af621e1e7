import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { failure } from "../testing/test-kit.ts";
import { sharedKeySigner, stringToSign } from "./azure-signing.ts";

const DATE = "Fri, 26 Jun 2026 23:39:12 GMT";

function lines(request: Partial<Parameters<typeof stringToSign>[0]>, account = "acc"): string[] {
  const plain = { method: "GET", url: "https://acc.blob.core.windows.net/c/b", headers: {} };
  return stringToSign({ ...plain, contentLength: 0, ...request }, account).split("\n");
}

test("stringToSign() has a line for each plain header, and leaves out a length of 0", () => {
  expect(lines({})).toEqual(["GET", "", "", "", "", "", "", "", "", "", "", "", "/acc/c/b"]);
  const put = lines({
    method: "PUT",
    contentLength: 11,
    headers: { "content-type": "text/plain", "content-md5": "bWQ1" },
  });
  expect(put.slice(0, 7)).toEqual(["PUT", "", "", "11", "bWQ1", "text/plain", ""]);
});

test("stringToSign() holds the range and the conditions in their places", () => {
  const headers = {
    range: "bytes=0-99",
    "if-match": '"0x8D"',
    "if-none-match": "*",
    "x-ms-date": DATE,
    "x-ms-version": "2021-12-02",
    "x-ms-absent": undefined,
  };
  expect(lines({ headers })).toEqual([
    "GET",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    '"0x8D"',
    "*",
    "",
    "bytes=0-99",
    `x-ms-date:${DATE}`,
    "x-ms-version:2021-12-02",
    "/acc/c/b",
  ]);
});

test("stringToSign() sorts headers and parameters, which it decodes", () => {
  const url =
    "https://acc.blob.core.windows.net/c?restype=container&comp=list&Prefix=a%20b%2Fc%2Bd&x=2&x=1";
  const headers = { "x-ms-version": "v", "x-ms-date": " d ", "x-ms-meta-a": "1" };
  expect(lines({ url, headers }).slice(12)).toEqual([
    "x-ms-date:d",
    "x-ms-meta-a:1",
    "x-ms-version:v",
    "/acc/c",
    "comp:list",
    "prefix:a b/c+d",
    "restype:container",
    "x:1,2",
  ]);
});

test("stringToSign() keeps the path as it is sent, also with unicode", () => {
  const url = "https://acc.blob.core.windows.net/c/%C3%BC/%F0%9F%99%82%20%2B%27";
  expect(lines({ url }).at(-1)).toBe("/acc/c/%C3%BC/%F0%9F%99%82%20%2B%27");
});

test("stringToSign() names the account twice where it is in the path", () => {
  const url = "http://127.0.0.1:10000/devstoreaccount1/c/b";
  expect(lines({ url }, "devstoreaccount1").at(-1)).toBe("/devstoreaccount1/devstoreaccount1/c/b");
});

test("sharedKeySigner() signs with the decoded key", async () => {
  const key = Buffer.from("0123456789abcdef0123456789abcdef");
  const request = {
    method: "GET",
    url: "https://acc.blob.core.windows.net/c/b",
    headers: {},
    contentLength: 0,
  };
  const sign = sharedKeySigner("acc", key.toString("base64"));
  const expected = createHmac("sha256", key).update(stringToSign(request, "acc")).digest("base64");
  expect(await sign(request)).toBe(`SharedKey acc:${expected}`);
});

test("sharedKeySigner() refuses a key that is not base64, without showing it", async () => {
  for (const key of ["", "not base64!", "a"]) {
    expect([key, await failure(() => sharedKeySigner("acc", key))]).toEqual([
      key,
      "INVALID_ARGUMENT",
    ]);
  }
  const sign = (): unknown => sharedKeySigner("acc", "not base64!");
  expect(sign).toThrow(/^(?!.*not base64!)/);
});
