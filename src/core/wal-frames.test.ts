import { expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { decodeWalHeader } from "./wal.ts";
import { type WalChain, walFrameOffset, WalWindow, walkWalFrames } from "./wal-frames.ts";
import { newWal, WalWriter } from "./wal-writer.ts";

const PAGE_SIZE = 512;
const random = seededRandom(3);

/** A log of frames for pages 1, 2, 3, …, of which every third commits. */
function log(frames: number, bigEndian: boolean): { bytes: Uint8Array; chain: WalChain } {
  const bytes = new Uint8Array(walFrameOffset(PAGE_SIZE, frames + 1));
  const write = (part: Uint8Array, offset: number): void => bytes.set(part, offset);
  const { header, tail } = newWal(PAGE_SIZE, random.bytes(8));
  bytes.set(header);
  const { checksum1: s1, checksum2: s2 } = tail;
  const writer = new WalWriter(write, { ...tail, bigEndian });
  for (let frame = 1; frame <= frames; frame++) {
    writer.append(frame, random.bytes(PAGE_SIZE), frame % 3 === 0 ? 100 - frame : 0);
  }
  writer.flush();
  const { salts } = tail;
  return { bytes, chain: { bigEndian, pageSize: PAGE_SIZE, salts, from: 0, s1, s2 } };
}

function walk(bytes: Uint8Array, chain: WalChain, to: number): ReturnType<typeof walkWalFrames> {
  const window = WalWindow.take();
  const file = {
    read(into: Uint8Array, offset: number): number {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
  const run = walkWalFrames(file, chain, { to, window });
  window.giveBack();
  return run;
}

test.each([false, true])("walkWalFrames() follows the chain, big-endian %s", (bigEndian) => {
  // More than one window holds.
  const { bytes, chain } = log(3000, bigEndian);
  expect(decodeWalHeader(bytes)).toBeDefined();
  const all = walk(bytes, chain, 3000);
  expect(all).toMatchObject({ commits: 1000, commit: 4_294_964_396, isClosed: true });
  expect([...(all?.pgnos ?? [])]).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
  const first = walk(bytes, chain, 31);
  expect(first).toMatchObject({ commits: 10, commit: 70, lowest: 70, isClosed: false });
  const { s1, s2 } = first as NonNullable<typeof first>;
  const rest = walk(bytes, { ...chain, from: 31, s1, s2 }, 3000);
  expect(rest).toMatchObject({ commits: 990, s1: all?.s1, s2: all?.s2 });
});

test("walkWalFrames() refuses frames that are not whole, not of this log or not of this chain", () => {
  const { bytes, chain } = log(9, false);
  expect(walk(bytes, chain, 10)).toBeUndefined();
  expect(walk(bytes.subarray(0, -1), chain, 9)).toBeUndefined();
  for (let byte = 0; byte < bytes.length - 32; byte += 7) {
    const damaged = bytes.slice();
    damaged[32 + byte]! ^= 0x10;
    expect(`${byte} ${walk(damaged, chain, 9) === undefined}`).toBe(`${byte} true`);
  }
  expect(walk(bytes, { ...chain, salts: random.bytes(8) }, 9)).toBeUndefined();
});
