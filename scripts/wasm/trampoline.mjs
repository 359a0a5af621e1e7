/**
 * The text of the trampoline module: one passage from wasm to JavaScript for each signature that SQLite calls.
 *
 * For a signature such as `i(iiij)` the module exports under that name the function that it imports as `call`
 * `i(iiij)`, which makes a wasm function of a JavaScript one. For some it exports a hybrid besides, which calls that
 * function and, only when that returns the result that asks for it, the function it imports as `suspend` `i(iiij)`.
 *
 * @module
 */

/** No result code of SQLite: the smallest 32-bit integer, as `SUSPEND` of src/vfs/trampoline.ts. */
const SUSPEND = -0x8000_0000;

/** Every signature of up to six 32-bit arguments, and those with 64-bit arguments that SQLite has. */
const SIGNATURES = ["i", "v"]
  .flatMap((result) => Array.from({ length: 7 }, (_, count) => `${result}(${"i".repeat(count)})`))
  .concat("i(ij)", "i(iji)", "i(ijii)", "i(iiij)", "v(iiiij)", "v(iiiiijj)");

/** xFileControl, and xRead with xWrite. */
const HYBRIDS = ["i(iii)", "i(iiij)"];

/** The module as WebAssembly text. */
export function trampolineText() {
  const fields = [
    ...SIGNATURES.map((signature) => importOf("call", signature)),
    ...HYBRIDS.map((signature) => importOf("suspend", signature)),
    ...SIGNATURES.map((signature, index) => `(export "${signature}" (func ${index}))`),
    ...HYBRIDS.map(hybrid),
  ];
  return `(module\n${fields.join("\n")})`;
}

function importOf(module, signature) {
  return `(import "${module}" "${signature}" (func ${typeOf(signature)}))`;
}

function typeOf(signature) {
  const names = { i: "i32", j: "i64" };
  const parameters = Array.from(signature.slice(2, -1), (letter) => names[letter]);
  return `(param ${parameters.join(" ")})${signature.startsWith("v") ? "" : " (result i32)"}`;
}

function hybrid(signature, index) {
  const count = signature.length - "i()".length;
  const values = Array.from({ length: count }, (_, at) => `(local.get ${at})`).join(" ");
  const plain = `(call ${SIGNATURES.indexOf(signature)} ${values})`;
  const suspending = `(call ${SIGNATURES.length + index} ${values})`;
  return `(func (export "hybrid ${signature}") ${typeOf(signature)} (local $code i32)
    (if (result i32) (i32.eq (local.tee $code ${plain}) (i32.const ${SUSPEND}))
      (then ${suspending})
      (else (local.get $code))))`;
}
