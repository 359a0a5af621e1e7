import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import { WasmMemory } from "./bind.ts";
import { SharedMemory } from "./shared-memory.ts";

const memory = new WasmMemory(await sqlite3InitModule());
const UNLOCK = 1;
const LOCK = 2;
const SHARED = 4;
const EXCLUSIVE = 8;
const request = { region: 0, sizeBytes: 32_768, extend: true };

/** Three handles on one path, which nothing is allocated for yet. */
function attached(): SharedMemory {
  const shared = new SharedMemory(memory);
  for (const file of [1, 2, 3]) shared.map(file, "a", { ...request, extend: false });
  return shared;
}

describe("SharedMemory", () => {
  test("map() makes a region of zeros only when asked to, and gives every handle the same", () => {
    const shared = attached();
    expect(shared.map(1, "a", { ...request, extend: false })).toBe(0);
    const second = shared.map(1, "a", { ...request, region: 1 });
    const first = shared.map(2, "a", { ...request, extend: false });
    expect(first).toBeGreaterThan(0);
    expect(shared.map(3, "a", { ...request, region: 1 })).toBe(second);
    expect(
      memory
        .bytes()
        .subarray(first, first + 32_768)
        .every((byte) => byte === 0),
    ).toBe(true);
    expect(shared.map(4, "b", { ...request, extend: false })).toBe(0);
    for (const file of [1, 2, 3, 4]) shared.unmap(file);
    expect(shared.inUse).toBe(false);
  });

  test("lock() lets many share a slot and one have it alone", () => {
    const shared = attached();
    const slot = { first: 3, count: 1 };
    expect(shared.lock(1, { ...slot, flags: LOCK | SHARED })).toBe(true);
    expect(shared.lock(2, { ...slot, flags: LOCK | SHARED })).toBe(true);
    expect(shared.lock(3, { ...slot, flags: LOCK | EXCLUSIVE })).toBe(false);
    expect(shared.lock(1, { ...slot, flags: UNLOCK | SHARED })).toBe(true);
    expect(shared.lock(3, { ...slot, flags: LOCK | EXCLUSIVE })).toBe(false);
    expect(shared.lock(2, { ...slot, flags: UNLOCK | SHARED })).toBe(true);
    expect(shared.lock(3, { ...slot, flags: LOCK | EXCLUSIVE })).toBe(true);
    expect(shared.lock(1, { ...slot, flags: LOCK | SHARED })).toBe(false);
    expect(shared.lock(3, { ...slot, flags: UNLOCK | EXCLUSIVE })).toBe(true);
    expect(shared.lock(1, { ...slot, flags: LOCK | SHARED })).toBe(true);
  });

  test("lock() takes all slots of a range or none", () => {
    const shared = attached();
    expect(shared.lock(1, { first: 5, count: 1, flags: LOCK | SHARED })).toBe(true);
    expect(shared.lock(2, { first: 4, count: 4, flags: LOCK | EXCLUSIVE })).toBe(false);
    expect(shared.lock(3, { first: 4, count: 1, flags: LOCK | EXCLUSIVE })).toBe(true);
  });

  test("lock() refuses slots that do not exist, and a file without shared memory", () => {
    const shared = attached();
    const flags = LOCK | EXCLUSIVE;
    expect(() => shared.lock(1, { first: 7, count: 2, flags })).toThrow(/slots 7 \+ 2 of 8/u);
    expect(() => shared.lock(9, { first: 0, count: 1, flags })).toThrow(/not mapped/u);
  });

  test("unmap() gives back what the handle held, and a second call does nothing", () => {
    const shared = attached();
    shared.lock(1, { first: 0, count: 2, flags: LOCK | EXCLUSIVE });
    shared.lock(1, { first: 3, count: 1, flags: LOCK | SHARED });
    shared.unmap(1);
    shared.unmap(1);
    expect(shared.lock(2, { first: 0, count: 8, flags: LOCK | EXCLUSIVE })).toBe(true);
  });
});
