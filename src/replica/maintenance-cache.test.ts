import { describe, expect, test } from "vitest";
import { fakePlatform } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { RecentFiles } from "./maintenance-cache.ts";
import { Replica } from "./replica.ts";

const platform = fakePlatform(1);
const replica = (): Replica => new Replica(memoryStore(), { platform });

describe("RecentFiles", () => {
  test("RecentFiles keeps the newest files of all replicas within one bound", () => {
    const files = new RecentFiles(80);
    const [one, two] = [replica(), replica()];
    for (let i = 0; i < 6; i++) files.add(i % 2 === 0 ? one : two, `f${i}`, new Uint8Array(10));
    expect(files.bytes).toBe(60);
    for (let i = 6; i < 12; i++) files.add(one, `f${i}`, new Uint8Array(10));
    expect(files.bytes).toBe(80);
    expect(files.get(one, "f2")).toBe(undefined);
    expect(files.get(one, "f5")).toBe(undefined);
    expect(files.get(two, "f5")?.length).toBe(10);
  });

  test("RecentFiles takes no file that would displace most others", () => {
    const files = new RecentFiles(80);
    expect([files.takes(10), files.takes(11)]).toEqual([true, false]);
    files.add(replica(), "large", new Uint8Array(11));
    expect(files.bytes).toBe(0);
  });

  test("RecentFiles forgets a file, and all files of a replica", () => {
    const files = new RecentFiles();
    const [one, two] = [replica(), replica()];
    files.add(one, "a", new Uint8Array(5));
    files.add(one, "a", new Uint8Array(6));
    files.add(one, "b", new Uint8Array(7));
    files.add(two, "a", new Uint8Array(8));
    files.delete(one, "b");
    files.delete(one, "b");
    expect(files.bytes).toBe(14);
    files.clear(one);
    expect([files.bytes, files.get(one, "a"), files.get(two, "a")?.length]).toEqual([
      8,
      undefined,
      8,
    ]);
  });
});
