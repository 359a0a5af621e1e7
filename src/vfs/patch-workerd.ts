/**
 * Lets sqlite-wasm run in workerd, which compiles no WebAssembly while it runs.
 *
 * @module
 */
import { useTrampoline, wasmFunction, type WasmFunction } from "./trampoline.ts";

/** Options of {@linkcode patchWorkerd}. */
export interface PatchWorkerdOptions {
  /**
   * `pagestream/trampoline.wasm`, which a Worker imports as a compiled module. Can be left out where the runtime
   * compiles WebAssembly itself.
   */
  readonly trampoline?: WebAssembly.Module | undefined;
}

/** What stands for a wrapper module of sqlite-wasm's: the signature is all it says. */
class Wrapper {
  readonly signature: string;

  constructor(signature: string) {
    this.signature = signature;
  }
}

type Construct = (target: object, args: readonly unknown[]) => object;

let undo: (() => void) | undefined;

/**
 * Makes SQLite's own callbacks work where no WebAssembly can be compiled: sqlite-wasm compiles a wrapper module of about
 * 40 bytes for each signature it needs, at its start and for user-defined functions and hooks. Such a module is now
 * taken from the trampoline; every other use of `WebAssembly.Module` and `WebAssembly.Instance` goes on as before.
 *
 * Call it before sqlite-wasm's initialiser. A second call changes nothing. Returns the function that takes the patch
 * back, after which SQLite can be given no new callbacks.
 *
 * @throws `InvalidArgumentError` for a module that is not the trampoline
 * @example
 * ```ts ignore
 * import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
 * import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
 * import trampoline from "pagestream/trampoline.wasm";
 * import { patchWorkerd } from "pagestream/vfs";
 *
 * patchWorkerd({ trampoline });
 * const sqlite3 = await sqlite3InitModule({
 *   instantiateWasm: (imports, done) => done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
 * });
 * ```
 */
export function patchWorkerd(options: PatchWorkerdOptions = {}): () => void {
  if (undo !== undefined) return undo;
  if (options.trampoline !== undefined) useTrampoline(options.trampoline);
  const patched = WebAssembly as unknown as { Module: object; Instance: object };
  const { Module, Instance } = patched;
  patched.Module = withConstruct(Module, (target, args) => {
    const signature = args[0] instanceof Uint8Array ? wrapperSignature(args[0]) : undefined;
    return signature === undefined ? construct(target, args) : new Wrapper(signature);
  });
  patched.Instance = withConstruct(Instance, (target, args) => {
    const [module, imports] = args;
    if (!(module instanceof Wrapper)) return construct(target, args);
    const { f } = (imports as { readonly e: { readonly f: WasmFunction } }).e;
    return { exports: { f: wasmFunction(module.signature, f) } };
  });
  const takeBack = (): void => {
    if (undo !== takeBack) return;
    patched.Module = Module;
    patched.Instance = Instance;
    undo = undefined;
  };
  undo = takeBack;
  return undo;
}

/** A constructor that is the same in all but how it constructs: statics and `instanceof` stay. */
function withConstruct(constructor: object, construct: Construct): object {
  return new Proxy(constructor, { construct });
}

function construct(constructor: object, args: readonly unknown[]): object {
  return Reflect.construct(constructor as new (...args: readonly unknown[]) => object, args);
}

/** What a wrapper module begins with, up to the size of its type section. */
const HEAD: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1];

/** What it ends with: the import of `f` from `e` and its export as `f`. */
const TAIL: readonly number[] = [2, 7, 1, 1, 0x65, 1, 0x66, 0, 0, 7, 5, 1, 1, 0x66, 0, 0];

const LETTERS: ReadonlyMap<number, string> = new Map([
  [0x7f, "i"],
  [0x7e, "j"],
  [0x7d, "f"],
  [0x7c, "d"],
]);

/**
 * The signature of a wrapper module; undefined for any other module. Between head and tail it has one section with one
 * function type: its size, the count 1, 0x60, the count of arguments and their types, the count of results and theirs.
 */
function wrapperSignature(bytes: Uint8Array): string | undefined {
  const end = bytes.length - TAIL.length;
  if (end > 60 || !matches(bytes, HEAD, 0) || !matches(bytes, TAIL, end)) return undefined;
  const type = Array.from(bytes.subarray(HEAD.length, end));
  const count = type[3] ?? 0;
  const letters = (codes: readonly number[]): string =>
    codes.map((code) => LETTERS.get(code) ?? "?").join("");
  const result = letters(type.slice(5 + count));
  return `${result === "" ? "v" : result}(${letters(type.slice(4, 4 + count))})`;
}

function matches(bytes: Uint8Array, part: readonly number[], at: number): boolean {
  return part.every((value, index) => bytes[at + index] === value);
}
