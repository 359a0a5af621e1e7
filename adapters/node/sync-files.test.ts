import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testSyncFiles } from "pagestream/testing";
import { afterAll, describe, expect, test } from "vitest";
import { findLockOwner } from "../files/file-lock.ts";
import { syncFiles } from "./files.ts";

const base = fs.mkdtempSync(join(tmpdir(), "pagestream-sync-files-"));
let count = 0;
const freshDirectory = (): string => {
  const directory = join(base, String(++count));
  fs.mkdirSync(directory);
  return directory;
};

afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

testSyncFiles(() => ({ files: syncFiles(), directory: freshDirectory() }), {
  describe,
  test,
  expect,
  name: "syncFiles() contract",
});

describe("syncFiles", () => {
  test("fullPath() resolves links of existing parts, dangling ones too", () => {
    const directory = fs.realpathSync(freshDirectory());
    fs.mkdirSync(join(directory, "real"));
    fs.symlinkSync("real", join(directory, "link"));
    fs.symlinkSync(join("real", "later.db"), join(directory, "dangling"));
    const { fullPath } = syncFiles();
    expect(fullPath(join(directory, "link/new/app.db"))).toBe(join(directory, "real/new/app.db"));
    expect(fullPath(join(directory, "dangling"))).toBe(join(directory, "real/later.db"));
    expect(fullPath("x.db")).toBe(join(fs.realpathSync(process.cwd()), "x.db"));
  });

  test("open() gives files the mode asked for", () => {
    const directory = freshDirectory();
    const files = syncFiles({ fileMode: 0o600, directoryMode: 0o700 });
    files.open(join(directory, "a"), { mode: "create" }).close();
    files.makeDirectory(join(directory, "d/e"));
    expect(fs.statSync(join(directory, "a")).mode & 0o777).toBe(0o600);
    expect(fs.statSync(join(directory, "d/e")).mode & 0o777).toBe(0o700);
  });
});

describe("lock", () => {
  const files = syncFiles();

  test("lock() finds a file under its other names", () => {
    const directory = freshDirectory();
    const path = join(directory, "a.db");
    fs.writeFileSync(path, "");
    fs.linkSync(path, join(directory, "hard.db"));
    fs.symlinkSync("a.db", join(directory, "soft.db"));
    const lock = files.lock(path);
    for (const name of ["a.db", "hard.db", "soft.db"]) {
      expect(() => files.lock(join(directory, name))).toThrow(
        expect.objectContaining({ code: "DATABASE_LOCKED" }),
      );
    }
    lock.release();
    files.lock(join(directory, "hard.db")).release();
  });

  test("lock() finds a hard link to a file that was made after it was locked", () => {
    const directory = freshDirectory();
    const lock = files.lock(join(directory, "a.db"));
    fs.writeFileSync(join(directory, "a.db"), "");
    fs.linkSync(join(directory, "a.db"), join(directory, "b.db"));
    expect(() => files.lock(join(directory, "b.db"))).toThrow("already");
    lock.release();
  });

  test("lock() leaves an empty side file and writes nothing to standard error", async () => {
    const path = join(freshDirectory(), "a.db");
    const child = lockingChild(path);
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    await once(child.stdout, "data");
    expect(fs.statSync(`${path}.pagestream-lock`).size).toBe(0);
    expect(fs.readdirSync(join(path, ".."))).toEqual(["a.db.pagestream-lock"]);
    child.kill("SIGTERM");
    await once(child, "close");
    expect(errors).toBe("");
  });

  test("lock() of another process is respected until SIGKILL ends it", async () => {
    const path = join(freshDirectory(), "a.db");
    const child = lockingChild(path);
    await once(child.stdout, "data");
    for (let i = 0; i < 3; i++) {
      expect(() => files.lock(path)).toThrow(
        expect.objectContaining({
          code: "DATABASE_LOCKED",
          message: expect.stringContaining("another process"),
        }),
      );
    }
    child.kill("SIGKILL");
    await once(child, "close");
    files.lock(path).release();
  });

  test("lock() is held by the kernel, so that another process sees it", async () => {
    const path = join(freshDirectory(), "a.db");
    const lock = files.lock(path);
    const outcome = async (): Promise<string> => {
      const child = lockingChild(path);
      const text = await Promise.race([once(child.stdout, "data"), once(child.stderr, "data")]);
      child.kill("SIGKILL");
      await once(child, "close");
      return String(text);
    };
    expect(await outcome()).toContain("database is locked");
    lock.release();
    expect(await outcome()).toBe("locked\n");
  });

  test.runIf(process.platform === "linux")(
    "lock() is refused while native SQLite of any process has locks on the database",
    async () => {
      const path = join(freshDirectory(), "a.db");
      const child = runChild(`
        const { DatabaseSync } = require("node:sqlite");
        const db = new DatabaseSync(${JSON.stringify(path)});
        db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(x); SELECT * FROM t");
        console.log("ready");
        setInterval(() => undefined, 1000);`);
      await once(child.stdout, "data");
      expect(() => files.lock(path)).toThrow(`process ${child.pid} has SQLite locks`);
      child.kill("SIGKILL");
      await once(child, "close");
      const lock = files.lock(path);
      lock.release();
      const { DatabaseSync } = await import("node:sqlite");
      const db = new DatabaseSync(path);
      db.exec("BEGIN IMMEDIATE");
      expect(() => files.lock(path)).toThrow(`process ${process.pid} has SQLite locks`);
      db.close();
      files.lock(path).release();
    },
  );

  test("lock() fails with IO where its side file cannot be", () => {
    expect(() => files.lock(join(base, "no/such/a.db"))).toThrow(
      expect.objectContaining({ code: "IO" }),
    );
  });

  test("findLockOwner() reads device, inode and owner of granted locks alone", () => {
    const table = [
      "1: POSIX  ADVISORY  WRITE 5058 fe:00:9978054 1073741824 1073742335",
      "1: -> POSIX  ADVISORY  WRITE 6000 fe:00:777 0 EOF",
      "2: OFDLCK ADVISORY  READ -1 08:01:42 0 EOF",
      "3: LEASE  ACTIVE    READ 99 fe:00:55 0 EOF",
      "4: FLOCK  ADVISORY  WRITE 812 00:2b:1234 0 EOF",
    ].join("\n");
    const owner = (device: bigint, inode: bigint): number | undefined =>
      findLockOwner(table, { device, inode, links: 1, size: 0 });
    expect(owner(0xfe00n, 9978054n)).toBe(5058);
    expect(owner(0xfe01n, 9978054n)).toBeUndefined();
    expect(owner(0xfe00n, 9978055n)).toBeUndefined();
    expect(owner(0xfe00n, 777n)).toBeUndefined();
    expect(owner(0x801n, 42n)).toBe(-1);
    expect(owner(0xfe00n, 55n)).toBeUndefined();
    // Anonymous devices (btrfs) have two numbers.
    expect(owner(0x31n, 1234n)).toBe(812);
  });
});

function runChild(program: string): ReturnType<typeof spawn> & {
  stdout: NonNullable<ReturnType<typeof spawn>["stdout"]>;
  stderr: NonNullable<ReturnType<typeof spawn>["stderr"]>;
} {
  return spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "pipe"] });
}

/** A process that takes the lock as the library does, without a build of it: the statements are the contract. */
function lockingChild(path: string): ReturnType<typeof runChild> {
  return runChild(`
    const { DatabaseSync } = require("node:sqlite");
    const db = new DatabaseSync(${JSON.stringify(`${path}.pagestream-lock`)}, { timeout: 0 });
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    console.log("locked");
    setInterval(() => undefined, 1000);`);
}
