import { describe, expect, test } from "vitest";
import { type FrameOptions, lz4Frame } from "../../test/helpers/legacy-replica.ts";
import { concatBytes, equalBytes, viewOf } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import { xxh32 } from "../ltx/xxh32.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { LegacyDecoder } from "./legacy-lz4.ts";

const NAME = "generations/0/snapshots/0.snapshot.lz4";

/** Decodes a frame that arrives in pieces of at most this many bytes. */
function decode(frame: Uint8Array, pieceLength = frame.length || 1): Uint8Array {
  const decoder = new LegacyDecoder();
  decoder.begin(NAME);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < frame.length; at += pieceLength) {
    for (const data of decoder.decode(frame.slice(at, at + pieceLength))) parts.push(data.slice());
  }
  decoder.finish();
  return concatBytes(parts);
}

/** Bytes that compress to about a half, seeded. */
function content(length: number): Uint8Array {
  const random = seededRandom(length + 1);
  return random.bytes(length).map((byte, i) => (i % 64 < 40 ? 7 : byte));
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isPagestreamError(error)) return error.code;
    throw error;
  }
  return "none";
}

describe("LegacyDecoder", () => {
  const variants: readonly FrameOptions[] = [
    {},
    { blockLength: 1000 },
    { stored: true },
    { blockChecksums: true, blockLength: 777 },
    { contentSize: true, blockChecksums: true },
  ];
  test.each(variants)("LegacyDecoder reads frames as %o, however they are cut", (options) => {
    for (const length of [0, 1, 100, 5000, 140_000]) {
      const bytes = content(length);
      const frame = lz4Frame(bytes, options);
      for (const piece of [frame.length, 65_536, 4099, 7]) {
        if (frame.length / piece > 20_000) continue;
        expect(equalBytes(decode(frame, piece), bytes)).toBe(true);
      }
    }
  });

  test("LegacyDecoder decodes one file after another", () => {
    const decoder = new LegacyDecoder();
    for (const length of [500, 0, 3000]) {
      decoder.begin(NAME);
      const parts = [...decoder.decode(lz4Frame(content(length)))].map((data) => data.slice());
      decoder.finish();
      expect(equalBytes(concatBytes(parts), content(length))).toBe(true);
    }
  });

  test("LegacyDecoder refuses a frame that is cut anywhere", () => {
    const frame = lz4Frame(content(300), { blockLength: 100 });
    for (let length = 0; length < frame.length; length++) {
      expect(codeOf(() => decode(frame.slice(0, length)))).toBe("DAMAGED_FILE");
    }
  });

  test("LegacyDecoder refuses every single bit flipped, or decodes the same", () => {
    const bytes = content(300);
    const frame = lz4Frame(bytes, { blockLength: 100 });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = frame.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const outcome = codeOf(() => expect(equalBytes(decode(flipped), bytes)).toBe(true));
      expect(outcome).toMatch(/^(?:DAMAGED_FILE|none)$/);
    }
  });

  test("LegacyDecoder refuses bytes after the end", () => {
    expect(codeOf(() => decode(concatBytes([lz4Frame(content(9)), Uint8Array.of(0)])))).toBe(
      "DAMAGED_FILE",
    );
  });

  test("LegacyDecoder refuses a length beyond the block size before it waits for it", () => {
    const frame = lz4Frame(content(9));
    viewOf(frame).setUint32(7, 65_537, true);
    const decoder = new LegacyDecoder();
    decoder.begin(NAME);
    expect(codeOf(() => [...decoder.decode(frame.slice(0, 11))])).toBe("DAMAGED_FILE");
  });

  test.each([
    ["dependent blocks", 0x44, 0x40],
    ["no content checksum", 0x60, 0x40],
    ["a dictionary", 0x65, 0x40],
    ["another version", 0xa4, 0x40],
    ["a block size below 64 KiB", 0x64, 0x30],
    ["reserved bits", 0x64, 0x41],
  ])("LegacyDecoder refuses a frame with %s", (_name, flags, size) => {
    const frame = lz4Frame(content(9));
    frame.set([flags, size], 4);
    frame[6] = (xxh32(frame.subarray(4, 6)) >>> 8) & 0xff;
    expect(codeOf(() => decode(frame))).toBe("DAMAGED_FILE");
  });

  test.each(["age-encryption.org/v1\n-> X25519 abc", "-----BEGIN AGE ENCRYPTED FILE-----"])(
    "LegacyDecoder names the encryption of %j",
    (text) => {
      expect(codeOf(() => decode(Uint8Array.from(text, (c) => c.charCodeAt(0))))).toBe(
        "UNSUPPORTED",
      );
    },
  );
});
