import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { collect } from "pagestream/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fileStore } from "./file-store.ts";
import { removeLeftBehind } from "./file-write.ts";

const base = mkdtempSync(join(tmpdir(), "pagestream-file-crash-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Kills itself before the call of the file system with the number it is given, of those that change something. */
const WRITER = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  const pool = fs.promises;
  let left = Number(process.argv[4]);
  const step = () => { if (left-- === 0) process.kill(process.pid, "SIGKILL"); };
  const handle = await pool.open(process.argv[1] ?? ".", "r");
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  const { statfs } = pool;
  pool.statfs = async (path) =>
    process.argv[5] === "share" ? { ...(await statfs(path)), type: 0x6969 } : await statfs(path);
  const wrap = (object, name) => {
    const original = object[name];
    object[name] = function (...args) { step(); return original.apply(this, args); };
  };
  for (const name of ["mkdir", "open", "rename", "link", "unlink"]) {
    wrap(pool, name);
    wrap(fs, name + "Sync");
  }
  for (const name of ["write", "utimes", "sync", "close"]) wrap(prototype, name);
  for (const name of ["write", "fsync", "writeSync", "futimesSync", "closeSync"]) wrap(fs, name);
  syncBuiltinESMExports();
  const { fileStore } = await import("./file-store.mjs");
  const body = async function* () { for (let i = 0; i < 3; i++) yield new Uint8Array(300_000).fill(7); };
  const create = process.argv[3] === "create" ? { ifNoneMatch: "*" } : {};
  const metadata = { "litestream-timestamp": "2026-01-02T03:04:05.678Z" };
  await fileStore(process.argv[2]).put("ltx/0/a", body(), { metadata, ...create });
`;

const WHOLE = Buffer.alloc(900_000, 7);
const OLD = Buffer.alloc(10, 1);

beforeAll(async () => {
  await build({
    entryPoints: [source("./file-store.ts")],
    outfile: join(base, "file-store.mjs"),
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "error",
    alias: {
      pagestream: source("../../src/api/index.ts"),
      "pagestream/transports/store-kit": source("../../src/transports/store-kit.ts"),
    },
  });
  writeFileSync(join(base, "writer.mjs"), WRITER);
});

describe("fileStore", () => {
  test.for([
    ["create", "local"],
    ["replace", "local"],
    ["create", "share"],
  ])(
    "put() that is killed at any step leaves the old object or the new one (%s, %s)",
    async ([mode = "", place = ""]) => {
      const seen = new Set<string>();
      for (let step = 0; ; step++) {
        const root = join(base, `${mode}-${place}-${step}`);
        const store = fileStore(root);
        if (mode === "replace") await store.put("ltx/0/a", OLD);
        const args = [join(base, "writer.mjs"), root, mode, String(step), place];
        const { signal, stderr } = spawnSync(process.execPath, args);
        expect(String(stderr)).toBe("");
        const listed = await collect(store.list());
        const state = listed.map(({ key, size }) => `${key} ${size}`).join();
        seen.add(state);
        const before = mode === "replace" ? OLD : undefined;
        const found = listed.length === 0 ? undefined : readFileSync(join(root, "ltx/0/a"));
        const expected = found?.length === WHOLE.length ? WHOLE : before;
        expect([step, found?.length]).toEqual([step, expected?.length]);
        if (expected !== undefined && found !== undefined)
          expect(found.equals(expected)).toBe(true);

        // Another writer goes on, and what was left behind goes when it is old, not before.
        await store.put("ltx/0/b", OLD);
        const folder = join(root, "ltx/0");
        const temporary = readdirSync(folder).filter((name) => name.endsWith(".tmp"));
        await removeLeftBehind(folder, Date.now() + 23 * 3600 * 1000);
        expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual(temporary);
        await removeLeftBehind(folder, Date.now() + 25 * 3600 * 1000);
        const names = state === "" ? ["b"] : ["a", "b"];
        expect(readdirSync(folder).sort()).toEqual(names);
        if (signal !== null) continue;
        expect(step).toBeGreaterThan(10);
        break;
      }
      expect(seen.size).toBe(2);
    },
  );

  test("put() whose temporary file somebody removes fails, and may be tried again", async () => {
    const root = join(base, "removed");
    const store = fileStore(root);
    for (const options of [{}, { ifNoneMatch: "*" as const }]) {
      const body = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(10);
        await removeLeftBehind(join(root, "ltx/0"), Date.now() + 1e12);
      };
      await expect(store.put("ltx/0/a", body(), options)).rejects.toMatchObject({
        code: "STORE",
        retryable: true,
      });
    }
    expect(await collect(store.list())).toEqual([]);
  });

  test("list() skips what Litestream is writing, and such names cannot be keys", async () => {
    const root = join(base, "litestream");
    const store = fileStore(root);
    await store.put("ltx/0/a.ltx", OLD);
    writeFileSync(join(root, "ltx/0/b.ltx.tmp"), "half");
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(["ltx/0/a.ltx"]);
    await expect(store.put("ltx/0/b.ltx.tmp", OLD)).rejects.toThrow("reserved");
    // It is not ours to remove.
    await removeLeftBehind(join(root, "ltx/0"), Date.now() + 1e12);
    expect(readdirSync(join(root, "ltx/0")).sort()).toEqual(["a.ltx", "b.ltx.tmp"]);
  });
});
