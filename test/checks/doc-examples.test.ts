/** @module */

import { expect, test } from "vitest";
import { examplesOf } from "../../scripts/lib/doc-examples.ts";

test("examplesOf() takes the code of each example, unless it says to be ignored", () => {
  const source = [
    "/**",
    " * Adds.",
    " *",
    " * ```ts",
    " * const a = 1;",
    " *",
    " * if (a > 0) {",
    " *   a * 2;",
    " * }",
    " * ```",
    " *",
    " * ```ts ignore",
    " * unknown();",
    " * ```",
    " */",
    "class X {",
    "  /**",
    "   * ```ts",
    "   * inner();",
    "   * ```",
    "   */",
    "}",
  ];
  const examples = ["const a = 1;\n\nif (a > 0) {\n  a * 2;\n}", "inner();"];
  expect(examplesOf(source.join("\n"))).toEqual(examples);
  expect(examplesOf("const text = `\n```ts\nno();\n```\n`;")).toEqual([]);
});
