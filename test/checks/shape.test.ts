/** @module */

import { describe, expect, test } from "vitest";
import {
  checkLength,
  checkModules,
  checkParameters,
  checkVocabulary,
} from "../../scripts/checks/shape.ts";
import { sampleTree } from "../../scripts/checks/tree.ts";

const HEAD = "/** What it is.\n *\n * @module\n */\n";

describe("checkLength()", () => {
  const lines = (count: number): string => "x;\n".repeat(count);

  test("checkLength() refuses the 601st line, but not in tests", () => {
    expect(checkLength(sampleTree({ "src/core/a.ts": lines(600) }))).toEqual([]);
    expect(checkLength(sampleTree({ "src/core/a.test.ts": lines(601) }))).toEqual([]);
    expect(checkLength(sampleTree({ "src/core/a.ts": lines(601) }))).toEqual([
      "src/core/a.ts: 601 lines, the limit is 600",
    ]);
    expect(checkLength(sampleTree({ "scripts/a.mjs": lines(700) }))).toHaveLength(1);
  });
});

describe("checkModules()", () => {
  test("checkModules() refuses a default export in any form", () => {
    expect(checkModules(sampleTree({ "src/core/a.ts": `${HEAD}export const a = 1;` }))).toEqual([]);
    for (const text of [
      "export default 1;",
      "const a = 1; export { a as default };",
      "export default class {}",
    ]) {
      expect(checkModules(sampleTree({ "adapters/node/a.ts": HEAD + text }))).toHaveLength(1);
    }
  });

  test("checkModules() refuses a file that does not say what it is", () => {
    for (const text of ["export {};", "/** A. */\nexport {};", "import 'x';\n/** @module */"]) {
      expect(checkModules(sampleTree({ "src/core/a.ts": text }))).toHaveLength(1);
    }
  });
});

describe("checkParameters()", () => {
  test("checkParameters() allows three and the options", () => {
    const text = (list: string): string => `${HEAD}export function f(${list}): void {}`;
    expect(
      checkParameters(sampleTree({ "src/core/a.ts": text("a: 1, b: 1, c: 1, o: {}") })),
    ).toEqual([]);
    expect(
      checkParameters(sampleTree({ "src/core/a.ts": text("a: 1, b: 1, c: 1, d: 1, o: {}") })),
    ).toEqual(["src/core/a.ts:5 f() takes 5 parameters"]);
  });
});

describe("checkVocabulary()", () => {
  test.each([
    ["txId", "txid"],
    ["minTxId", "txid"],
    ["TxID", "txid"],
    ["transactionId", "txid"],
    ["pageNo", "pgno"],
    ["pageNumber", "pgno"],
    ["lastPageNumbers", "pgno"],
    ["pagesize", "pageSize"],
    ["pgNo", "pgno"],
    ["snapShot", "snapshot"],
    ["fileCheckSum", "checksum"],
    ["timeStamp", "timestamp"],
    ["#maxLvl", "level"],
    ["liteStream", "litestream"],
  ])("checkVocabulary() refuses %s", (name, word) => {
    const text = name.startsWith("#") ? `class A { ${name} = 1; }` : `const ${name} = 1;`;
    expect(checkVocabulary(sampleTree({ "src/core/a.ts": text }))).toEqual([
      `src/core/a.ts:1 ${name.replace("#", "")}: the word is ${word}`,
    ]);
  });

  test("checkVocabulary() accepts the right words, and any word in prose", () => {
    const text =
      "// a page number, a txId\nconst minTxid = 1, pgno = 2, pageSize = 3, checksum = 'pageNo', pageNode = 4;";
    expect(checkVocabulary(sampleTree({ "src/core/a.ts": text }))).toEqual([]);
  });
});
