/**
 * The contract of {@linkcode SyncFiles} as a test suite.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { SyncFiles } from "../core/sync-files.ts";
import { seededRandom } from "./seeded-random.ts";
import { difference, type TestKit } from "./test-kit.ts";

/** A test runner and a title. */
export interface SyncFilesTestOptions extends TestKit {
  /** Title of the suite. @default "synchronous files contract" */
  readonly name?: string | undefined;
}

/** What one test works with. */
export interface SyncFilesCase {
  /** The calls under test; one set may serve all tests. */
  readonly files: SyncFiles;
  /** An empty directory of the test's own. */
  readonly directory: string;
}

/**
 * Registers the tests that every runtime's file calls must pass. `make` is called once per test.
 *
 * @example
 * ```ts ignore
 * testSyncFiles(() => ({ files: memorySyncFiles(), directory: "/" }), { describe, test, expect });
 * ```
 */
export function testSyncFiles(make: () => SyncFilesCase, options: SyncFilesTestOptions): void {
  const { describe, test, expect } = options;
  const filesTest = (
    name: string,
    body: (files: SyncFiles, path: (name: string) => string) => void,
  ): void => {
    test(name, () => {
      const { files, directory } = make();
      body(files, (file) => `${directory.replace(/\/$/, "")}/${file}`);
    });
  };
  const thrown = (call: () => unknown): string => {
    try {
      call();
      return "nothing";
    } catch (error) {
      return isPagestreamError(error) ? error.code : String((error as { code?: unknown }).code);
    }
  };

  describe(options.name ?? "synchronous files contract", () => {
    filesTest("open() makes, needs or refuses the file as its mode says", (files, path) => {
      expect(thrown(() => files.open(path("a"), { mode: "read" }))).toBe("ENOENT");
      expect(thrown(() => files.open(path("a"), { mode: "write" }))).toBe("ENOENT");
      files.open(path("a"), { mode: "create" }).close();
      files.open(path("b"), { mode: "exclusive" }).close();
      expect(thrown(() => files.open(path("b"), { mode: "exclusive" }))).toBe("EEXIST");
      const file = files.open(path("a"), { mode: "create" });
      file.write(new Uint8Array([1]), 0);
      file.close();
      const again = files.open(path("a"), { mode: "create" });
      expect(again.size()).toBe(1);
      again.close();
      const reader = files.open(path("a"), { mode: "read" });
      expect(thrown(() => reader.write(new Uint8Array(1), 0)) === "nothing").toBe(false);
      reader.close();
      expect(thrown(() => files.open(path("no/a"), { mode: "create" }))).toBe("ENOENT");
    });

    filesTest(
      "write() and read() work at any offset, and read() is short at the end",
      (files, path) => {
        const file = files.open(path("a"), { mode: "create" });
        const bytes = seededRandom(1).bytes(100_000);
        file.write(bytes, 0);
        file.write(bytes.subarray(0, 10), 200_000);
        expect(file.size()).toBe(200_010);
        const into = new Uint8Array(100_000);
        expect(file.read(into, 0)).toBe(100_000);
        expect(difference(into, bytes)).toBe("");
        const hole = new Uint8Array(100).fill(9);
        expect(file.read(hole, 150_000)).toBe(100);
        expect(hole.every((byte) => byte === 0)).toBe(true);
        const tail = new Uint8Array(100).fill(9);
        expect(file.read(tail, 200_005)).toBe(5);
        expect([...tail.subarray(0, 6)]).toEqual([...bytes.subarray(5, 10), 9]);
        expect(file.read(tail, 200_010)).toBe(0);
        expect(file.read(tail, 900_000)).toBe(0);
        expect(file.read(new Uint8Array(0), 0)).toBe(0);
        file.write(new Uint8Array(0), 900_000);
        expect(file.size()).toBe(200_010);
        file.sync();
        file.close();
      },
    );

    filesTest("truncate() cuts and grows, and what it grows is zero", (files, path) => {
      const file = files.open(path("a"), { mode: "create" });
      file.write(new Uint8Array(1000).fill(7), 0);
      file.truncate(10);
      expect(file.size()).toBe(10);
      file.truncate(20);
      const into = new Uint8Array(20);
      expect(file.read(into, 0)).toBe(20);
      expect([...into.subarray(8, 12)]).toEqual([7, 7, 0, 0]);
      file.close();
    });

    filesTest("identity() follows the file, not the name", (files, path) => {
      expect(files.identity(path("a"))).toBe(undefined);
      const file = files.open(path("a"), { mode: "create" });
      file.write(new Uint8Array(5), 0);
      const own = file.identity();
      expect(files.identity(path("a"))).toEqual(own);
      expect([own.links, own.size]).toEqual([1, 5]);
      files.rename(path("a"), path("b"));
      expect(files.identity(path("a"))).toBe(undefined);
      expect(files.identity(path("b"))?.inode).toBe(own.inode);
      files.open(path("a"), { mode: "create" }).close();
      expect(files.identity(path("a"))?.inode === own.inode).toBe(false);
      files.rename(path("a"), path("b"));
      expect(file.identity().links).toBe(0);
      expect(file.identity().inode).toBe(own.inode);
      file.close();
    });

    filesTest(
      "remove() tells whether there was a file, and leaves open ones readable",
      (files, path) => {
        expect(files.remove(path("a"))).toBe(false);
        const file = files.open(path("a"), { mode: "create" });
        file.write(new Uint8Array([3]), 0);
        expect(files.remove(path("a"))).toBe(true);
        expect(files.remove(path("a"))).toBe(false);
        const into = new Uint8Array(1);
        expect(file.read(into, 0)).toBe(1);
        expect([into[0], file.identity().links]).toEqual([3, 0]);
        file.close();
      },
    );

    filesTest("list() gives sorted names of files and directories", (files, path) => {
      expect(files.list(path("none"))).toEqual([]);
      files.makeDirectory(path("d/e"));
      files.makeDirectory(path("d/e"));
      for (const name of ["b", "a", "c"]) files.open(path(`d/${name}`), { mode: "create" }).close();
      expect(files.list(path("d"))).toEqual(["a", "b", "c", "e"]);
      expect(files.list(path("d/e"))).toEqual([]);
      files.syncDirectory(path("d"));
    });

    filesTest("rename() of a missing file fails and changes nothing", (files, path) => {
      files.open(path("b"), { mode: "create" }).close();
      expect(thrown(() => files.rename(path("a"), path("b")))).toBe("ENOENT");
      expect(files.identity(path("b")) === undefined).toBe(false);
    });

    filesTest("fullPath() makes paths absolute, also of files to come", (files, path) => {
      const full = files.fullPath(path("x/../y.db"));
      expect(full).toBe(files.fullPath(path("y.db")));
      expect(files.fullPath(full)).toBe(full);
      expect(full.endsWith("y.db")).toBe(true);
    });

    filesTest("lock() is held by one at a time, whatever the path is called", (files, path) => {
      const lock = files.lock(path("a.db"));
      expect(thrown(() => files.lock(path("a.db")))).toBe("DATABASE_LOCKED");
      expect(thrown(() => files.lock(path("./a.db")))).toBe("DATABASE_LOCKED");
      files.lock(path("b.db")).release();
      lock.release();
      const next = files.lock(path("a.db"));
      lock.release();
      expect(thrown(() => files.lock(path("a.db")))).toBe("DATABASE_LOCKED");
      next.release();
    });
  });
}
