import { expect, test } from "vitest";
import { decodeLtx } from "../ltx/index.ts";
import { buildLtx } from "./build-ltx.ts";
import { seededRandom } from "./seeded-random.ts";

test("buildLtx() encodes what its description says", () => {
  const built = buildLtx({
    minTxid: 5n,
    maxTxid: 9n,
    pageSize: 512,
    commit: 40,
    timestamp: 123,
    pages: { 7: 0xaa, 3: { seed: 1 }, 40: new Uint8Array(512).fill(2) },
  });
  expect(built.name).toBe("0000000000000005-0000000000000009.ltx");
  const file = decodeLtx(built.bytes);
  expect(file.header).toMatchObject({ minTxid: 5n, maxTxid: 9n, commit: 40, timestamp: 123n });
  expect(file.header.walOffset).toBe(0);
  expect([...file.pages].map((page) => page.pgno)).toEqual([3, 7, 40]);
  expect(built.pages.get(3)).toEqual(seededRandom(1).bytes(512));
});

test("buildLtx() needs little for a snapshot, and keeps the encoder's rules", () => {
  const built = buildLtx({ pages: { 1: 1, 2: 2 } });
  expect(built).toMatchObject({ minTxid: 1n, maxTxid: 1n, commit: 2, pageSize: 4096 });
  expect(decodeLtx(built.bytes).header.walOffset).toBe(32);
  expect(() => buildLtx({ pages: { 2: 2 } })).toThrow();
  expect(decodeLtx(buildLtx({ pages: {} }).bytes).header.commit).toBe(0);
});
