import { describe, expect, test } from "vitest";
import { bytesSink } from "./bytes-sink.ts";

describe("bytesSink()", () => {
  test("bytesSink() shows its bytes only once finished", async () => {
    const sink = bytesSink();
    await sink.start({ pageSize: 512, size: 4 });
    await sink.write(0, Uint8Array.of(1, 2));
    await sink.write(2, Uint8Array.of(3));
    expect(sink.bytes).toHaveLength(0);
    await sink.truncate(4);
    await sink.finish();
    expect(sink.bytes).toEqual(Uint8Array.of(1, 2, 3, 0));
  });

  test("bytesSink() keeps nothing after an abort and can be used again", async () => {
    const sink = bytesSink();
    await sink.start({ pageSize: 512, size: 2 });
    await sink.write(0, Uint8Array.of(9, 9));
    await sink.abort();
    expect(sink.bytes).toHaveLength(0);
    await sink.start({ pageSize: 512, size: 1 });
    await sink.truncate(1);
    await sink.finish();
    expect(sink.bytes).toEqual(Uint8Array.of(0));
  });

  test("bytesSink() takes no more than was announced, and reserves nothing for it", async () => {
    const sink = bytesSink();
    await sink.start({ pageSize: 65536, size: 2 ** 48 });
    await sink.write(0, new Uint8Array(3_000_000).fill(1));
    await sink.start({ pageSize: 512, size: 3 });
    expect(() => sink.write(2, Uint8Array.of(1, 1))).toThrow(RangeError);
    expect(() => sink.truncate(4)).toThrow(RangeError);
  });

  test("bytesSink() wants a rollback journal unless told otherwise", () => {
    expect(bytesSink().journalHeader).toBe("rollback");
    expect(bytesSink({ journalHeader: "keep" }).journalHeader).toBe("keep");
  });
});
