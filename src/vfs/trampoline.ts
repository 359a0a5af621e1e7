/**
 * Functions that wasm calls, made from JavaScript ones by a module of a few hundred bytes.
 *
 * sqlite-wasm's `installFunction` takes a function that wasm exports as it is; any other it wraps itself, by compiling a
 * module per signature. The module here has a passage for every signature at once, so it can be compiled ahead for a
 * runtime that compiles nothing (workerd), and it can do what a wrapper cannot: try a plain function first and
 * suspend the wasm stack only when that one asks for it. A suspending import throws whenever the call did not come
 * through `WebAssembly.promising`, even if it has nothing to wait for.
 *
 * @module
 */
import { fromHex } from "../core/bytes.ts";
import { InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import { TRAMPOLINE } from "./trampoline-bytes.ts";

/**
 * What the plain function of a hybrid returns to have the suspending one called with the same arguments. No result code
 * of SQLite; `scripts/wasm/trampoline.mjs` has the same number.
 */
export const SUSPEND: number = -0x8000_0000;

/** A function that wasm calls or exports: 32-bit values and pointers are numbers, 64-bit ones bigints. */
export type WasmFunction = (...args: never[]) => unknown;

/** A function that wasm waits for. */
export type SuspendingFunction = (...args: never[]) => Promise<number>;

type Functions = Readonly<Record<string, unknown>>;

/** What this file uses of `WebAssembly`: TypeScript's libraries do not all know the ways to suspend. */
interface Wasm {
  readonly Module: {
    new (bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module;
    imports(module: WebAssembly.Module): readonly { readonly name: string }[];
    exports(module: WebAssembly.Module): readonly { readonly name: string }[];
  };
  readonly Instance: new (
    module: WebAssembly.Module,
    imports: Readonly<Record<"call" | "suspend", Functions>>,
  ) => { readonly exports: Readonly<Record<string, WasmFunction | undefined>> };
  readonly Suspending?: new (implementation: SuspendingFunction) => object;
  readonly promising?: (exported: WasmFunction) => (...args: unknown[]) => Promise<number>;
}

/** Looked up in every call: the namespace may be patched, and some runtimes have none. */
function wasm(): Wasm {
  return WebAssembly as unknown as Wasm;
}

let trampoline: WebAssembly.Module | undefined;
/** A function for every import that nobody calls: all must be there. */
let unused: Functions | undefined;

/**
 * Makes a wasm function of a JavaScript one, for `installFunction`. What the implementation throws unwinds the wasm stack.
 *
 * @param signature result, then arguments, as `installFunction` has it: `i(ppij)`. Results are `i` or `v`.
 * @throws `UnsupportedError` for a signature that SQLite does not have, and where the runtime compiles no WebAssembly and
 * was given no trampoline by `patchWorkerd`
 */
export function wasmFunction(signature: string, implementation: WasmFunction): WasmFunction {
  const name = nameOf(signature);
  return exportOf(name, { call: { [name]: implementation }, suspend: {} });
}

/**
 * Makes a wasm function that calls `plain` and, only when that returns {@linkcode SUSPEND}, `suspending` with the same
 * arguments, whose promise suspends the wasm stack. Then the call into wasm must have come through
 * {@linkcode promising}, without a JavaScript function in between; otherwise a `SuspendError` unwinds it.
 *
 * @param signature `i(pip)` or `i(ppij)`
 * @throws `UnsupportedError` for another signature, and where the runtime cannot suspend
 */
export function hybridFunction(
  signature: string,
  plain: WasmFunction,
  suspending: SuspendingFunction,
): WasmFunction {
  const { Suspending } = suspension();
  const name = nameOf(signature);
  return exportOf(`hybrid ${name}`, {
    call: { [name]: plain },
    suspend: { [name]: new Suspending(suspending) },
  });
}

/** Whether the runtime can suspend wasm: Node 24 and newer, Deno, Bun, Chromium and workerd can. */
export function canSuspend(): boolean {
  return typeof WebAssembly === "object" && wasm().Suspending !== undefined;
}

/**
 * An export of a wasm module as a function that waits for what it suspends on. Of an instance with one stack in its
 * memory, as sqlite-wasm's, only one call may be under way. Throws `UnsupportedError` where the runtime cannot suspend.
 */
export function promising(exported: WasmFunction): (...args: unknown[]) => Promise<number> {
  return suspension().promising(exported);
}

/** Uses a trampoline that was compiled ahead. Throws `InvalidArgumentError` for any other module. */
export function useTrampoline(module: WebAssembly.Module): void {
  const { Module } = wasm();
  const ours = (): boolean => Module.exports(module).some(({ name }) => name === "hybrid i(iiij)");
  if (!(module instanceof Module) || !ours()) {
    throw new InvalidArgumentError({
      operation: "use",
      object: "the trampoline",
      what: "this is no trampoline, or one of another version",
      next: "Import pagestream/trampoline.wasm as a WebAssembly.Module",
    });
  }
  trampoline = module;
  unused = undefined;
}

function suspension(): Required<Pick<Wasm, "Suspending" | "promising">> {
  const { Suspending, promising } = wasm();
  if (Suspending !== undefined && promising !== undefined) return { Suspending, promising };
  throw new UnsupportedError({
    operation: "suspend",
    object: "a call into SQLite",
    what: "this runtime has no WebAssembly.Suspending",
    next: "Use Node 24 or newer, Deno, Bun, Chromium or workerd",
  });
}

/** Pointers and strings are 32-bit integers to wasm. */
function nameOf(signature: string): string {
  return signature.replaceAll(/[psP]/g, "i");
}

function exportOf(
  name: string,
  used: Readonly<Record<"call" | "suspend", Functions>>,
): WasmFunction {
  const { Module, Instance } = wasm();
  trampoline ??= compile();
  unused ??= Object.fromEntries(Module.imports(trampoline).map(({ name }) => [name, () => 0]));
  const imports = { call: { ...unused, ...used.call }, suspend: { ...unused, ...used.suspend } };
  const found = new Instance(trampoline, imports).exports[name];
  if (found !== undefined) return found;
  throw new UnsupportedError({
    operation: "make",
    object: `a wasm function with the signature ${name}`,
    what: "the trampoline has no such signature",
  });
}

function compile(): WebAssembly.Module {
  try {
    return new (wasm().Module)(fromHex(TRAMPOLINE));
  } catch (error) {
    throw new UnsupportedError({
      operation: "compile",
      object: "the trampoline",
      what: "this runtime compiles no WebAssembly",
      next: "Import pagestream/trampoline.wasm and give it to patchWorkerd",
      cause: error,
    });
  }
}
