import { describe, expect, test } from "vitest";
import { ONE_TRY } from "../../test/helpers/one-try.ts";
import { buildLtx, fakePlatform, faultyStore, storeFault } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import {
  decodePointer,
  encodePointer,
  Pointer,
  pointedWriter,
  POINTER_KEY,
  PointerReader,
  PointerWriter,
} from "./pointer.ts";
import { Replica } from "./replica.ts";
import { replicaWriter } from "./writer.ts";

const span = (level: number, min: number, max = min) => ({
  level,
  minTxid: BigInt(min),
  maxTxid: BigInt(max),
});
const signal = new AbortController().signal;

function scene() {
  const platform = fakePlatform(1);
  const store = faultyStore(memoryStore());
  const replica = new Replica(store, {
    platform,
    retry: ONE_TRY,
  });
  return {
    platform,
    store,
    replica,
    writer: new PointerWriter(replica),
    reader: new PointerReader(replica),
  };
}

/** Lets what was begun go on to where it waits for the clock. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("decodePointer()", () => {
  test("decodePointer() reads what encodePointer() wrote", () => {
    const heads = [span(0, 300), span(1, 200, 290), span(9, 1, 150)];
    expect(decodePointer(encodePointer(heads))?.heads).toEqual(heads);
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    "7",
    '{"levels":7}',
    '{"levels":{"x":"0000000000000001-0000000000000002.ltx"}}',
    '{"levels":{"1":"0000000000000001.ltx"}}',
    '{"levels":{"1":7}}',
  ])("decodePointer() gives nothing for %s", (text) => {
    expect(decodePointer(Uint8Array.from(text, (c) => c.charCodeAt(0)))).toBeUndefined();
  });
});

describe("Pointer", () => {
  test("Pointer names the file that leads furthest on", () => {
    const pointer = new Pointer([
      span(0, 300),
      span(1, 200, 290),
      span(2, 100, 250),
      span(9, 1, 400),
    ]);
    expect(pointer.fileAfter(150n)).toEqual(span(2, 100, 250));
    expect(pointer.fileAfter(199n)).toEqual(span(1, 200, 290));
    expect(pointer.fileAfter(289n)).toBeUndefined();
    expect(pointer.fileAfter(290n)).toBeUndefined();
    expect(pointer.fileAfter(50n)).toBeUndefined();
  });
});

describe("PointerWriter", () => {
  test("PointerWriter writes at most once in ten seconds, and nothing when idle", async () => {
    const { platform, store, writer, reader } = scene();
    for (let second = 0; second < 60; second++) {
      writer.uploaded(span(0, second + 1));
      platform.clock.advance(1000);
      await settle();
    }
    expect(store.count("put")).toBe(7);
    expect((await reader.read(signal))?.heads).toEqual([span(0, 60)]);
    expect(platform.clock.pending).toBe(0);
    platform.clock.advance(3_600_000);
    await settle();
    expect(store.count("put")).toBe(7);
  });

  test("PointerWriter writes what is left at the end", async () => {
    const { platform, store, writer, reader } = scene();
    writer.uploaded(span(0, 1));
    platform.clock.advance(0);
    writer.uploaded(span(0, 2));
    writer.uploaded(span(1, 1, 2));
    writer.uploaded(span(0, 1));
    await writer.close();
    expect(store.requests.every(({ key }) => key === POINTER_KEY)).toBe(true);
    expect((await reader.read(signal))?.heads).toEqual([span(0, 2), span(1, 1, 2)]);
  });

  test("PointerWriter leaves what fails to the next upload", async () => {
    const { platform, store, writer, reader } = scene();
    store.failNext("put", { before: storeFault() });
    writer.uploaded(span(0, 1));
    platform.clock.advance(0);
    await settle();
    expect(await reader.read(signal)).toBeUndefined();
    writer.uploaded(span(0, 2));
    platform.clock.advance(10_000);
    await settle();
    expect((await reader.read(signal))?.heads).toEqual([span(0, 2)]);
    await writer.close();
  });
});

describe("pointedWriter()", () => {
  test("pointedWriter() tells of files that are in the store, and is no file of the replica itself", async () => {
    const { replica, writer: pointer, reader } = scene();
    const { bytes, minTxid, maxTxid, timestamp } = buildLtx({ pages: { 1: 1 } });
    const where = { level: 0, minTxid, maxTxid, timestamp: BigInt(timestamp) };
    const writer = pointedWriter(replicaWriter(replica), pointer);
    const read = (offset: number, length: number) => bytes.subarray(offset, offset + length);
    await writer.create({ where, size: bytes.length, body: bytes, read });
    await pointer.close();
    expect((await reader.read(signal))?.heads).toEqual([span(0, 1)]);
    const levels = await replica.levels();
    expect(levels.flat()).toHaveLength(1);
  });
});
