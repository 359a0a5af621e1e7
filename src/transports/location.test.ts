import { expect, test } from "vitest";
import { failure } from "../testing/test-kit.ts";
import { asObject, listField, parseJson, textField } from "./json.ts";
import { checkEndpoint, encodeName, encodePath, encodeQuery, keyPath } from "./location.ts";

test("checkEndpoint() takes an address, and refuses what must not be shown", async () => {
  expect(checkEndpoint("https://h.example/", "s")).toBe("https://h.example");
  expect(checkEndpoint("http://127.0.0.1:1/a/b//", "s")).toBe("http://127.0.0.1:1/a/b");
  for (const bad of ["h.example", "ftp://h", "https://u:p@h", "https://h/?sig=x", "https://h/#x"]) {
    expect([bad, await failure(() => checkEndpoint(bad, "s"))]).toEqual([bad, "INVALID_ARGUMENT"]);
  }
  expect(await failure(() => checkEndpoint("", "s"))).toBe("INVALID_ARGUMENT");
});

test("keyPath() drops slashes around a path, and refuses one that no URL can name", async () => {
  expect(keyPath(undefined, "s").prefix).toBe("");
  expect(keyPath("/", "s").prefix).toBe("");
  expect(keyPath("/a/b/", "s")).toMatchObject({ path: "a/b", prefix: "a/b/" });
  for (const bad of ["a//b", "a/../b", ".", "a\\b"]) {
    expect([bad, await failure(() => keyPath(bad, "s"))]).toEqual([bad, "INVALID_ARGUMENT"]);
  }
});

test("keyPath() finds the key of a name, and none for the names of others", () => {
  const { keyOf } = keyPath("a", "s");
  expect(keyOf("a/ltx/0/x")).toBe("ltx/0/x");
  for (const other of ["b/x", "a", "a/", "a/x/", "a//x", "ab/x"]) {
    expect([other, keyOf(other)]).toEqual([other, undefined]);
  }
  expect(keyPath("", "s").keyOf("ltx/0/x")).toBe("ltx/0/x");
});

test("encodeName() encodes all but unreserved characters, per byte", () => {
  expect(encodeName("aZ0-._~")).toBe("aZ0-._~");
  expect(encodeName("a b+c%d/e?'!()*")).toBe("a%20b%2Bc%25d%2Fe%3F%27%21%28%29%2A");
  expect(encodeName("ü🙂")).toBe("%C3%BC%F0%9F%99%82");
  expect(encodePath("a b/c")).toBe("a%20b/c");
  expect(encodeQuery({ a: "1 2", b: undefined, "c[]": "&" })).toBe("a=1%202&c%5B%5D=%26");
});

test("parseJson() reads objects alone, and tells an answer that was cut", async () => {
  const context = { operation: "list", object: "s" };
  const parsed = parseJson('{"a":"x","n":5,"l":[1],"o":{"b":"y"}}', context);
  expect([textField(parsed, "a"), textField(parsed, "n"), textField(parsed, "o")]).toEqual([
    "x",
    "5",
    undefined,
  ]);
  expect([listField(parsed, "l"), listField(parsed, "a")]).toEqual([[1], []]);
  expect(textField(asObject(parsed["o"]), "b")).toBe("y");
  expect([parseJson("[1]", context), parseJson("null", context), parseJson("no")]).toEqual([
    {},
    {},
    {},
  ]);
  expect(await failure(() => parseJson('{"a":', context))).toBe("STORE");
});
