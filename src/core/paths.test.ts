import { describe, expect, test } from "vitest";
import { fileName, parentDirectory } from "./paths.ts";

describe("parentDirectory() and fileName()", () => {
  test.each([
    ["/data/app.db", "/data", "app.db"],
    ["/app.db", "/", "app.db"],
    ["app.db", ".", "app.db"],
    ["a/b/", "a/b", ""],
    ["C:\\data\\app.db", "C:\\data", "app.db"],
  ])("parentDirectory() and fileName() part %s", (path, directory, name) => {
    expect(parentDirectory(path)).toBe(directory);
    expect(fileName(path)).toBe(name);
  });
});
