/**
 * Compiles our WebAssembly text: into the TypeScript files that carry the bytes, and into the file that runtimes
 * import which compile nothing themselves.
 *
 * `node scripts/wasm/build.mjs` writes the files; a test compares them with what this writes.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import initWabt from "wabt";
import { trampolineText } from "./trampoline.mjs";

const DIGITS_PER_LINE = 92;

/**
 * Every generated file with its contents, formatted as the repository is.
 *
 * @returns {Promise<ReadonlyMap<string, Buffer>>} by path below the root
 */
export async function generate() {
  const kernel = await compile(readFileSync(new URL("page-kernel.wat", import.meta.url), "utf8"));
  const trampoline = await compile(trampolineText());
  return new Map([
    [
      "src/ltx/wasm-kernel-bytes.ts",
      source(kernel, {
        what: "The page kernel, compiled from scripts/wasm/page-kernel.wat",
        name: "WASM_KERNEL",
      }),
    ],
    [
      "src/vfs/trampoline-bytes.ts",
      source(trampoline, {
        what: "The trampoline, compiled from scripts/wasm/trampoline.mjs",
        name: "TRAMPOLINE",
      }),
    ],
    ["src/vfs/trampoline.wasm", trampoline],
  ]);
}

async function compile(text) {
  const wabt = await initWabt();
  const module = wabt.parseWat("module.wat", text, { simd: true, bulk_memory: true });
  try {
    module.validate();
    return Buffer.from(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}

/** A TypeScript file with a module in it. */
function source(bytes, { what, name }) {
  const lines = bytes.toString("hex").match(new RegExp(`.{1,${DIGITS_PER_LINE}}`, "g"));
  return Buffer.from(`/**
 * ${what} by scripts/wasm/build.mjs.
 *
 * @module
 */

/** The WebAssembly module as hex digits: ${bytes.length} bytes. */
export const ${name}: string =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = new URL("../../", import.meta.url);
  for (const [path, bytes] of await generate()) writeFileSync(new URL(path, root), bytes);
}
