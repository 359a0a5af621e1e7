import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generate } from "../../scripts/wasm/build.mjs";

test("the WebAssembly modules in the sources are what their text compiles to", async () => {
  const root = new URL("../../", import.meta.url);
  const files = await generate();
  expect(files.size).toBe(3);
  for (const [path, bytes] of files) {
    expect(readFileSync(new URL(path, root)).equals(bytes), path).toBe(true);
  }
});
