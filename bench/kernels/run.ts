/**
 * CRC-64, LZ4, encoder, decoder and merge against what they replace: `node bench/kernels/run.ts`.
 *
 * @module
 */
// oxlint-disable-next-line typescript/triple-slash-reference -- ambient typings cannot be imported
/// <reference path="../../src/ltx/lz4js.d.ts" />
import { compressBlock, decompressBlock } from "lz4js";
import {
  Crc64,
  encodeLtx,
  LtxDecoder,
  LtxEncoder,
  type LtxInput,
  LtxMerge,
  lz4Compress,
  lz4CompressBound,
  lz4Decompress,
  mergeLtx,
  replicaHeader,
} from "../../src/ltx/index.ts";
import { PLAIN_KERNEL, type PageKernel, wasmKernel } from "../../src/ltx/wasm-kernel.ts";
import { describeMachine, measure, printResults } from "../harness.ts";
import { sampleDatabase } from "./sample-database.ts";

const PAGE_SIZE = 4096;
const MEBIBYTE = 1 << 20;

const database = await sampleDatabase({ pageSize: PAGE_SIZE });
const commit = database.length / PAGE_SIZE;
const pages = Array.from({ length: commit }, (_, i) =>
  database.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE),
);
const images = pages.map((data, i) => ({ pgno: i + 1, data }));
console.log(describeMachine());
console.log(`${(database.length / 1e6).toFixed(1)} MB database, ${commit} pages of ${PAGE_SIZE}`);

await benchmarkCrc();
await benchmarkCompression();
await benchmarkDecompression();
await benchmarkKernels();
await benchmarkFiles();

/** Target: 150 times the loop everyone writes first. */
async function benchmarkCrc(): Promise<void> {
  const table = Array.from({ length: 256 }, (_, i) => {
    let c = BigInt(i);
    for (let k = 0; k < 8; k++) c = (c & 1n) === 1n ? (c >> 1n) ^ 0xd800000000000000n : c >> 1n;
    return c;
  });
  const some = pages.slice(0, 32);
  const crc = new Crc64();
  const runTableLess = (of: readonly Uint8Array[]) => (): number => {
    for (const page of of) {
      crc.reset();
      crc.update(page);
    }
    return crc.lo;
  };
  const results = await measure([
    {
      name: "bigint table",
      bytes: some.length * PAGE_SIZE,
      run: () => {
        let c = 0n;
        for (const page of some) {
          c = 0xffffffffffffffffn;
          for (const byte of page) c = table[Number((c ^ BigInt(byte)) & 255n)]! ^ (c >> 8n);
        }
        return c;
      },
    },
    { name: "Crc64, table-less", bytes: database.length, run: runTableLess(pages) },
  ]);
  printResults("CRC-64 over pages (target 150 x by MB/s)", results);
  const [slow, fast] = results;
  console.log(`  ratio ${(fast!.megabytesPerSecond! / slow!.megabytesPerSecond!).toFixed(0)} x`);
}

/** Target: the encoder, hashing included, at 1.7 times lz4js's compression alone. */
async function benchmarkCompression(): Promise<void> {
  const room = new Uint8Array(lz4CompressBound(PAGE_SIZE));
  const hashTable = new Uint32Array(65536);
  const header = replicaHeader({
    pageSize: PAGE_SIZE,
    commit,
    minTxid: 1n,
    maxTxid: 1n,
    timestamp: 0n,
  });
  let blockBytes = 0;
  for (const page of pages) blockBytes += lz4Compress(page, room);
  const bytes = database.length;
  const results = await measure([
    {
      name: "lz4js compressBlock",
      bytes,
      run: () => {
        for (const page of pages) {
          hashTable.fill(0);
          compressBlock(page, room, 0, PAGE_SIZE, hashTable);
        }
      },
    },
    {
      name: "lz4Compress",
      bytes,
      run: () => {
        for (const page of pages) lz4Compress(page, room);
      },
    },
    {
      name: "LtxEncoder (compress and hash)",
      bytes,
      run: () => {
        const encoder = new LtxEncoder(header, () => undefined);
        for (const { pgno, data } of images) encoder.encodePage(pgno, data);
        return encoder.finish();
      },
    },
  ]);
  printResults("Encoding pages (target 1.7 x)", results, "lz4js compressBlock");
  console.log(`  compressed to ${((100 * blockBytes) / bytes).toFixed(1)} %`);
}

