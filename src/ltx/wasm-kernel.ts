/**
 * The hot steps of encoding and decoding, page to LZ4 block and back and into the file checksum, in WebAssembly where the
 * runtime compiles it.
 *
 * The module is less than two kilobytes of code with a fixed memory of 192 KiB, one for all files: each call copies its input in
 * and its output out, and nothing that counts stays there between two steps. Where a runtime refuses to compile code (workerd), lacks
 * WebAssembly or its vectors, or is big-endian, the same step runs in TypeScript, with the same result for every input.
 *
 * @module
 */
import { fromHex } from "../core/bytes.ts";
import type { Crc64 } from "./crc64.ts";
import { LZ4_BLOCK_MAX, lz4Compress, lz4CompressBound, lz4Decompress } from "./lz4-block.ts";
import { WASM_KERNEL } from "./wasm-kernel-bytes.ts";

/** The steps of a page. */
export interface PageKernel {
  readonly name: "wasm" | "plain";
  /**
   * Decompresses the LZ4 block of a page. `page.length` is a page size. Returns the bytes written, or -1 on bad input as
   * `lz4Decompress` does; unless that is the whole page, `page` is scratch. Keeps nothing.
   */
  decompressPage(block: Uint8Array, page: Uint8Array): number;
  /**
   * Decompresses the LZ4 block of a page and adds the page to a checksum. `page.length` is a page size. Returns the bytes
   * written, or -1 on bad input as `lz4Decompress` does; unless that is the whole page, `page` is scratch and the
   * checksum has not gone on. Keeps nothing.
   */
  decodePage(block: Uint8Array, page: Uint8Array, crc: Crc64): number;
  /**
   * Compresses a page into `block`, which has room for `lz4CompressBound`, and returns the length of the LZ4 block: the
   * same bytes in every kernel. `page.length` is a page size. Keeps nothing.
   */
  compressPage(page: Uint8Array, block: Uint8Array): number;
  /** Adds to a checksum the page that {@linkcode compressPage} was given last, which is `page`. */
  addCompressed(page: Uint8Array, crc: Crc64): void;
}

/** The kernel in TypeScript. */
export const PLAIN_KERNEL: PageKernel = {
  name: "plain",
  decompressPage: (block, page) => lz4Decompress(block, page),
  decodePage(block, page, crc) {
    const written = lz4Decompress(block, page);
    if (written === page.length) crc.update(page);
    return written;
  },
  compressPage: (page, block) => lz4Compress(page, block),
  addCompressed: (page, crc) => crc.update(page),
};

// Where the module has its parts; the source says more.
const BLOCK_AT = 1024;
const PAGE_AT = 69632;
const BLOCK_ROOM = lz4CompressBound(LZ4_BLOCK_MAX);

/** Makes a kernel in WebAssembly; `undefined` where that cannot be. */
export function wasmKernel(): PageKernel | undefined {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) return undefined;
  let exports: Readonly<Record<string, unknown>>;
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(fromHex(WASM_KERNEL))).exports;
  } catch {
    return undefined;
  }
  const { buffer } = exports["memory"] as { readonly buffer: ArrayBuffer };
  const decode = exports["decode"] as (length: number, size: number) => number;
  const compress = exports["compress"] as (size: number) => number;
  const checksum = exports["checksum"] as (size: number) => void;
  const state = new Int32Array(buffer, 0, 2);
  const input = new Uint8Array(buffer, BLOCK_AT, BLOCK_ROOM);
  let pageRoom = new Uint8Array(buffer, PAGE_AT, 4096);
  const roomFor = (size: number): Uint8Array => {
    if (pageRoom.length !== size) pageRoom = new Uint8Array(buffer, PAGE_AT, size);
    return pageRoom;
  };
  const addPage = (size: number, crc: Crc64): void => {
    state[0] = crc.lo;
    state[1] = crc.hi;
    checksum(size);
    crc.set(state[1]!, state[0]!);
  };
  const decompressPage = (block: Uint8Array, page: Uint8Array): number => {
    const size = page.length;
    if (block.length > BLOCK_ROOM) return -1;
    input.set(block);
    const written = decode(block.length, size);
    if (written === size) page.set(roomFor(size));
    return written;
  };
  return {
    name: "wasm",
    decompressPage,
    decodePage(block, page, crc) {
      const written = decompressPage(block, page);
      if (written === page.length) addPage(written, crc);
      return written;
    },
    compressPage(page, block) {
      roomFor(page.length).set(page);
      const length = compress(page.length);
      block.set(input.subarray(0, length));
      return length;
    },
    addCompressed: (page, crc) => addPage(page.length, crc),
  };
}

let kernel: PageKernel | undefined;

/** The fastest kernel of this runtime, made at the first call. */
export function pageKernel(): PageKernel {
  return (kernel ??= wasmKernel() ?? PLAIN_KERNEL);
}

/** Lets every decoder made from now on use this kernel: so that tests can hold one against the other. */
export function usePageKernel(chosen: PageKernel): void {
  kernel = chosen;
}
