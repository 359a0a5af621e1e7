/** @module */

import { describe, expect, test } from "vitest";
import { checkManifests, checkPins } from "../../scripts/checks/manifests.ts";
import { sampleTree } from "../../scripts/checks/tree.ts";
import { completeLock, platformOf } from "../../scripts/lock.mjs";

const NPM = {
  version: "1.0.0",
  license: "Apache-2.0",
  exports: {
    ".": { types: "./dist/api/index.d.ts", default: "./dist/api/index.js" },
    "./package.json": "./package.json",
  },
  dependencies: { lz4js: "0.2.0" },
  devDependencies: { node: "24.21.0", pagestream: "file:." },
};
const JSR = {
  version: "1.0.0",
  license: "Apache-2.0",
  exports: { ".": "./src/api/index.ts" },
  imports: { lz4js: "npm:lz4js@0.2.0" },
};
const NODE = {
  version: "1.0.0",
  license: "Apache-2.0",
  dependencies: { pagestream: "1.0.0", node: "24.21.0" },
};

/** The problems when fields of a manifest are replaced. */
function problemsOf(changed: { npm?: object; jsr?: object; node?: object }): readonly string[] {
  return checkManifests(
    sampleTree({
      "package.json": JSON.stringify({ ...NPM, ...changed.npm }),
      "deno.json": JSON.stringify({ ...JSR, ...changed.jsr }),
      "adapters/node/package.json": JSON.stringify({ ...NODE, ...changed.node }),
      "src/api/index.ts": "",
    }),
  );
}

describe("checkManifests()", () => {
  test("checkManifests() accepts manifests that agree", () => {
    expect(problemsOf({})).toEqual([]);
  });

  const entry = NPM.exports["."];
  test.each([
    [{ jsr: { exports: {} } }, "absent in deno.json"],
    [{ jsr: { exports: { ...JSR.exports, "./x": "./src/x.ts" } } }, "absent in package.json"],
    [{ jsr: { exports: { ".": "./src/core/index.ts" } } }, "./src/core/index.ts in deno.json"],
    [
      { npm: { exports: { ".": { default: entry.default, types: entry.types } } } },
      "begin with types",
    ],
    [{ npm: { exports: { ".": { ...entry, types: "./dist/ltx/index.d.ts" } } } }, "another file"],
    [{ npm: { exports: { ".": { types: entry.types } } } }, "no default"],
    [{ npm: { version: "1.0.1" } }, "version differs"],
    [{ jsr: { license: "MIT" } }, "license differs"],
    [
      { node: { dependencies: { ...NODE.dependencies, pagestream: "0.9.0" } } },
      "depends on pagestream",
    ],
    [{ node: { dependencies: { ...NODE.dependencies, node: "22.0.0" } } }, "brings Node 22.0.0"],
    [{ jsr: { imports: {} } }, "maps lz4js to nothing"],
  ])("checkManifests() refuses %j", (changed, reason) => {
    expect(problemsOf(changed).join("\n")).toContain(reason);
  });

  test("checkManifests() refuses an entry without a source", () => {
    const files = { "package.json": JSON.stringify(NPM), "deno.json": JSON.stringify(JSR) };
    const tree = sampleTree({ ...files, "adapters/node/package.json": JSON.stringify(NODE) });
    expect(checkManifests(tree).join("\n")).toContain("./src/api/index.ts does not exist");
  });
});

describe("checkPins()", () => {
  test("checkPins() refuses a range", () => {
    const tree = (version: string) =>
      sampleTree({ "package.json": JSON.stringify({ devDependencies: { x: version } }) });
    expect(checkPins(tree("1.2.3"))).toEqual([]);
    expect(checkPins(tree("3.54.1-build1"))).toEqual([]);
    for (const range of ["^1.2.3", "~1.2.3", "*", "latest", ">=1"]) {
      expect(checkPins(tree(range))).toHaveLength(1);
    }
  });
});

describe("completeLock()", () => {
  test("platformOf() reads the platform from a name", () => {
    expect(platformOf("@oven/bun-linux-x64-musl")).toEqual({
      cpu: ["x64"],
      os: ["linux"],
      libc: ["musl"],
    });
    expect(platformOf("@deno/win32-arm64")).toEqual({ cpu: ["arm64"], os: ["win32"] });
    expect(platformOf("@oven/bun-darwin-aarch64")).toEqual({ cpu: ["arm64"], os: ["darwin"] });
    expect(platformOf("@x/binding-linux-arm-gnueabihf")).toEqual({ cpu: ["arm"], os: ["linux"] });
    expect(platformOf("@x/binding-wasm32-wasi")).toEqual({ cpu: ["wasm32"] });
  });

  test("completeLock() adds what a registry left out, and nothing else", () => {
    const lock = {
      packages: {
        "": {},
        "node_modules/a": {
          version: "1.0.0",
          optionalDependencies: { "a-linux-x64": "1.0.0", "a-darwin-x64": "1.0.0" },
        },
        "node_modules/a-linux-x64": { version: "1.0.0", optional: true, integrity: "sha512-x" },
      },
    };
    expect(completeLock(lock)).toBe(1);
    expect(lock.packages).toEqual({
      "": {},
      "node_modules/a": expect.anything(),
      "node_modules/a-darwin-x64": {
        version: "1.0.0",
        optional: true,
        cpu: ["x64"],
        os: ["darwin"],
      },
      "node_modules/a-linux-x64": { version: "1.0.0", optional: true, integrity: "sha512-x" },
    });
    expect(completeLock(lock)).toBe(0);
  });

  test("completeLock() refuses an optional package without a platform", () => {
    const lock = {
      packages: { "": {}, "node_modules/a": { optionalDependencies: { helper: "1.0.0" } } },
    };
    expect(() => completeLock(lock)).toThrow("Cannot tell the platform of helper");
  });
});
