import { readFileSync } from "node:fs";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { afterEach, describe, expect, test } from "vitest";
import { installMemoryVfs } from "./memory-vfs.ts";
import { patchWorkerd } from "./patch-workerd.ts";

const trampoline = new WebAssembly.Module(
  readFileSync(new URL("trampoline.wasm", import.meta.url)),
);

const { Module, Instance } = WebAssembly;
let undo = (): void => {};
afterEach(() => undo());

/** As workerd: modules that were compiled ahead are all there is. */
function withoutCompiling<Result>(run: () => Promise<Result>): Promise<Result> {
  const runtime = WebAssembly as unknown as { Module: unknown };
  runtime.Module = new Proxy(Module, {
    construct() {
      throw new WebAssembly.CompileError("Wasm code generation disallowed by embedder");
    },
  });
  return run().finally(() => {
    undo();
    runtime.Module = Module;
  });
}

/** What sqlite-wasm does with a compiled module of its own. */
const compiled = new Module(
  readFileSync(
    new URL("../../node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm", import.meta.url),
  ),
);
const initialise = sqlite3InitModule as (options?: object) => ReturnType<typeof sqlite3InitModule>;
const start = () =>
  initialise({
    instantiateWasm: (
      imports: WebAssembly.Imports,
      done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ) => done(new WebAssembly.Instance(compiled, imports), compiled),
  });

describe("patchWorkerd()", () => {
  test("patchWorkerd() lets SQLite have a VFS, functions and hooks where nothing compiles", async () => {
    await withoutCompiling(async () => {
      undo = patchWorkerd({ trampoline });
      const sqlite3 = await start();
      const memory = installMemoryVfs(sqlite3);
      const db = new sqlite3.oo1.DB(`file:app.db?vfs=${memory.name}`, "c");
      const { capi } = sqlite3;
      // Some of them have a parameter more than their types know.
      const hooks = capi as unknown as Record<string, (...args: readonly unknown[]) => unknown>;
      const seen: string[] = [];
      db.createFunction(
        "plus",
        (_context: number, a: unknown, b: unknown) => Number(a) + Number(b),
      );
      db.createFunction("heard", {
        xStep: (_context: number, value: unknown) => void seen.push(`step ${String(value)}`),
        xFinal: () => seen.length,
      });
      hooks["sqlite3_commit_hook"]!(db, () => (seen.push("commit"), 0), 0);
      hooks["sqlite3_update_hook"]!(db, () => void seen.push("update"), 0);
      hooks["sqlite3_preupdate_hook"]!(db, () => void seen.push("preupdate"), 0);
      hooks["sqlite3_set_authorizer"]!(db, () => 0, 0);
      hooks["sqlite3_busy_handler"]!(db, () => 0, 0);
      hooks["sqlite3_progress_handler"]!(db, 1, () => 0, 0);
      hooks["sqlite3_trace_v2"]!(db, capi.SQLITE_TRACE_STMT, () => 0, 0);
      hooks["sqlite3_create_collation"]!(db, "same", capi.SQLITE_UTF8, 0, () => 0);
      db.exec("CREATE TABLE note(body); INSERT INTO note VALUES (1)");
      expect(db.selectValue("SELECT plus(40, 2)")).toBe(42);
      expect(seen).toEqual(["commit", "preupdate", "update", "commit"]);
      expect(db.selectValue("SELECT heard(body) FROM note")).toBe(5);
      db.close();
    });
  });

  test("patchWorkerd() is what makes it start there", async () => {
    await withoutCompiling(async () => {
      const { error, warn } = console;
      console.error = console.warn = () => {};
      await expect(start()).rejects.toThrow("disallowed by embedder");
      Object.assign(console, { error, warn });
    });
  });

  test("patchWorkerd() leaves all other uses of WebAssembly as they are, and undoes itself", () => {
    undo = patchWorkerd();
    expect(patchWorkerd()).toBe(undo);
    expect(WebAssembly.Module).not.toBe(Module);
    // A module of one exported function that is no wrapper: (func (export "f") (result i32) i32.const 5)
    const bytes = Uint8Array.of(
      0,
      0x61,
      0x73,
      0x6d,
      1,
      0,
      0,
      0,
      1,
      5,
      1,
      0x60,
      0,
      1,
      0x7f,
      3,
      2,
      1,
      0,
      7,
      5,
      1,
      1,
      0x66,
      0,
      0,
      10,
      6,
      1,
      4,
      0,
      0x41,
      5,
      0x0b,
    );
    const module = new WebAssembly.Module(bytes);
    expect(module).toBeInstanceOf(Module);
    expect(WebAssembly.Module.exports(module)).toEqual([{ name: "f", kind: "function" }]);
    const instance = new WebAssembly.Instance(module);
    expect(instance).toBeInstanceOf(WebAssembly.Instance);
    expect((instance.exports["f"] as () => number)()).toBe(5);
    expect(() => new WebAssembly.Module(new Uint8Array(40))).toThrow(WebAssembly.CompileError);
    undo();
    expect([WebAssembly.Module, WebAssembly.Instance]).toEqual([Module, Instance]);
  });

  test("patchWorkerd() refuses another module before it patches anything", () => {
    expect(() => patchWorkerd({ trampoline: compiled })).toThrow("pagestream/trampoline.wasm");
    expect(WebAssembly.Module).toBe(Module);
  });
});
