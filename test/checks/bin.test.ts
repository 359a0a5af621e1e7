/** @module */

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** Makes Node say that it is an older one. */
const OLD = [
  "--import",
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})',
];

/** A command that tells what it got, or waits for a signal. */
const MAIN = `export async function main(argv) {
  console.log(JSON.stringify({ argv, left: process.env.PAGESTREAM_HANDED_OVER }));
  if (argv[0] === "wait") {
    process.on("SIGTERM", () => process.exit(7));
    if (argv[1] === "die") process.removeAllListeners("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 20_000));
  }
  return Number(argv[0] ?? 0);
}`;

let folder = "";
let bin = "";
let bundled = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-bin-"));
  bin = join(folder, "bin/pagestream.mjs");
  bundled = join(folder, "node_modules/node/bin/node");
  for (const path of ["bin", "dist/command", "node_modules/node/bin"]) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  copyFileSync(join(import.meta.dirname, "../../adapters/node/bin/pagestream.mjs"), bin);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(folder, "dist/command/main.js"), MAIN);
  writeFileSync(join(folder, "node_modules/node/package.json"), JSON.stringify({ name: "node" }));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The Node of the package `node`: this one, without the flags that make it old, or with them. */
function bundle(kind: "new" | "old"): void {
  writeFileSync(
    bundled,
    `#!/bin/sh\n${kind === "new" ? "shift 2\n" : ""}exec "${process.execPath}" "$@"\n`,
  );
  chmodSync(bundled, 0o755);
}

const start = (...args: string[]) => spawnSync(process.execPath, args, { encoding: "utf8" });

describe("pagestream.mjs", () => {
  test("pagestream.mjs runs the command in this Node when it is new enough", () => {
    const result = start(bin, "3", "a b");
    expect([result.status, result.stdout]).toEqual([3, '{"argv":["3","a b"]}\n']);
  });

  test("pagestream.mjs hands over to the bundled Node with arguments and exit code", () => {
    bundle("new");
    const result = start(...OLD, bin, "4", "--flag=x y");
    expect([result.status, result.stdout]).toEqual([4, '{"argv":["4","--flag=x y"]}\n']);
  });

  test.each([
    ["wait", "exit", 7, null],
    ["wait", "die", null, "SIGTERM"],
  ])("pagestream.mjs passes a signal on: %s %s", async (what, how, code, signal) => {
    bundle("new");
    const child = spawn(process.execPath, [...OLD, bin, what, how], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    // The line is printed just before the command listens; a second signal would change nothing.
    const timer = setInterval(() => child.kill("SIGTERM"), 100);
    const ended = await new Promise((resolve) => child.once("exit", (...end) => resolve(end)));
    clearInterval(timer);
    expect(ended).toEqual([code, signal]);
  });

  test("pagestream.mjs says what to install when no newer Node is there, and never loops", () => {
    bundle("old");
    const looping = start(...OLD, bin);
    expect([looping.status, looping.stderr]).toEqual([
      1,
      expect.stringContaining("needs 22.13 or newer"),
    ]);
    rmSync(bundled);
    const missing = start(...OLD, bin);
    expect([missing.status, missing.stderr]).toEqual([
      1,
      expect.stringContaining("npm package `node`"),
    ]);
  });

  test("pagestream.mjs says when it is not built", () => {
    rmSync(join(folder, "dist"), { recursive: true });
    const result = start(bin);
    expect([result.status, result.stderr]).toEqual([1, expect.stringContaining("npm run build")]);
  });
});
