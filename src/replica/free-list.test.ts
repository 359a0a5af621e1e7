import { describe, expect, test } from "vitest";
import { freeListLeaves } from "./free-list.ts";

const PAGE_SIZE = 512;

/** A page of big-endian numbers at offsets. */
function page(fields: Readonly<Record<number, number>>): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [offset, value] of Object.entries(fields)) view.setUint32(Number(offset), value);
  return bytes;
}

/** The leaves of a list whose pages are given, in a database of 20 pages. */
async function leaves(pages: Readonly<Record<number, Uint8Array>>): Promise<number[]> {
  const read = (pgno: number): Promise<Uint8Array> =>
    Promise.resolve(pages[pgno] ?? new Uint8Array(PAGE_SIZE));
  return [...(await freeListLeaves(read, 20))];
}

describe("freeListLeaves()", () => {
  test("finds the leaves of every trunk, and not the trunks", async () => {
    const found = await leaves({
      1: page({ 32: 5, 36: 6 }),
      5: page({ 0: 9, 4: 3, 8: 2, 12: 20, 16: 3 }),
      9: page({ 0: 0, 4: 1, 8: 7 }),
    });
    expect(found).toEqual([2, 20, 3, 7]);
  });

  test("finds none where no page is free", async () => {
    expect(await leaves({ 1: page({}) })).toEqual([]);
  });

  for (const [what, pages] of [
    ["a trunk past the end", { 1: page({ 32: 21, 36: 1 }) }],
    ["a trunk that is the first page", { 1: page({ 32: 1, 36: 1 }) }],
    ["a circle", { 1: page({ 32: 5, 36: 9 }), 5: page({ 0: 5, 4: 1, 8: 2 }) }],
    ["a leaf past the end", { 1: page({ 32: 5, 36: 2 }), 5: page({ 4: 1, 8: 21 }) }],
    ["a leaf that is no page", { 1: page({ 32: 5, 36: 2 }), 5: page({ 4: 1, 8: 0 }) }],
    ["a leaf named twice", { 1: page({ 32: 5, 36: 3 }), 5: page({ 4: 2, 8: 2, 12: 2 }) }],
    ["more leaves than fit", { 1: page({ 32: 5, 36: 2 }), 5: page({ 4: 0xffffffff, 8: 2 }) }],
    ["more pages than were counted", { 1: page({ 32: 5, 36: 1 }), 5: page({ 4: 1, 8: 2 }) }],
    ["fewer pages than were counted", { 1: page({ 32: 5, 36: 3 }), 5: page({ 4: 1, 8: 2 }) }],
  ] as const) {
    test(`trusts no list with ${what}`, async () => {
      expect(await leaves(pages)).toEqual([]);
    });
  }
});
