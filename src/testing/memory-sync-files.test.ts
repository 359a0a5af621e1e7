import { describe, expect, test } from "vitest";
import { type FileOperation, memorySyncFiles } from "./memory-sync-files.ts";
import { seededRandom } from "./seeded-random.ts";
import { testSyncFiles } from "./test-sync-files.ts";

testSyncFiles(() => ({ files: memorySyncFiles(), directory: "/" }), {
  describe,
  test,
  expect,
  name: "memorySyncFiles() contract",
});

describe("memorySyncFiles", () => {
  test("crash() of the process keeps every byte, and ends handles and locks", () => {
    const files = memorySyncFiles();
    const file = files.open("a", { mode: "create" });
    file.write(new Uint8Array([1, 2]), 0);
    const lock = files.lock("a");
    files.crash("process");
    expect(files.bytes("a")).toEqual(new Uint8Array([1, 2]));
    expect(() => file.write(new Uint8Array(1), 0)).toThrow("EBADF");
    const next = files.lock("a");
    lock.release();
    expect(() => files.lock("a")).toThrow();
    next.release();
  });

  test("crash() of the power keeps what was synced", () => {
    for (let seed = 0; seed < 50; seed++) {
      const files = memorySyncFiles();
      files.makeDirectory("/d");
      const file = files.open("/d/a", { mode: "create" });
      const bytes = seededRandom(seed).bytes(5000);
      file.write(bytes, 0);
      file.sync();
      files.syncDirectory("/d");
      files.syncDirectory("/");
      files.crash("power", seededRandom(seed));
      expect(files.bytes("/d/a")).toEqual(bytes);
    }
  });

  test("crash() of the power keeps of unsynced writes any sectors, whole", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const files = memorySyncFiles();
      files.place("a", new Uint8Array(1024).fill(1));
      const file = files.open("a", { mode: "write" });
      file.write(new Uint8Array(1024).fill(2), 0);
      files.crash("power", seededRandom(seed));
      const bytes = files.bytes("a") ?? new Uint8Array();
      expect(bytes.length).toBe(1024);
      for (const start of [0, 512]) {
        expect(new Set(bytes.subarray(start, start + 512)).size).toBe(1);
      }
      outcomes.add(`${bytes[0]}${bytes[512]}`);
    }
    expect([...outcomes].sort()).toEqual(["11", "12", "21", "22"]);
  });

  test("crash() of the power leaves an unsynced size at the old, the new or one between", () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const files = memorySyncFiles();
      files.place("a", new Uint8Array(10).fill(1));
      const file = files.open("a", { mode: "write" });
      file.write(new Uint8Array(10).fill(2), 10);
      files.crash("power", seededRandom(seed));
      sizes.add(files.bytes("a")?.length ?? -1);
    }
    expect(Math.min(...sizes)).toBe(10);
    expect(Math.max(...sizes)).toBe(20);
    expect(sizes.size).toBeGreaterThan(5);
  });

  test("crash() of the power undoes an unsynced truncation whole, or not at all", () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const files = memorySyncFiles();
      const file = files.open("/a", { mode: "create" });
      file.write(new Uint8Array(4096).fill(7), 0);
      file.sync();
      files.syncDirectory("/");
      file.truncate(0);
      files.crash("power", seededRandom(seed));
      const bytes = files.bytes("/a") as Uint8Array;
      expect(bytes.every((byte) => byte === 7)).toBe(true);
      sizes.add(bytes.length);
    }
    expect([...sizes].sort()).toEqual([0, 4096]);
  });

  test("crash() of the power may lose entries of a directory that was not synced", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const files = memorySyncFiles();
      files.place("old", new Uint8Array([1]));
      const file = files.open("new", { mode: "create" });
      file.write(new Uint8Array([2]), 0);
      file.sync();
      files.rename("new", "old");
      files.crash("power", seededRandom(seed));
      outcomes.add(
        files
          .paths()
          .map((path) => path + files.bytes(path))
          .join(),
      );
      expect(files.identity("old")).toBeDefined();
    }
    expect([...outcomes].sort()).toEqual(["/new2,/old1", "/old1", "/old2"]);
  });

  test("crash() keeps a beginning of the directory changes when they are ordered", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const files = memorySyncFiles();
      for (const name of ["a", "b", "c"]) files.open(name, { mode: "create" }).close();
      files.crash("power", seededRandom(seed), { directories: "ordered" });
      outcomes.add(files.paths().join());
    }
    expect([...outcomes].sort()).toEqual(["", "/a", "/a,/b", "/a,/b,/c"]);
  });

  test("crash() of the power loses a file with its directory", () => {
    const files = memorySyncFiles();
    files.makeDirectory("/d");
    files.open("/d/a", { mode: "create" }).close();
    files.syncDirectory("/d");
    const lost = { ...seededRandom(1), chance: () => false };
    files.crash("power", lost);
    expect(files.paths()).toEqual([]);
    expect(() => files.open("/d/a", { mode: "create" })).toThrow("ENOENT");
  });

  test("onOperation() sees each call first and can make it fail without effect", () => {
    const seen: FileOperation[] = [];
    let fail = false;
    const files = memorySyncFiles({
      onOperation(operation) {
        seen.push(operation);
        if (fail) throw new Error("full");
      },
    });
    const file = files.open("a", { mode: "create" });
    file.write(new Uint8Array([1]), 0);
    fail = true;
    expect(() => file.write(new Uint8Array([2]), 0)).toThrow("full");
    expect(() => files.remove("a")).toThrow("full");
    expect(seen.map(({ type, path }) => `${type} ${path}`)).toEqual([
      "open /a",
      "write /a",
      "write /a",
      "remove /a",
    ]);
    expect(files.bytes("a")).toEqual(new Uint8Array([1]));
  });
});
