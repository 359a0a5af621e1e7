import { afterEach, describe, expect, test, vi } from "vitest";
import { PAGE_SIZES } from "../core/database-header.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { crc64, Crc64 } from "./crc64.ts";
import { lz4Compress, lz4CompressBound, lz4Decompress } from "./lz4-block.ts";
import { PLAIN_KERNEL, pageKernel, wasmKernel, type PageKernel } from "./wasm-kernel.ts";

const SEED = 20261122;
const wasm = wasmKernel() as PageKernel;

/** What a kernel makes of a block: its result, the page where it is whole, and the checksum after it. */
function decode(kernel: PageKernel, block: Uint8Array, size: number): unknown {
  const page = new Uint8Array(size);
  const crc = new Crc64();
  crc.updateU32(0x01020304);
  const written = kernel.decodePage(block, page, crc);
  return { written, page: written === size ? page : undefined, crc: crc.value() };
}

function expectSame(block: Uint8Array, size: number): void {
  expect(decode(wasm, block, size)).toEqual(decode(PLAIN_KERNEL, block, size));
}

function compress(page: Uint8Array): Uint8Array {
  const room = new Uint8Array(lz4CompressBound(page.length));
  return room.slice(0, lz4Compress(page, room));
}

/** A page of repeated pieces: short and long matches at all distances, and literals between. */
function page(size: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const length = 1 + random.int(random.int(2) === 0 ? 20 : 400);
    const back = 1 + random.int(Math.min(at + 1, random.int(2) === 0 ? 24 : size));
    const literal = at === 0 || random.int(3) === 0;
    for (let i = 0; i < length && at < size; i++, at++) {
      bytes[at] = literal ? random.int(256) : bytes[at - Math.min(back, at)]!;
    }
  }
  return bytes;
}

describe("wasmKernel()", () => {
  test("wasmKernel() is there in this runtime, and is what decoders take", () => {
    expect(wasm.name).toBe("wasm");
    expect(pageKernel().name).toBe("wasm");
  });

  test.each(PAGE_SIZES)(
    "decodePage() decodes pages of %i bytes and goes on with the CRC",
    (size) => {
      for (let seed = 0; seed < 20; seed++) {
        const data = page(size, seed);
        const target = new Uint8Array(size);
        const crc = new Crc64();
        crc.update(Uint8Array.of(1, 2, 3));
        expect(wasm.decodePage(compress(data), target, crc)).toBe(size);
        expect(target).toEqual(data);
        expect(crc.value()).toBe(crc64(Uint8Array.of(1, 2, 3, ...data)));
      }
    },
  );

  test("decodePage() decodes incompressible pages of 64 KiB, the longest blocks there are", () => {
    const data = seededRandom(SEED).bytes(65536);
    const block = compress(data);
    expect(block.length).toBeGreaterThan(65536);
    expect(decode(wasm, block, 65536)).toMatchObject({ written: 65536, page: data });
    expectSame(block, 65536);
  });

  test("decodePage() repeats patterns of every distance to every length", () => {
    for (let distance = 1; distance <= 40; distance++) {
      for (let length = 4; length <= 80; length++) {
        const literals = Array.from({ length: distance }, (_, i) => i + 1);
        const rest = 512 - distance - length;
        const block = Uint8Array.of(
          (Math.min(distance, 15) << 4) | Math.min(length - 4, 15),
          ...(distance >= 15 ? [distance - 15] : []),
          ...literals,
          distance,
          0,
          ...(length >= 19 ? [length - 19] : []),
          0xf0,
          ...(rest - 15 >= 255 ? [255, rest - 270] : [rest - 15]),
          ...Array.from({ length: rest }, () => 0xee),
        );
        const expected = new Uint8Array(512).fill(0xee);
        for (let i = 0; i < distance + length; i++) expected[i] = (i % distance) + 1;
        expect(decode(wasm, block, 512)).toMatchObject({ written: 512, page: expected });
      }
    }
  });

  test(`decodePage() says of garbage what TypeScript says of it, seed ${SEED}`, () => {
    const random = seededRandom(SEED);
    for (let i = 0; i < 30_000; i++) {
      const block = random.bytes(random.int(80));
      // Small values: matches that reach back a little, and so get further.
      if (i % 2 === 0) for (let k = 0; k < block.length; k++) block[k]! &= 0x1f;
      expectSame(block, 512);
    }
  });

  test(`decodePage() says of damaged blocks what TypeScript says of them, seed ${SEED}`, () => {
    const random = seededRandom(SEED);
    let whole = 0;
    for (let i = 0; i < 8_000; i++) {
      const size = i % 2 === 0 ? 512 : 4096;
      const block = compress(page(size, i & 31));
      block[random.int(block.length)]! ^= 1 << random.int(8);
      expectSame(block, size);
      if (lz4Decompress(block, new Uint8Array(size)) === size) whole++;
    }
    expect(whole).toBeGreaterThan(0);
    expect(whole).toBeLessThan(8_000);
  });

  test("decodePage() says of a block cut at every byte what TypeScript says of it", () => {
    const block = compress(page(512, SEED));
    for (let end = 0; end <= block.length; end++) expectSame(block.subarray(0, end), 512);
  });

  test("decodePage() refuses more than a page can take, and leaves the next page right", () => {
    expect(decode(wasm, new Uint8Array(70_000).fill(0x11), 65536)).toMatchObject({ written: -1 });
    const data = page(4096, SEED);
    expect(decode(wasm, compress(data), 512)).toMatchObject({ written: -1 });
    expect(decode(wasm, compress(data), 4096)).toMatchObject({ written: 4096, page: data });
  });
});

