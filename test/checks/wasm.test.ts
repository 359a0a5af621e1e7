import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generate, target } from "../../scripts/wasm/build.mjs";

test("the WebAssembly kernel in the sources is what its text compiles to", async () => {
  expect(readFileSync(target, "utf8")).toBe(await generate());
});
