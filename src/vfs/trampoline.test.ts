import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import {
  canSuspend,
  hybridFunction,
  promising,
  SUSPEND,
  useTrampoline,
  wasmFunction,
  type WasmFunction,
} from "./trampoline.ts";

const sqlite3 = await sqlite3InitModule();
const { wasm } = sqlite3;

/** The function at a C function pointer, as C sees it. */
function installed(signature: string, made: WasmFunction): WasmFunction {
  return wasm.functionEntry(wasm.installFunction(signature, made as never)) as never;
}

describe("wasmFunction()", () => {
  test("wasmFunction() makes what installFunction() takes as it is", () => {
    const made = wasmFunction("i(pip)", (a: number, b: number, c: number) => a * 100 + b * 10 + c);
    const entry = installed("i(pip)", made) as (a: number, b: number, c: number) => number;
    expect(entry).toBe(made);
    expect(entry(1, 2, 3)).toBe(123);
  });

  test("wasmFunction() passes 64-bit arguments as bigints", () => {
    const seen: unknown[] = [];
    const made = wasmFunction(
      "v(iiiiijj)",
      (...args: readonly unknown[]) => void seen.push(...args),
    );
    (made as (...args: unknown[]) => void)(1, 2, 3, 4, 5, -6n, 2n ** 62n);
    expect(seen).toEqual([1, 2, 3, 4, 5, -6n, 2n ** 62n]);
  });

  test("wasmFunction() keeps functions of one signature apart", () => {
    const one = wasmFunction("i()", () => 1) as () => number;
    const two = wasmFunction("i()", () => 2) as () => number;
    expect([one(), two(), one()]).toEqual([1, 2, 1]);
  });

  test("wasmFunction() serves every signature of sqlite-wasm's structs", () => {
    const { capi } = sqlite3;
    const structs = [capi.sqlite3_io_methods, capi.sqlite3_vfs, capi.sqlite3_module] as unknown as {
      readonly structInfo: { readonly members: Record<string, { readonly signature: string }> };
    }[];
    const signatures = structs
      .flatMap(({ structInfo }) => Object.values(structInfo.members))
      .flatMap(({ signature }) =>
        signature.includes("(") ? [signature.replace(/^[psP]/, "i")] : [],
      );
    expect(signatures.length).toBeGreaterThan(50);
    for (const signature of signatures)
      expect(wasmFunction(signature, () => 0)).toBeTypeOf("function");
  });

  test("wasmFunction() refuses a signature that SQLite does not have", () => {
    expect(() => wasmFunction("d(d)", () => 0)).toThrow(
      "Cannot make a wasm function with the signature d(d)",
    );
  });
});

describe("hybridFunction()", () => {
  const write = (plain: WasmFunction, suspending: (...args: never[]) => Promise<number>) =>
    hybridFunction("i(ppij)", plain, suspending) as (
      file: number,
      from: number,
      amount: number,
      offset: bigint,
    ) => number;

  test("hybridFunction() returns what the plain function returns, and does not suspend", () => {
    const codes = [0, 5, -1, 0x7fff_ffff];
    const hybrid = write(
      () => codes.shift()!,
      () => Promise.reject(new Error("not to be called")),
    );
    expect([0, 5, -1, 0x7fff_ffff].map(() => hybrid(1, 2, 3, 4n))).toEqual([0, 5, -1, 0x7fff_ffff]);
  });

  test("hybridFunction() suspends a promising call with the same arguments", async () => {
    const seen: unknown[] = [];
    const hybrid = write(
      () => SUSPEND,
      async (...args: readonly unknown[]) => {
        await Promise.resolve();
        seen.push(...args);
        return 7;
      },
    );
    expect(await promising(hybrid)(1, 2, 3, 4n)).toBe(7);
    expect(seen).toEqual([1, 2, 3, 4n]);
  });

  test("hybridFunction() throws where it must suspend and the call is not promising", () => {
    const control = hybridFunction(
      "i(pip)",
      () => SUSPEND,
      () => Promise.resolve(0),
    ) as (file: number, op: number, arg: number) => number;
    expect(() => control(1, 2, 3)).toThrow(/suspend/i);
  });

  test("hybridFunction() hands a rejection to the caller", async () => {
    const hybrid = write(
      () => SUSPEND,
      () => Promise.reject(new Error("no answer")),
    );
    await expect(promising(hybrid)(1, 2, 3, 4n)).rejects.toThrow("no answer");
  });

  test("hybridFunction() makes what SQLite suspends on", async () => {
    const made = hybridFunction(
      "i(pip)",
      (file: number) => (file === 0 ? 0 : SUSPEND),
      (_file: number, op: number) => Promise.resolve(op + 1),
    );
    expect(await promising(installed("i(pip)", made))(9, 20, 0)).toBe(21);
    expect((installed("i(pip)", made) as (...args: number[]) => number)(0, 20, 0)).toBe(0);
  });

  test("hybridFunction() refuses a signature that has no hybrid", () => {
    expect(() =>
      hybridFunction(
        "i(p)",
        () => 0,
        () => Promise.resolve(0),
      ),
    ).toThrow("Cannot make a wasm function with the signature hybrid i(i)");
  });
});

describe("canSuspend()", () => {
  test("canSuspend() tells of a runtime that cannot, where the others refuse", () => {
    const runtime = WebAssembly as unknown as { Suspending?: unknown };
    const { Suspending } = runtime;
    expect(canSuspend()).toBe(true);
    delete runtime.Suspending;
    try {
      expect(canSuspend()).toBe(false);
      expect(() => promising(() => 0)).toThrow("no WebAssembly.Suspending");
    } finally {
      Object.defineProperty(runtime, "Suspending", {
        value: Suspending,
        writable: true,
        configurable: true,
      });
    }
  });
});

describe("useTrampoline()", () => {
  test("useTrampoline() refuses what is not the trampoline", () => {
    const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    for (const wrong of [empty, {} as WebAssembly.Module]) {
      const refused = (): unknown => {
        try {
          return useTrampoline(wrong);
        } catch (error) {
          return error;
        }
      };
      expect(isPagestreamError(refused(), "INVALID_ARGUMENT")).toBe(true);
    }
  });
});
