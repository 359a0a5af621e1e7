import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generate } from "../../scripts/page/build.mjs";

test("the page that the routes serve is what its sources make", async () => {
  const served = readFileSync(new URL("../../src/http/page-bytes.ts", import.meta.url), "utf8");
  expect(await generate()).toBe(served);
});
