/** @module */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderHttpPage } from "../../scripts/http-page.ts";
import { root } from "../../scripts/lib/process.mjs";

test("docs/http.md is what the routes make of it", async () => {
  // When this fails: node scripts/http-page.ts
  const page = await renderHttpPage();
  expect(readFileSync(join(root, "docs/http.md"), "utf8")).toBe(page);
  expect(page).not.toContain("undefined");
});
