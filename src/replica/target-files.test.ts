import { describe, expect, test } from "vitest";
import { type MemorySyncFiles, memorySyncFiles, seededRandom } from "../testing/index.ts";
import { recoverFiles, refuseTarget, swapIn, temporaryPath } from "./target-files.ts";

const PATH = "/data/app.db";
const TEMPORARY = temporaryPath(PATH, new Uint8Array(8).fill(0xab));

type Contents = Readonly<Record<string, string>>;

const OLD_SETS: Readonly<Record<string, Contents>> = {
  "a database in WAL mode": { "": "old", "-wal": "old wal", "-shm": "old shm" },
  "a database with a hot journal": { "": "old", "-journal": "old journal" },
  "a database alone": { "": "old" },
  "a database with everything": { "": "old", "-wal": "w", "-journal": "j", "-shm": "s" },
  "a log without its database": { "-wal": "orphan" },
  "an empty database with a log": { "": "", "-wal": "orphan" },
  nothing: {},
};

function contents(files: MemorySyncFiles): Record<string, string> {
  const found: Record<string, string> = {};
  for (const path of files.paths()) {
    found[path.slice(PATH.length)] = new TextDecoder().decode(files.bytes(path));
  }
  return found;
}

/** A file system with an old set and a complete new file, whose calls fail from the n-th change on. */
function setUp(old: Contents): { files: MemorySyncFiles; failAfter(changes: number): void } {
  let left = Number.POSITIVE_INFINITY;
  const changing = new Set(["rename", "remove", "syncDirectory", "open", "write"]);
  const files = memorySyncFiles({
    onOperation({ type }) {
      if (changing.has(type) && left-- <= 0) throw new Error("crash");
    },
  });
  for (const [suffix, text] of Object.entries(old)) {
    files.place(PATH + suffix, new TextEncoder().encode(text));
  }
  files.makeDirectory("/data");
  files.syncDirectory("/");
  const file = files.open(TEMPORARY, { mode: "exclusive" });
  file.write(new TextEncoder().encode("new"), 0);
  file.sync();
  file.close();
  return { files, failAfter: (changes) => (left = changes) };
}

function show(files: MemorySyncFiles, ...numbers: readonly number[]): string {
  return `${numbers.join()} ${JSON.stringify(contents(files))}`;
}

/** True when the call got through, false when it met the crash. */
function survives(call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (error instanceof Error && error.message === "crash") return false;
    throw error;
  }
}

/** What may be seen at the names that SQLite opens, at any time: the old set, no database, or the new one alone. */
function isAllowed(state: Contents, old: Contents): boolean {
  const main = state[""];
  if (main === undefined || (main === "" && old[""] === "")) return true;
  const logs = ["-wal", "-journal"] as const;
  if (main === "new") return logs.every((log) => state[log] === undefined);
  return main === old[""] && logs.every((log) => state[log] === old[log]);
}

/** After recovery nothing else may be left. */
function isFinal(state: Contents, old: Contents): boolean {
  const { "-shm": _, ...rest } = old;
  const { "-shm": __, ...left } = state;
  const sorted = (set: Contents): string => JSON.stringify(Object.entries(set).sort());
  return [{ "": "new" }, rest].some((wanted) => sorted(wanted) === sorted(left));
}

describe("swapIn", () => {
  for (const [title, old] of Object.entries(OLD_SETS)) {
    test(`swapIn() replaces ${title}`, () => {
      const { files } = setUp(old);
      swapIn(files, PATH, { temporary: TEMPORARY, force: true });
      expect(contents(files)).toEqual({ "": "new" });
      files.crash("power", seededRandom(1));
      expect(contents(files)).toEqual({ "": "new" });
      expect(recoverFiles(files, PATH)).toBe("clean");
    });

    test(`swapIn() over ${title}: a crash at any step, also while recovering, mixes nothing`, () => {
      let steps = 0;
      for (let n = 0; ; n++) {
        for (let m = 0; ; m++) {
          const { files, failAfter } = setUp(old);
          failAfter(n);
          if (survives(() => swapIn(files, PATH, { temporary: TEMPORARY, force: true }))) {
            expect(n).toBeGreaterThan(title === "nothing" ? 1 : 5);
            return;
          }
          files.crash("process");
          expect(isAllowed(contents(files), old), show(files, n)).toBe(true);
          failAfter(m);
          const done = survives(() => recoverFiles(files, PATH));
          files.crash("process");
          failAfter(Number.POSITIVE_INFINITY);
          expect(isAllowed(contents(files), old), show(files, n, m)).toBe(true);
          recoverFiles(files, PATH);
          expect(isFinal(contents(files), old), show(files, n, m)).toBe(true);
          expect(recoverFiles(files, PATH)).toBe("clean");
          steps++;
          if (done) break;
        }
        expect(steps).toBeGreaterThan(n);
      }
    });

    test(`swapIn() over ${title}: a power cut at any step mixes nothing`, () => {
      for (let n = 0; ; n++) {
        for (let seed = 0; seed < 30; seed++) {
          const { files, failAfter } = setUp(old);
          failAfter(n);
          if (survives(() => swapIn(files, PATH, { temporary: TEMPORARY, force: true }))) return;
          files.crash("power", seededRandom(seed));
          failAfter(Number.POSITIVE_INFINITY);
          expect(isAllowed(contents(files), old), show(files, n, seed)).toBe(true);
          recoverFiles(files, PATH);
          expect(isFinal(contents(files), old), show(files, n, seed)).toBe(true);
        }
      }
    });
  }

  test("swapIn() without force refuses what has appeared meanwhile", () => {
    for (const old of [{ "": "old" }, { "-wal": "w" }, { "-journal": "j" }, { "-shm": "s" }]) {
      const { files } = setUp(old);
      const swap = (): void => swapIn(files, PATH, { temporary: TEMPORARY });
      expect(swap).toThrow(expect.objectContaining({ code: "TARGET_EXISTS" }));
      expect(contents(files)).toMatchObject(old);
    }
    const { files } = setUp({ "": "" });
    refuseTarget(files, PATH);
    swapIn(files, PATH, { temporary: TEMPORARY });
    expect(contents(files)).toEqual({ "": "new" });
  });
});

describe("recoverFiles", () => {
  test("recoverFiles() deletes neither of two databases when somebody made one in between", () => {
    const { files, failAfter } = setUp({ "": "old", "-wal": "w" });
    failAfter(6);
    survives(() => swapIn(files, PATH, { temporary: TEMPORARY, force: true }));
    failAfter(Number.POSITIVE_INFINITY);
    files.crash("process");
    expect(contents(files)[""]).toBeUndefined();
    files.place(PATH, new TextEncoder().encode("foreign"));
    const before = contents(files);
    expect(() => recoverFiles(files, PATH)).toThrow(
      expect.objectContaining({ code: "TARGET_EXISTS" }),
    );
    expect(contents(files)).toEqual(before);
    files.remove(PATH);
    expect(recoverFiles(files, PATH)).toBe("undone");
    expect(contents(files)).toEqual({ "": "old", "-wal": "w" });
  });

  test("recoverFiles() removes the temporary files of this target alone", () => {
    const { files } = setUp({ "": "old" });
    const other = temporaryPath("/data/app.db2", new Uint8Array(8));
    files.place(other, new Uint8Array(1));
    files.place("/data/app.db.restore-short.tmp", new Uint8Array(1));
    expect(recoverFiles(files, PATH)).toBe("clean");
    expect(files.paths().sort()).toEqual([PATH, "/data/app.db.restore-short.tmp", other].sort());
  });
});
