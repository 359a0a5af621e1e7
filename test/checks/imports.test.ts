/** @module */

import { describe, expect, test } from "vitest";
import { checkCycles, checkImports } from "../../scripts/checks/imports.ts";
import { sampleTree } from "../../scripts/checks/tree.ts";

const MANIFESTS = {
  "package.json": JSON.stringify({
    name: "pagestream",
    dependencies: { lz4js: "0.2.0" },
    peerDependencies: { "@sqlite.org/sqlite-wasm": "3.54.1-build1", hono: "4.0.0" },
  }),
  "adapters/node/package.json": JSON.stringify({ dependencies: { commander: "15.1.0" } }),
};

/** The problems of one file, in a tree that holds every file it could wish to import. */
function problemsOf(path: string, text: string): readonly string[] {
  return checkImports(
    sampleTree({
      ...MANIFESTS,
      "src/core/errors.ts": "export const a = 1;",
      "src/ltx/header.ts": "export const a = 1;",
      "src/transports/object-store.ts": "export const a = 1;",
      "src/transports/memory.ts": "export const a = 1;",
      "src/vfs/bind.ts": "export const a = 1;",
      "src/replica/replica.ts": "export const a = 1;",
      "src/api/index.ts": "export const a = 1;",
      "adapters/files/index.ts": "export const a = 1;",
      [path]: text,
    }),
  );
}

describe("checkImports()", () => {
  test.each([
    ["src/ltx/a.ts", 'import { a } from "../core/errors.ts";'],
    ["src/ltx/a.ts", 'import { decompress } from "lz4js";'],
    ["src/replica/a.ts", 'import { a } from "../transports/object-store.ts";'],
    ["src/api/a.ts", 'export * from "../replica/replica.ts";'],
    ["src/api/a.ts", 'import type { Database } from "@sqlite.org/sqlite-wasm";'],
    ["src/http/a.ts", 'const hono = await import("hono");'],
    [
      "adapters/deno/a.ts",
      'import { a } from "../files/index.ts"; import { b } from "pagestream/vfs";',
    ],
    [
      "adapters/node/a.ts",
      'import { a } from "pagestream"; import fs from "node:fs";'.replace(
        "pagestream",
        "commander",
      ),
    ],
  ])("checkImports() lets %s import down: %s", (path, text) => {
    expect(problemsOf(path, text)).toEqual([]);
  });

  test.each([
    ["src/core/a.ts", 'import { a } from "../ltx/header.ts";', "no other room"],
    ["src/core/a.ts", 'import type { a } from "../ltx/header.ts";', "no other room"],
    ["src/core/a.ts", 'export { a } from "../ltx/header.ts";', "no other room"],
    ["src/ltx/a.ts", 'await import("../replica/replica.ts");', "may import from core"],
    ["src/vfs/a.ts", 'import { a } from "../replica/replica.ts";', "may import from"],
    ["src/replica/a.ts", 'import { a } from "../vfs/bind.ts";', "may import from"],
    ["src/replica/a.ts", 'import { a } from "../transports/memory.ts";', "only their contract"],
    ["adapters/bun/a.ts", 'import { a } from "../../src/core/errors.ts";', "by its name"],
    ["adapters/node/a.ts", 'import { a } from "../files/index.ts";', "by its name"],
    ["src/core/a.ts", 'import { readFileSync } from "node:fs";', "no runtime"],
    ["src/ltx/a.ts", 'import { a } from "pagestream";', "no own name"],
    ["src/core/a.ts", 'import { decompress } from "lz4js";', "pure"],
    ["src/api/a.ts", 'import init from "@sqlite.org/sqlite-wasm";', "only its types"],
    ["src/api/a.ts", 'await import("@sqlite.org/sqlite-wasm");', "only its types"],
    ["src/http/a.ts", 'import { Hono } from "hono";', "lazily"],
    ["src/api/a.ts", 'import x from "left-pad";', "does not name this package"],
    ["src/api/a.ts", 'import { a } from "./gone.ts";', "no such file"],
    ["adapters/node/a.ts", 'import { a } from "../../src/core/errors.ts";', "by its name"],
  ])("checkImports() refuses in %s: %s", (path, text, reason) => {
    const problems = problemsOf(path, text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(reason);
  });

  test("checkImports() leaves tests alone", () => {
    expect(problemsOf("src/vfs/a.test.ts", 'import { a } from "../replica/replica.ts";')).toEqual(
      [],
    );
  });
});

describe("checkCycles()", () => {
  test("checkCycles() names the files of a cycle, types included", () => {
    const problems = checkCycles(
      sampleTree({
        "src/core/a.ts": 'import { b } from "./b.ts";',
        "src/core/b.ts": 'export { c as b } from "./c.ts";',
        "src/core/c.ts": 'import type { a } from "./a.ts";',
      }),
    );
    expect(problems).toEqual([
      "src/core/a.ts imports itself: src/core/a.ts -> src/core/b.ts -> src/core/c.ts -> src/core/a.ts",
    ]);
  });

  test("checkCycles() accepts two ways to one file", () => {
    const files = {
      "src/core/a.ts": 'import "./b.ts"; import "./c.ts";',
      "src/core/b.ts": 'import "./d.ts";',
      "src/core/c.ts": 'import "./d.ts";',
      "src/core/d.ts": "export {};",
    };
    expect(checkCycles(sampleTree(files))).toEqual([]);
  });
});
