/** @module */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeClock, fakeClock } from "pagestream/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { watchDirectory } from "./directory-watcher.ts";

let root: string;
let clock: FakeClock;
let told: string[];
let known: Set<string>;
let end: (() => void) | undefined;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pagestream-watcher-"));
  clock = fakeClock();
  told = [];
  known = new Set();
});
afterEach(() => {
  end?.();
  rmSync(root, { recursive: true, force: true });
});

function begin(recursive = false): void {
  end = watchDirectory(root, {
    clock,
    recursive,
    onSettled: (path) => told.push(path.slice(root.length + 1)),
    isKnown: (path) => known.has(path),
    onError: (error) => {
      throw error;
    },
  });
}

/** Lets what was just done to files be heard, and settle. */
async function settled(...paths: readonly string[]): Promise<void> {
  await vi.waitFor(() => {
    clock.advance(250);
    expect([...new Set(told)].sort()).toEqual([...paths].sort());
  });
  told = [];
}

describe("watchDirectory()", () => {
  test("watchDirectory() tells of a file that comes, and of one that goes", async () => {
    begin();
    writeFileSync(join(root, "a.db"), "x");
    await settled("a.db");
    rmSync(join(root, "a.db"));
    await settled("a.db");
  });

  test("watchDirectory() tells once of many events on one path, and of each path", async () => {
    begin();
    for (let i = 0; i < 20; i++) writeFileSync(join(root, "a.db"), `${i}`);
    writeFileSync(join(root, "b.db"), "x");
    await vi.waitFor(() => expect(clock.pending).toBe(2));
    clock.advance(249);
    expect(told).toEqual([]);
    clock.advance(1);
    expect(told.sort()).toEqual(["a.db", "b.db"]);
  });

  test("watchDirectory() passes over side files, and over bytes of what is known", async () => {
    begin();
    writeFileSync(join(root, "known.db"), "x");
    await settled("known.db");
    known.add(join(root, "known.db"));
    for (const name of ["a.db-wal", "a.db-shm", "a.db-journal", "known.db"]) {
      writeFileSync(join(root, name), "more");
    }
    writeFileSync(join(root, "withdrawal"), "x");
    await settled("withdrawal");
    rmSync(join(root, "known.db"));
    await settled("known.db");
  });

  test("watchDirectory() tells of nested directories, with what came before they were watched", async () => {
    begin(true);
    mkdirSync(join(root, "one/two"), { recursive: true });
    writeFileSync(join(root, "one/two/a.db"), "x");
    await settled("one/two/a.db");
    writeFileSync(join(root, "one/two/b.db"), "x");
    await settled("one/two/b.db");
    rmSync(join(root, "one"), { recursive: true });
    await vi.waitFor(() => {
      clock.advance(250);
      expect(told).toContain("one");
    });
    told = [];
    mkdirSync(join(root, "one"));
    writeFileSync(join(root, "one/c.db"), "x");
    await settled("one/c.db");
  });

  test("watchDirectory() stays out of directories below, and of local state, unless it is told", async () => {
    mkdirSync(join(root, "below"));
    begin();
    writeFileSync(join(root, "below/a.db"), "x");
    writeFileSync(join(root, "b.db"), "x");
    await settled("b.db");
    end?.();
    mkdirSync(join(root, ".b.db-pagestream"));
    begin(true);
    writeFileSync(join(root, ".b.db-pagestream/marker"), "x");
    writeFileSync(join(root, "below/c.db"), "x");
    await settled("below/c.db");
  });

  test("watchDirectory() tells nothing once it has ended", async () => {
    begin();
    writeFileSync(join(root, "a.db"), "x");
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    end?.();
    clock.advance(1_000);
    expect(told).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
