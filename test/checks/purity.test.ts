/** @module */

import { describe, expect, test } from "vitest";
import { checkPurity } from "../../scripts/checks/purity.ts";
import { sampleTree } from "../../scripts/checks/tree.ts";

const SETTINGS = {
  extends: "../../tsconfig.base.json",
  include: ["./**/*.ts", "../web-types.d.ts"],
};
const PURE = {
  "tsconfig.base.json": JSON.stringify({
    compilerOptions: { lib: ["ES2023", "ESNext.Disposable"], types: [] },
  }),
  "src/web-types.d.ts": "interface AbortSignal { readonly aborted: boolean }",
  ...Object.fromEntries(
    ["core", "ltx", "replica", "vfs"].map((room) => [
      `src/${room}/tsconfig.json`,
      JSON.stringify(SETTINGS),
    ]),
  ),
};

const problemsOf = (files: Record<string, string>): readonly string[] =>
  checkPurity(sampleTree({ ...PURE, ...files }));

describe("checkPurity()", () => {
  test.each([
    "const now: number = platform.performance.now();",
    "function f(options: { crypto: string; fetch(): void }): string { return options.crypto; }",
    "const date: Date = new Date(0);",
    "const x = { setTimeout: 1 };",
    "type Callback = Function;",
    "const half = Math.floor(1.5);",
    "let window = 4; window += 1;",
    "const f = ({ self, other: [module = 1] }: X) => self + module;",
    "// globalThis and process in a comment\nconst s = 'console';",
  ])("checkPurity() accepts %s", (text) => {
    expect(problemsOf({ "src/core/a.ts": text })).toEqual([]);
  });

  test.each([
    ["globalThis.x = 1;", "globalThis"],
    ["const { fetch } = globalThis;", "globalThis"],
    ["declare const process: { env: object }; f(process.env);", "process"],
    ["const p = process.env;", "process"],
    ["const b = Buffer.from('');", "Buffer"],
    ["Deno.exit();", "Deno"],
    ["const v = Bun.version;", "Bun"],
    ["setTimeout(f, 1);", "setTimeout"],
    ["const timer = { setTimeout };", "setTimeout"],
    ["setInterval(f, 1);", "setInterval"],
    ["queueMicrotask(f);", "queueMicrotask"],
    ["await fetch('x');", "fetch"],
    ["crypto.randomUUID();", "crypto"],
    ["const t = performance.now();", "performance"],
    ["const t = Date.now();", "Date.now"],
    ["const t = new Date();", "clock through Date"],
    ["const r = Math.random();", "Math.random"],
    ["console.log(1);", "console"],
    ["new TextEncoder();", "TextEncoder"],
    ["new TextDecoder();", "TextDecoder"],
    ["const g = new Function('return this')();", "Function"],
    ["eval('1');", "eval"],
    ["const o = { [process]: 1 };", "process"],
    ["declare const secret: number;", "exists elsewhere"],
    ["declare global { interface X {} }", "declaration"],
    ['/// <reference types="node" />', "reference directive"],
  ])("checkPurity() refuses %s", (text, reason) => {
    for (const path of ["src/core/a.ts", "src/vfs/a.ts", "src/transports/object-store.ts"]) {
      expect(problemsOf({ [path]: text }).join("\n")).toContain(reason);
    }
    expect(problemsOf({ "src/transports/s3.ts": text })).toEqual([]);
  });

  test("checkPurity() refuses a declaration file that is not about a package", () => {
    expect(
      problemsOf({ "src/ltx/lz4js.d.ts": 'declare module "lz4js" { const a: number; }' }),
    ).toEqual([]);
    expect(problemsOf({ "src/ltx/a.d.ts": "declare const process: object;" })).toHaveLength(1);
  });

  test("checkPurity() refuses settings that widen a pure room", () => {
    const widen = (settings: object): string =>
      problemsOf({ "src/ltx/tsconfig.json": JSON.stringify({ ...SETTINGS, ...settings }) }).join(
        "\n",
      );
    expect(widen({ compilerOptions: { lib: ["ES2023", "DOM"] } })).toContain("DOM");
    expect(widen({ compilerOptions: { types: ["node"] } })).toContain("node");
    expect(widen({ include: ["./**/*.ts", "../../types/*.d.ts"] })).toContain("includes");
    expect(widen({ extends: "./other.json" })).toContain("does not extend the base");
  });

  test("checkPurity() refuses a further web type", () => {
    expect(problemsOf({ "src/web-types.d.ts": "interface Response { ok: boolean }" })).toEqual([
      "src/web-types.d.ts: Response is not a web type of the contracts",
    ]);
  });
});
