// What is used of lz4js, which has no types of its own: xxHash32 in the library, the block codec as a reference in
// tests and benchmarks.

declare module "lz4js/xxh32.js" {
  /** xxHash32 of `length` bytes from `index` on, as an unsigned number. */
  export function hash(seed: number, bytes: Uint8Array, index: number, length: number): number;
}

declare module "lz4js" {
  export function compressBlock(
    src: Uint8Array,
    dst: Uint8Array,
    sIndex: number,
    sLength: number,
    hashTable: Uint32Array,
  ): number;
  export function decompressBlock(
    src: Uint8Array,
    dst: Uint8Array,
    sIndex: number,
    sLength: number,
    dIndex: number,
  ): number;
}
