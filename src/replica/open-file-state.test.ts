import { describe, expect, test } from "vitest";
import type { OpenFile } from "../core/sync-files.ts";
import { type MemorySyncFiles, memorySyncFiles } from "../testing/memory-sync-files.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { testLocalState } from "../testing/test-local-state.ts";
import { BlockFile } from "./block-file.ts";
import type { LocalState } from "./local-state.ts";
import { openFileState } from "./open-file-state.ts";
import { TwinFile } from "./twin-file.ts";

const NAMES = ["marker-a", "marker-b", "log-a", "log-b", "staged"] as const;

function stateIn(files: MemorySyncFiles, folder: string): LocalState {
  files.makeDirectory(folder);
  const [a, b, c, d, staged] = NAMES.map((name) =>
    files.open(`${folder}/${name}`, { mode: "create" }),
  ) as unknown as [OpenFile, OpenFile, OpenFile, OpenFile, OpenFile];
  return openFileState({ marker: [a, b], log: [c, d], staged });
}

const shared = memorySyncFiles();
testLocalState((name) => stateIn(shared, `/${name}`), {
  describe,
  test,
  expect,
  name: "openFileState()",
});

function placed(): MemorySyncFiles {
  const files = memorySyncFiles();
  for (const name of ["a", "b"]) files.place(`/${name}`, new Uint8Array(0));
  return files;
}

describe("TwinFile", () => {
  test("has the old bytes or the new ones after a power cut at any call of a replacement", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const files = placed();
      const open = (): TwinFile =>
        new TwinFile([files.open("/a", { mode: "write" }), files.open("/b", { mode: "write" })]);
      const twin = open();
      twin.replace((append) => append(new Uint8Array(3000).fill(1)));
      const random = seededRandom(seed);
      const failAt = random.int(2);
      let calls = 0;
      try {
        twin.replace((append) => {
          append(new Uint8Array(2000).fill(2));
          if (calls++ === failAt) throw new Error("crash");
          append(new Uint8Array(2000).fill(2));
        });
      } catch {
        // Ended in the middle.
      }
      const isNew = twin.read(0, 1)[0] === 2;
      files.crash("power", random);
      const after = open();
      const bytes = after.read(0, 9999);
      expect([...new Set(bytes)], `seed ${seed}`).toEqual([isNew ? 2 : 1]);
      expect(bytes.length).toBe(isNew ? 4000 : 3000);
    }
  });

  test("is gone once it was removed, and can be made again", () => {
    const files = placed();
    const twin = new TwinFile([
      files.open("/a", { mode: "write" }),
      files.open("/b", { mode: "write" }),
    ]);
    twin.replace((append) => append(Uint8Array.of(1)));
    twin.replace((append) => append(Uint8Array.of(2)));
    twin.remove();
    expect(twin.size).toBeUndefined();
    twin.write(Uint8Array.of(3), 0);
    expect([...twin.read(0, 9)]).toEqual([3]);
  });
});

describe("BlockFile", () => {
  test("uses the blocks of removed files again, and shrinks when nothing is left", () => {
    const files = placed();
    const file = files.open("/a", { mode: "write" });
    const blocks = new BlockFile(file);
    const put = (name: string, size: number): void => {
      const writer = blocks.write(name);
      writer.write(new Uint8Array(size).fill(name.length));
      writer.finish();
    };
    put("one", 200_000);
    put("second", 10);
    const size = file.size();
    for (let turn = 0; turn < 20; turn++) {
      blocks.remove("one");
      put("one", 150_000);
    }
    expect(file.size()).toBeLessThanOrEqual(size);
    expect(new Set(blocks.read("one", 0, 150_000))).toEqual(new Set([3]));
    expect([...blocks.read("second", 0, 99)]).toEqual(Array.from({ length: 10 }, () => 6));
    blocks.remove("one");
    blocks.remove("second");
    expect(file.size()).toBe(0);
  });

  test("has every synced file whole, and no torn one under a name, after a power cut", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const files = placed();
      const random = seededRandom(seed);
      const open = (): BlockFile => new BlockFile(files.open("/a", { mode: "write" }));
      const first = open();
      const put = (blocks: BlockFile, name: string, size: number): void => {
        const writer = blocks.write(name);
        writer.write(new Uint8Array(size).fill(name.charCodeAt(0)));
        writer.finish();
      };
      put(first, "a", 130_000);
      put(first, "b", 5);
      first.remove("a");
      put(first, "c", 70_000);
      first.sync();
      put(first, "d", 190_000);
      files.crash("power", random);
      const after = open();
      expect(
        after.names().filter((name) => name !== "d"),
        `seed ${seed}`,
      ).toEqual(["b", "c"]);
      expect(new Set(after.read("c", 0, 70_000))).toEqual(new Set(["c".charCodeAt(0)]));
      put(after, "e", 100_000);
      expect(open().read("e", 99_999, 1)[0]).toBe("e".charCodeAt(0));
    }
  });

  test("refuses a name that its header cannot hold", () => {
    const file = placed().open("/a", { mode: "write" });
    expect(() => new BlockFile(file).write("x".repeat(61))).toThrowError(/1 to 60 plain/);
  });
});
