/** @module */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderCliPage } from "../../scripts/cli-page.ts";

test("docs/cli.md is what node scripts/cli-page.ts writes", () => {
  expect(readFileSync("docs/cli.md", "utf8")).toBe(renderCliPage());
});
