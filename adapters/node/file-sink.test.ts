import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { difference, failure, seededRandom } from "pagestream/testing";
import { afterAll, describe, expect, test } from "vitest";
import { fileSink, recoverTarget, syncFiles } from "./files.ts";

const base = fs.mkdtempSync(join(tmpdir(), "pagestream-file-sink-"));
let count = 0;
const freshPath = (): string => {
  const directory = join(base, String(++count));
  fs.mkdirSync(directory);
  return join(directory, "app.db");
};
const names = (path: string): string[] => fs.readdirSync(join(path, "..")).sort();

afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

/** The bytes of a database with some rows. */
function database(rows: number, journal = "DELETE"): Uint8Array {
  const path = freshPath();
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = ${journal}; CREATE TABLE t(x); CREATE INDEX i ON t(x)`);
  const insert = db.prepare("INSERT INTO t VALUES (?)");
  db.exec("BEGIN");
  for (let i = 0; i < rows; i++) insert.run(`row ${i}`);
  db.exec("COMMIT");
  db.close();
  return fs.readFileSync(path);
}

async function write(
  path: string,
  bytes: Uint8Array,
  options?: Parameters<typeof fileSink>[1],
): Promise<void> {
  const sink = fileSink(path, options);
  await sink.start({ pageSize: 4096, size: bytes.length });
  await sink.write(0, bytes);
  await sink.truncate(bytes.length);
  await sink.finish();
}

describe("fileSink", () => {
  test("fileSink() writes what it is given, in pieces of any size, and nothing is visible before", async () => {
    const path = freshPath();
    const bytes = seededRandom(1).bytes(9_000_000);
    const sink = fileSink(path);
    expect(sink).toMatchObject({ name: path, journalHeader: "keep" });
    await sink.start({ pageSize: 4096, size: bytes.length });
    const random = seededRandom(2);
    for (let offset = 0; offset < bytes.length;) {
      const part = bytes.slice(offset, offset + 1 + random.int(random.pick([100_000, 3_000_000])));
      await sink.write(offset, part);
      // The array is the caller's again.
      part.fill(0);
      offset += Math.min(part.length, bytes.length - offset);
    }
    await sink.truncate(bytes.length);
    expect(fs.existsSync(path)).toBe(false);
    await sink.finish();
    expect(difference(fs.readFileSync(path), bytes)).toBe("");
    expect(names(path)).toEqual(["app.db"]);
    expect(fs.statSync(path).mode & 0o777).toBe(0o644 & ~process.umask());
  });

  test("fileSink() leaves what was skipped as zeros", async () => {
    const path = freshPath();
    const sink = fileSink(path);
    await sink.start({ pageSize: 512, size: 5000 });
    await sink.write(0, new Uint8Array(512).fill(1));
    await sink.write(1024, new Uint8Array(512).fill(2));
    await sink.truncate(5000);
    await sink.finish();
    const bytes = fs.readFileSync(path);
    expect([bytes.length, bytes[511], bytes[512], bytes[1023], bytes[1024], bytes[4999]]).toEqual([
      5000, 1, 0, 0, 2, 0,
    ]);
  });

  test("fileSink() makes missing directories", async () => {
    const path = join(freshPath(), "..", "a/b/app.db");
    await write(path, new Uint8Array(10));
    expect(fs.statSync(path).size).toBe(10);
  });

  test("fileSink() refuses a target with a database or side files, unless forced", async () => {
    for (const suffix of ["", "-wal", "-journal", "-shm"]) {
      const path = freshPath();
      fs.writeFileSync(path + suffix, "x");
      expect(await failure(() => write(path, new Uint8Array(10)))).toBe("TARGET_EXISTS");
      expect(names(path)).toEqual([basename(path) + suffix]);
      await write(path, new Uint8Array(10).fill(7), { force: true });
      expect(names(path).filter((name) => !name.endsWith("-lock"))).toEqual(["app.db"]);
      expect(fs.readFileSync(path)[0]).toBe(7);
    }
    const empty = freshPath();
    fs.writeFileSync(empty, "");
    await write(empty, new Uint8Array(10));
    expect(fs.statSync(empty).size).toBe(10);
  });

  test("fileSink() refuses a file that appears while it writes", async () => {
    const path = freshPath();
    const sink = fileSink(path);
    await sink.start({ pageSize: 512, size: 512 });
    await sink.write(0, new Uint8Array(512));
    fs.writeFileSync(path, "somebody's");
    expect(await failure(() => sink.finish())).toBe("TARGET_EXISTS");
    await sink.abort();
    expect(names(path)).toEqual(["app.db"]);
    expect(fs.readFileSync(path, "utf8")).toBe("somebody's");
  });

  test("fileSink() with force keeps the mode and follows a link to the file it replaces", async () => {
    const path = freshPath();
    fs.writeFileSync(path, "old", { mode: 0o600 });
    const link = join(path, "../link.db");
    fs.symlinkSync("app.db", link);
    await write(link, new Uint8Array(10), { force: true });
    expect(fs.lstatSync(link).isSymbolicLink()).toBe(true);
    expect(fs.statSync(path).size).toBe(10);
    expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  });

  test("fileSink() with force refuses a database that is in use", async () => {
    const path = freshPath();
    fs.writeFileSync(path, database(10));
    const lock = syncFiles().lock(path);
    const force = { force: true };
    expect(await failure(() => write(path, new Uint8Array(10), force))).toBe("DATABASE_LOCKED");
    await write(path, database(20), { force: true, locked: true });
    lock.release();
    const db = new DatabaseSync(path);
    db.exec("BEGIN IMMEDIATE");
    if (process.platform === "linux") {
      expect(await failure(() => write(path, new Uint8Array(10), force))).toBe("DATABASE_LOCKED");
    }
    expect(db.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 20 });
    db.close();
    await write(path, new Uint8Array(10), force);
  });

  test("abort() leaves the target as it was, at any time, also twice", async () => {
    const path = freshPath();
    fs.writeFileSync(path, "old");
    const unstarted = fileSink(path, { force: true });
    await unstarted.abort();
    const sink = fileSink(path, { force: true });
    await sink.start({ pageSize: 512, size: 1 << 22 });
    await sink.write(0, new Uint8Array(3 << 20));
    await sink.abort();
    await sink.abort();
    expect(names(path).filter((name) => !name.endsWith("-lock"))).toEqual(["app.db"]);
    expect(fs.readFileSync(path, "utf8")).toBe("old");
    expect(await failure(() => sink.write(0, new Uint8Array(1)))).toBe("CLOSED");
    await write(path, new Uint8Array(5), { force: true });
  });

  test("a newer restore of the same target makes the older one fail, and mixes nothing", async () => {
    const path = freshPath();
    const older = fileSink(path);
    await older.start({ pageSize: 512, size: 512 });
    await older.write(0, new Uint8Array(512).fill(1));
    const newer = fileSink(path);
    await newer.start({ pageSize: 512, size: 512 });
    expect(await failure(() => older.finish())).toBe("IO");
    await older.abort();
    await newer.write(0, new Uint8Array(512).fill(2));
    await newer.truncate(512);
    expect(await failure(() => newer.finish())).toBe("IO");
    await newer.abort();
    expect(names(path)).toEqual([]);
  });

  test("check() runs SQLite's check and leaves no side files, with a WAL-marked file too", async () => {
    for (const journal of ["DELETE", "WAL"]) {
      const path = freshPath();
      const bytes = database(2000, journal);
      expect(bytes[18]).toBe(journal === "WAL" ? 2 : 1);
      const digest = createHash("sha256").update(bytes).digest("hex");
      const sink = fileSink(path);
      await sink.start({ pageSize: 4096, size: bytes.length });
      await sink.write(0, bytes);
      await sink.truncate(bytes.length);
      expect(await sink.check?.("quick")).toBe("ok");
      expect(await sink.check?.("full")).toBe("ok");
      expect(names(path).length).toBe(1);
      await sink.finish();
      expect(createHash("sha256").update(fs.readFileSync(path)).digest("hex")).toBe(digest);
      expect(names(path)).toEqual(["app.db"]);
    }
  });

  test("check() tells of a damaged page and of bytes that are no database", async () => {
    const bytes = database(2000);
    bytes.fill(0xff, 8192, 12288);
    for (const content of [bytes, seededRandom(3).bytes(8192)]) {
      const sink = fileSink(freshPath());
      await sink.start({ pageSize: 4096, size: content.length });
      await sink.write(0, content);
      await sink.truncate(content.length);
      const result = await sink.check?.("quick");
      expect(result).not.toBe("ok");
      expect(result?.length).toBeGreaterThan(5);
      await sink.abort();
    }
  });

  test("check() works on paths that look like parts of a URL", async () => {
    const directory = join(base, "a?b#c%20d e");
    fs.mkdirSync(directory);
    const bytes = database(5);
    const sink = fileSink(join(directory, "x?immutable=0.db"));
    await sink.start({ pageSize: 4096, size: bytes.length });
    await sink.write(0, bytes);
    expect(await sink.check?.("full")).toBe("ok");
    await sink.abort();
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  test("recoverTarget() puts back what an interrupted restore moved away", async () => {
    const path = freshPath();
    fs.writeFileSync(`${path}.before-restore`, "old");
    fs.writeFileSync(`${path}-wal.before-restore`, "old wal");
    fs.writeFileSync(`${path}.restoring`, "new");
    expect(recoverTarget(path)).toBe("undone");
    expect(names(path)).toEqual(["app.db", "app.db-wal"]);
    expect(recoverTarget(path)).toBe("clean");
    expect(recoverTarget(join(base, "none/app.db"))).toBe("clean");
  });
});
