/**
 * Compiles the WebAssembly text of the page kernel into the TypeScript file that carries its bytes.
 *
 * `node scripts/wasm/build.mjs` writes the file; a test compares it with what this writes.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import initWabt from "wabt";

const source = new URL("page-kernel.wat", import.meta.url);

/** The file that this writes. */
export const target = new URL("../../src/ltx/wasm-kernel-bytes.ts", import.meta.url);

const DIGITS_PER_LINE = 92;

/** The text of the generated file, formatted as the repository is. */
export async function generate() {
  const wabt = await initWabt();
  const module = wabt.parseWat("page-kernel.wat", readFileSync(source, "utf8"), {
    simd: true,
    bulk_memory: true,
  });
  try {
    module.validate();
    const { buffer } = module.toBinary({});
    const digits = Buffer.from(buffer).toString("hex");
    const lines = digits.match(new RegExp(`.{1,${DIGITS_PER_LINE}}`, "g"));
    return `/**
 * The page kernel, compiled from scripts/wasm/page-kernel.wat by scripts/wasm/build.mjs.
 *
 * @module
 */

/** The WebAssembly module as hex digits: ${buffer.length} bytes. */
export const WASM_KERNEL: string =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`;
  } finally {
    module.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, await generate());