/** Targets: the kernel in WebAssembly at 1.3 times the one in TypeScript, encoding; at twice, decoding. */
async function benchmarkKernels(): Promise<void> {
  const wasm = wasmKernel();
  if (wasm === undefined) {
    console.log(
      "\nThis runtime compiles no WebAssembly: the kernel in TypeScript is the one in use",
    );
    return;
  }
  const room = new Uint8Array(lz4CompressBound(PAGE_SIZE));
  const blocks = pages.map((page) => room.slice(0, lz4Compress(page, room)));
  const page = new Uint8Array(PAGE_SIZE);
  const crc = new Crc64();
  const bytes = database.length;
  const encode =
    ({ compressPage, addCompressed }: PageKernel) =>
    (): void => {
      for (const data of pages) {
        compressPage(data, room);
        addCompressed(data, crc);
      }
    };
  const decode =
    ({ decodePage }: PageKernel) =>
    (): void => {
      for (const block of blocks) decodePage(block, page, crc);
    };
  const encoding = await measure([
    { name: "TypeScript", bytes, run: encode(PLAIN_KERNEL) },
    { name: "WebAssembly", bytes, run: encode(wasm) },
  ]);
  printResults("Kernels, page to block and checksum (target 1.3 x)", encoding, "TypeScript");
  const decoding = await measure([
    { name: "TypeScript", bytes, run: decode(PLAIN_KERNEL) },
    { name: "WebAssembly", bytes, run: decode(wasm) },
  ]);
  printResults("Kernels, block to page and checksum (target 2 x)", decoding, "TypeScript");
}

/** Target: the decoder, verification included, at 1.2 times lz4js's decompression alone. */
async function benchmarkDecompression(): Promise<void> {
  const room = new Uint8Array(lz4CompressBound(PAGE_SIZE));
  const blocks = pages.map((page) => room.slice(0, lz4Compress(page, room)));
  const page = new Uint8Array(PAGE_SIZE);
  const file = snapshot();
  const bytes = database.length;
  const results = await measure([
    {
      name: "lz4js decompressBlock",
      bytes,
      run: () => {
        for (const block of blocks) decompressBlock(block, page, 0, block.length, 0);
      },
    },
    {
      name: "lz4Decompress",
      bytes,
      run: () => {
        for (const block of blocks) lz4Decompress(block, page);
      },
    },
    { name: "LtxDecoder, 1 MiB chunks", bytes, run: () => decode(file, MEBIBYTE) },
    { name: "LtxDecoder, 64 KiB chunks", bytes, run: () => decode(file, 65536) },
    { name: "LtxDecoder, 1000-byte chunks", bytes, run: () => decode(file, 1000) },
  ]);
  printResults("Decoding and verifying pages (target 1.2 x)", results, "lz4js decompressBlock");
}

/** Target: restores at 400 MB of pages a second. */
async function benchmarkFiles(): Promise<void> {
  const files = [snapshot()];
  for (let txid = 2n; txid <= 9n; txid++) {
    // Each later file rewrites one page in ten.
    const header = replicaHeader({
      pageSize: PAGE_SIZE,
      commit,
      minTxid: txid,
      maxTxid: txid,
      timestamp: 0n,
    });
    files.push(
      encodeLtx(
        header,
        images.filter(({ pgno }) => pgno % 10 === Number(txid)),
      ),
    );
  }
  const target = new Uint8Array(database.length);
  const restore = async (inputs: readonly LtxInput[]): Promise<void> => {
    const merge = new LtxMerge(inputs);
    await merge.open();
    for (;;) {
      const more = merge.next();
      if (!(typeof more === "boolean" ? more : await more)) break;
      target.set(merge.data, (merge.pgno - 1) * PAGE_SIZE);
    }
    await merge.close();
  };
  const bytes = database.length;
  const results = await measure([
    { name: "restore of one file", bytes, run: () => restore([input(files[0]!, MEBIBYTE)]) },
    {
      name: "restore of nine files",
      bytes,
      run: () => restore(files.map((file) => input(file, MEBIBYTE))),
    },
    {
      name: "compaction of nine files",
      bytes,
      run: () =>
        mergeLtx(
          files.map((file) => input(file, MEBIBYTE)),
          () => undefined,
        ),
    },
  ]);
  printResults("Merging, by bytes of the database (target 400 MB/s)", results);
}

function snapshot(): Uint8Array {
  const header = replicaHeader({
    pageSize: PAGE_SIZE,
    commit,
    minTxid: 1n,
    maxTxid: 1n,
    timestamp: 0n,
  });
  return encodeLtx(header, images);
}

function decode(file: Uint8Array, chunkSize: number): number {
  const decoder = new LtxDecoder();
  for (let at = 0; at < file.length; at += chunkSize) {
    decoder.push(file.subarray(at, at + chunkSize));
    while (decoder.next() === "page");
  }
  decoder.end();
  if (decoder.next() !== "done") throw new Error("the file did not end");
  return decoder.size;
}

function input(file: Uint8Array, chunkSize: number): LtxInput {
  let at = 0;
  return {
    name: "file",
    read: () => {
      if (at >= file.length) return undefined;
      at += chunkSize;
      return file.subarray(at - chunkSize, at);
    },
  };
}