describe("wasmKernel() where WebAssembly may not be used", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("wasmKernel() is undefined where compiling is refused", () => {
    const Module = function (): never {
      throw new Error("Wasm code generation disallowed by embedder");
    };
    vi.stubGlobal("WebAssembly", { ...WebAssembly, Module });
    expect(wasmKernel()).toBeUndefined();
  });

  test("wasmKernel() is undefined without WebAssembly", () => {
    vi.stubGlobal("WebAssembly", undefined);
    expect(wasmKernel()).toBeUndefined();
  });

  test("wasmKernel() is undefined on a big-endian host", () => {
    vi.stubGlobal("Uint16Array", { of: () => ({ buffer: Uint8Array.of(0, 1).buffer }) });
    expect(wasmKernel()).toBeUndefined();
  });
});

describe("compressPage()", () => {
  /** The block and the checksum of a page after it, as a kernel makes them. */
  function encode(kernel: PageKernel, data: Uint8Array): { block: Uint8Array; crc: bigint } {
    const room = new Uint8Array(lz4CompressBound(data.length));
    const crc = new Crc64();
    crc.updateU32(0x01020304);
    const length = kernel.compressPage(data, room);
    kernel.addCompressed(data, crc);
    return { block: room.slice(0, length), crc: crc.value() };
  }

  test.each(PAGE_SIZES)(
    "compressPage() makes the same block of %i bytes in both kernels",
    (size) => {
      const random = seededRandom(SEED + size);
      const pages = Array.from({ length: 30 }, (_, seed) => page(size, seed + 100));
      pages.push(new Uint8Array(size), random.bytes(size));
      for (let tail = 1; tail < 24; tail++) {
        // A match that ends at every distance from the end of the page.
        const data = random.bytes(size);
        data.copyWithin(size - tail - 40, 0, 40);
        pages.push(data);
      }
      for (const data of pages) {
        const made = encode(wasm, data);
        expect(made).toEqual(encode(PLAIN_KERNEL, data));
        const back = new Uint8Array(size);
        expect(lz4Decompress(made.block, back)).toBe(size);
        expect(back).toEqual(data);
      }
    },
  );
});
