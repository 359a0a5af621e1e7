import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, fromHex } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import { lockPage } from "../core/lock-page.ts";
import { databaseChecksum, flaggedChecksum } from "./checksum.ts";
import { Crc64 } from "./crc64.ts";
import { decodeLtx } from "./decode-ltx.ts";
import { encodeLtx, LtxEncoder } from "./encoder.ts";
import { LtxChecksumError, LtxFormatError } from "./errors.ts";
import { formatFileName } from "./file-name.ts";
import { LTX_NO_CHECKSUM, type LtxHeader, replicaHeader } from "./header.ts";
import { type LtxInput, LtxMerge, mergeLtx } from "./merge.ts";

const SEED = 20261122;
const FLAG = 1n << 63n;
const PAGE_SIZE = 512;

/** A file as a test states it: pages by number, each filled with one value. */
interface Spec {
  readonly range: readonly [number, number];
  readonly commit: number;
  readonly pages: Readonly<Record<number, number>>;
  readonly header?: Partial<LtxHeader>;
  readonly postApplyChecksum?: bigint;
}

const fill = (value: number, size = PAGE_SIZE): Uint8Array => new Uint8Array(size).fill(value);

function ltx(spec: Spec): Uint8Array {
  const { range, commit, pages } = spec;
  const [minTxid, maxTxid] = [BigInt(range[0]), BigInt(range[1])];
  const timestamp = maxTxid * 1000n;
  const header = {
    ...replicaHeader({ pageSize: PAGE_SIZE, commit, minTxid, maxTxid, timestamp }),
    ...spec.header,
  };
  const { postApplyChecksum } = spec;
  return encodeLtx(
    header,
    Object.entries(pages).map(([pgno, value]) => ({
      pgno: Number(pgno),
      data: fill(value, header.pageSize),
    })),
    postApplyChecksum === undefined ? {} : { postApplyChecksum },
  );
}

/** How an input behaves. */
interface Behaviour {
  readonly chunkSize?: number;
  /** Every so many reads answers with a promise. */
  readonly asyncEvery?: number;
}

/** An input that overwrites its last chunk at the next read, as it may, and counts how often it is closed. */
function input(
  name: string,
  bytes: Uint8Array,
  behaviour: Behaviour = {},
): LtxInput & { closed: number } {
  const { chunkSize = 1 << 20, asyncEvery = Infinity } = behaviour;
  let at = 0;
  let reads = 0;
  let last = new Uint8Array(0);
  const self = {
    name,
    closed: 0,
    read: () => {
      last.fill(0xee);
      last = bytes.slice(at, at + chunkSize);
      at += chunkSize;
      const chunk = last.length === 0 ? undefined : last;
      return ++reads % asyncEvery === 0 ? Promise.resolve(chunk) : chunk;
    },
    close: () => {
      self.closed++;
    },
  };
  return self;
}

const inputs = (specs: readonly Spec[], behaviour?: Behaviour): (LtxInput & { closed: number })[] =>
  specs.map((spec) => {
    const name = formatFileName(BigInt(spec.range[0]), BigInt(spec.range[1]));
    return input(name, ltx(spec), behaviour);
  });

async function compact(
  from: readonly LtxInput[],
  options?: Parameters<typeof mergeLtx>[2],
): Promise<ReturnType<typeof decodeLtx> & { bytes: Uint8Array }> {
  const chunks: Uint8Array[] = [];
  const summary = await mergeLtx(from, (chunk) => void chunks.push(chunk), options);
  const bytes = concatBytes(chunks);
  expect(bytes).toHaveLength(summary.size);
  const decoded = decodeLtx(bytes);
  expect(decoded.header).toEqual(summary.header);
  expect(decoded.pages).toHaveLength(summary.pageCount);
  return { ...decoded, bytes };
}

/** What a merge hands out, as `{pgno: first byte}`. */
async function pagesOf(merge: LtxMerge): Promise<Record<number, number>> {
  const pages: Record<number, number> = {};
  await merge.open();
  while (await merge.next()) {
    expect(merge.data.every((byte) => byte === merge.data[0])).toBe(true);
    pages[merge.pgno] = merge.data[0]!;
  }
  return pages;
}

const filled = (decoded: {
  readonly pages: readonly { pgno: number; data: Uint8Array }[];
}): Record<number, number> =>
  Object.fromEntries(decoded.pages.map(({ pgno, data }) => [pgno, data[0]!]));

async function refusal(run: () => Promise<unknown>): Promise<Error> {
  try {
    await run();
  } catch (error) {
    if (isPagestreamError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("mergeLtx()", () => {
  test("mergeLtx() of one file reproduces it", async () => {
    const spec: Spec = { range: [1, 1], commit: 2, pages: { 1: 1, 2: 2 } };
    const { bytes } = await compact(inputs([spec]));
    expect(bytes).toEqual(ltx({ ...spec, header: { walOffset: 0 } }));
  });

  test("mergeLtx() lets newer pages replace older ones and keeps the rest, with the time of the last file", async () => {
    const result = await compact(
      inputs([
        { range: [1, 2], commit: 3, pages: { 1: 11, 2: 12, 3: 13 } },
        { range: [3, 3], commit: 4, pages: { 1: 21, 3: 23, 4: 24 } },
        { range: [4, 5], commit: 4, pages: { 3: 33 } },
      ]),
    );
    expect(result.header).toEqual({
      flags: LTX_NO_CHECKSUM,
      pageSize: PAGE_SIZE,
      commit: 4,
      minTxid: 1n,
      maxTxid: 5n,
      timestamp: 5000n,
      preApplyChecksum: 0n,
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 0n,
    });
    expect(filled(result)).toEqual({ 1: 21, 2: 12, 3: 33, 4: 24 });
  });

  test("mergeLtx() of three ranges that begin past TXID 1 is the sorted union", async () => {
    const result = await compact(
      inputs([
        { range: [2, 3], commit: 100, pages: { 3: 1, 90: 1 } },
        { range: [4, 5], commit: 200, pages: { 1: 2, 3: 2, 150: 2 } },
        { range: [6, 9], commit: 200, pages: { 3: 3 } },
      ]),
    );
    expect([result.header.minTxid, result.header.maxTxid]).toEqual([2n, 9n]);
    expect(filled(result)).toEqual({ 1: 2, 3: 3, 90: 1, 150: 2 });
  });

  test("mergeLtx() drops pages past the last size", async () => {
    const result = await compact(
      inputs([
        { range: [1, 1], commit: 3, pages: { 1: 1, 2: 2, 3: 3 } },
        { range: [2, 2], commit: 2, pages: { 1: 9 } },
      ]),
    );
    expect(filled(result)).toEqual({ 1: 9, 2: 2 });
  });

  test("mergeLtx() merges overlapping ranges and files without pages", async () => {
    const result = await compact(
      inputs([
        { range: [1, 5], commit: 2, pages: { 1: 1, 2: 1 } },
        { range: [3, 8], commit: 2, pages: { 2: 2 } },
        { range: [9, 9], commit: 2, pages: {} },
      ]),
    );
    expect(filled(result)).toEqual({ 1: 1, 2: 2 });
    expect(result.header.maxTxid).toBe(9n);
  });

  test("mergeLtx() copies blocks as they are and compresses what came as LZ4 frames", async () => {
    // The block for 0x12 that another compressor made.
    const block = Uint8Array.of(0x1f, 0x12, 1, 0, 0xff, 0xe8, 0x50, 0x12, 0x12, 0x12, 0x12, 0x12);
    const chunks: Uint8Array[] = [];
    const header = replicaHeader({
      pageSize: PAGE_SIZE,
      commit: 1,
      minTxid: 1n,
      maxTxid: 1n,
      timestamp: 0n,
    });
    const encoder = new LtxEncoder(header, (chunk) => chunks.push(chunk));
    encoder.encodeFrame(1, block, fill(0x12));
    encoder.finish();
    const { bytes } = await compact([input("block", concatBytes(chunks), { chunkSize: 5 })]);
    expect(bytes.subarray(110, 122)).toEqual(block);
    // The same page as an LZ4 frame.
    const frame = concatBytes([
      bytes.subarray(0, 100),
      fromHex("00000001000004224d186440a70c0000001f120100ffe85012121212120000000052aa7298"),
      fromHex("0000000000000164250000000000000000040000000000000000"),
    ]);
    const crc = new Crc64();
    for (const part of [frame.subarray(0, 106), fill(0x12), frame.subarray(-26)]) crc.update(part);
    const sum = new Uint8Array(8);
    new DataView(sum.buffer).setBigUint64(0, flaggedChecksum(crc));
    const fromFrame = await compact([input("frame", concatBytes([frame, sum]), { chunkSize: 5 })]);
    expect(fromFrame.pages).toEqual([{ pgno: 1, data: fill(0x12) }]);
    expect([...fromFrame.bytes.subarray(104, 106)]).toEqual([0, 1]);
  });

  test("mergeLtx() turns files with checksums into one without", async () => {
    const before = databaseChecksum(fill(1), PAGE_SIZE);
    const result = await compact(
      inputs([
        { range: [1, 1], commit: 1, pages: { 1: 1 }, header: { flags: 0 } },
        {
          range: [2, 2],
          commit: 1,
          pages: { 1: 2 },
          header: { flags: 0, preApplyChecksum: before },
          postApplyChecksum: FLAG | 1n,
        },
      ]),
    );
    expect(result.header.flags).toBe(LTX_NO_CHECKSUM);
    expect(result.trailer.postApplyChecksum).toBe(0n);
  });

  test("mergeLtx() waits for its output between pages and gives it one chunk at a time", async () => {
    const spec: Spec = {
      range: [1, 1],
      commit: 20,
      pages: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [i + 1, i])),
    };
    let busy = 0;
    let most = 0;
    const chunks: Uint8Array[] = [];
    await mergeLtx(
      inputs([spec]),
      async (chunk) => {
        most = Math.max(most, ++busy);
        await Promise.resolve();
        await Promise.resolve();
        chunks.push(chunk);
        busy--;
      },
      { chunkSize: 1 },
    );
    expect(most).toBe(1);
    expect(chunks.length).toBeGreaterThan(20);
    expect(decodeLtx(concatBytes(chunks)).pages).toHaveLength(20);
  });

  test("mergeLtx() closes every input once, whether it succeeds or fails", async () => {
    const specs: Spec[] = [
      { range: [1, 1], commit: 1, pages: { 1: 1 } },
      { range: [2, 2], commit: 1, pages: { 1: 2 } },
    ];
    const ok = inputs(specs);
    await compact(ok);
    expect(ok.map(({ closed }) => closed)).toEqual([1, 1]);
    const gap = inputs([specs[0]!, { ...specs[1]!, range: [3, 3] }]);
    await refusal(() => compact(gap));
    expect(gap.map(({ closed }) => closed)).toEqual([1, 1]);
    const failing = inputs(specs);
    const disk = mergeLtx(failing, () => Promise.reject(new Error("disk full")));
    await expect(disk).rejects.toThrow("disk full");
    expect(failing.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  test("mergeLtx() reports what ended the merge, not what closing adds", async () => {
    const broken = {
      ...input("a.ltx", new Uint8Array(200)),
      close: () => Promise.reject(new Error("close")),
    };
    expect((await refusal(() => compact([broken]))).message).toContain("does not begin with LTX1");
    const fine: LtxInput = {
      ...input("a.ltx", ltx({ range: [1, 1], commit: 1, pages: { 1: 1 } })),
      close: () => Promise.reject(new Error("cannot close")),
    };
    await expect(mergeLtx([fine], () => undefined)).rejects.toThrow("cannot close");
  });

  test("mergeLtx() refuses to merge nothing", async () => {
    expect((await refusal(() => compact([]))).message).toContain("there is no file to merge");
  });

  test("mergeLtx() names the input whose header is bad", async () => {
    const [first] = inputs([{ range: [1, 1], commit: 1, pages: { 1: 1 } }]);
    const error = await refusal(() => compact([first!, input("second.ltx", new Uint8Array(10))]));
    expect(error).toBeInstanceOf(LtxFormatError);
    expect(error).toMatchObject({ object: "second.ltx", field: "header", offset: 10 });
  });

  test("mergeLtx() refuses another page size, a gap and a file within the one before", async () => {
    const first: Spec = { range: [1, 2], commit: 1, pages: { 1: 1 } };
    const wrongSize: Spec = { range: [3, 3], commit: 1, pages: {}, header: { pageSize: 1024 } };
    expect(await refusal(() => compact(inputs([first, wrongSize])))).toMatchObject({
      object: "0000000000000003-0000000000000003.ltx",
      field: "pageSize",
    });
    for (const range of [
      [4, 4],
      [2, 2],
      [1, 1],
    ] as const) {
      const next: Spec = { range, commit: 1, pages: { 1: 2 } };
      expect(await refusal(() => compact(inputs([first, next])))).toMatchObject({
        field: "minTxid",
      });
    }
  });

  test("mergeLtx() lets a gap pass where it is told to, but no other page size", async () => {
    const specs: Spec[] = [
      { range: [1, 2], commit: 1, pages: { 1: 1 } },
      { range: [4, 4], commit: 1, pages: { 1: 2 } },
    ];
    const options = { allowNonContiguous: true };
    expect(filled(await compact(inputs(specs), options))).toEqual({ 1: 2 });
    const wrongSize: Spec = { ...specs[1]!, header: { pageSize: 1024 } };
    const error = await refusal(() => compact(inputs([specs[0]!, wrongSize]), options));
    expect(error).toMatchObject({ field: "pageSize" });
  });

  test("mergeLtx() refuses a chain that grows without the new pages", async () => {
    const specs: Spec[] = [
      { range: [1, 1], commit: 1, pages: { 1: 1 } },
      { range: [2, 2], commit: 3, pages: { 3: 3 } },
    ];
    expect((await refusal(() => compact(inputs(specs)))).message).toContain(
      "page 2 of 3 is in no file",
    );
    const end: Spec = { range: [2, 2], commit: 3, pages: { 2: 2 } };
    expect((await refusal(() => compact(inputs([specs[0]!, end])))).message).toContain(
      "page 3 of 3",
    );
  });

  test("mergeLtx() brings no page back that a file cut off", async () => {
    const specs: Spec[] = [
      { range: [1, 1], commit: 3, pages: { 1: 1, 2: 2, 3: 3 } },
      { range: [2, 2], commit: 1, pages: { 1: 4 } },
      { range: [3, 3], commit: 3, pages: { 2: 5 } },
    ];
    const message = "page 3 was cut off by 0000000000000002-0000000000000002.ltx";
    expect((await refusal(() => compact(inputs(specs)))).message).toContain(message);
    const whole = specs.with(2, { ...specs[2]!, pages: { 2: 5, 3: 6 } });
    expect(filled(await compact(inputs(whole)))).toEqual({ 1: 4, 2: 5, 3: 6 });
    // Past TXID 1 the same holds, though such a file need not be complete.
    const later = specs.map((spec) => ({
      ...spec,
      range: [spec.range[0] + 1, spec.range[1] + 1] as const,
    }));
    expect((await refusal(() => compact(inputs(later)))).message).toContain("page 3 was cut off");
  });

  test("mergeLtx() refuses the lock page, and needs none in a database past 1 GiB", async () => {
    const lock = lockPage(65536);
    const specs: Spec[] = [
      { range: [2, 2], commit: lock + 2, pages: { [lock - 1]: 1 }, header: { pageSize: 65536 } },
      { range: [3, 3], commit: lock + 2, pages: { [lock + 1]: 2 }, header: { pageSize: 65536 } },
    ];
    expect(filled(await compact(inputs(specs)))).toEqual({ [lock - 1]: 1, [lock + 1]: 2 });
    // The encoder writes no lock page, so a page number is patched; the order is checked before the checksum.
    const bytes = ltx(specs[0]!);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(100, lock);
    const error = await refusal(() => compact([input("a.ltx", bytes)]));
    expect(error.message).toContain(`page ${lock} is the lock page`);
  });

  test("mergeLtx() refuses pages out of order, given twice or past their file's size", async () => {
    const file = ltx({ range: [2, 2], commit: 9, pages: { 3: 3, 5: 5 } });
    const second = decodeLtx(file).index.offsets[1]!;
    for (const [pgno, message] of [
      [2, "page 2 follows page 3"],
      [3, "page 3 follows page 3"],
      [10, "page 10 is past the database size of 9 pages"],
    ] as const) {
      const bytes = file.slice();
      new DataView(bytes.buffer).setUint32(second, pgno);
      const error = await refusal(() => compact([input("a.ltx", bytes)]));
      expect(error.message).toContain(message);
      expect(error).toMatchObject({ object: "a.ltx", field: "pgno", offset: second });
    }
  });

  test("mergeLtx() finds damage in every input, also behind the last page it needs", async () => {
    const specs: Spec[] = [
      { range: [1, 1], commit: 5, pages: { 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 } },
      { range: [2, 2], commit: 2, pages: { 1: 9 } },
    ];
    for (const which of [0, 1]) {
      const files = specs.map(ltx);
      const bytes = files[which]!;
      bytes[bytes.length - 1]! ^= 1;
      const from = files.map((file, i) => input(`${i}.ltx`, file));
      const error = await refusal(() => compact(from));
      expect(error).toBeInstanceOf(LtxChecksumError);
      expect(error).toMatchObject({ object: `${which}.ltx` });
      const cut = specs
        .map(ltx)
        .map((file, i) => input(`${i}.ltx`, i === which ? file.subarray(0, -1) : file));
      expect(await refusal(() => compact(cut))).toMatchObject({
        object: `${which}.ltx`,
        field: "trailer",
      });
    }
  });
});

describe("LtxMerge", () => {
  const specs: Spec[] = [
    { range: [1, 1], commit: 3, pages: { 1: 1, 2: 2, 3: 3 } },
    { range: [2, 2], commit: 3, pages: { 2: 9 } },
  ];

  test("LtxMerge answers without a promise as long as no input needs waiting", async () => {
    const merge = new LtxMerge(inputs(specs, { chunkSize: 7 }));
    await merge.open();
    const answers = [
      merge.next(),
      merge.pgno,
      merge.next(),
      merge.data[0],
      merge.next(),
      merge.next(),
    ];
    expect(answers).toEqual([true, 1, true, 9, true, false]);
    expect(merge.next()).toBe(false);
    await merge.close();
  });

  test("LtxMerge answers with a promise only when it waits", async () => {
    const merge = new LtxMerge(inputs(specs, { chunkSize: 40, asyncEvery: 2 }));
    await merge.open();
    const kinds = new Set<string>();
    const pages: number[] = [];
    for (;;) {
      const more = merge.next();
      kinds.add(typeof more);
      if (!(await more)) break;
      pages.push(merge.data[0]!);
    }
    expect(pages).toEqual([1, 9, 3]);
    expect(kinds).toEqual(new Set(["boolean", "object"]));
  });

  test("LtxMerge refuses to be used before open(), after close() and without a current page", async () => {
    const merge = new LtxMerge(inputs(specs));
    expect(() => merge.next()).toThrow("the merge is not open");
    const header = await merge.open();
    expect(await merge.open()).toBe(header);
    expect(() => merge.data).toThrow("there is no current page");
    expect(() => merge.payload).toThrow("there is no current page");
    expect(merge.pgno).toBe(0);
    await merge.close();
    await merge.close();
    expect(() => merge.next()).toThrow("the merge is closed");
  });

  test("LtxMerge opens a few inputs at a time, and closes those that were never read", async () => {
    let open = 0;
    let most = 0;
    const many = Array.from({ length: 40 }, (_, i) => {
      const spec: Spec = { range: [i + 1, i + 1], commit: 1, pages: { 1: i } };
      const from = input(`${i}.ltx`, ltx(spec));
      return {
        ...from,
        read: async () => {
          most = Math.max(most, ++open);
          await Promise.resolve();
          open--;
          return from.read();
        },
      };
    });
    expect(await pagesOf(new LtxMerge(many))).toEqual({ 1: 39 });
    expect(most).toBe(8);
  });

  test("LtxMerge reads no further input once one failed to open, and waits for reads under way", async () => {
    let reads = 0;
    let ended = 0;
    const bad = Array.from({ length: 40 }, (_, i): LtxInput => ({
      name: `${i}.ltx`,
      read: async () => {
        reads++;
        for (let k = 0; k < i; k++) await Promise.resolve();
        ended++;
        return new Uint8Array(100);
      },
    }));
    expect(await refusal(() => new LtxMerge(bad).open())).toMatchObject({ object: "0.ltx" });
    expect([reads, ended]).toEqual([8, 8]);
  });

  test("LtxMerge passes on what an input throws", async () => {
    const failing: LtxInput = {
      name: "a.ltx",
      read: () => Promise.reject(new Error("connection reset")),
    };
    await expect(new LtxMerge([failing]).open()).rejects.toThrow("connection reset");
    const file = ltx(specs[0]!);
    let reads = 0;
    const later: LtxInput = {
      name: "a.ltx",
      read: () =>
        reads++ === 0 ? file.slice(0, 130) : Promise.reject(new Error("connection reset")),
    };
    await expect(pagesOf(new LtxMerge([later]))).rejects.toThrow("connection reset");
  });

  test("LtxMerge of a random chain equals its files applied one after the other, seed 20261122", async () => {
    const change = fc.record({
      size: fc.integer({ min: 1, max: 12 }),
      touched: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 5 }),
      span: fc.integer({ min: 1, max: 3 }),
    });
    const chunks = fc.integer({ min: 1, max: 400 });
    const chain = fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 12 }),
      chunks,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 11 }),
      async (changes, chunkSize, asyncEvery, split) => {
        let database: number[] = [];
        let txid = 0;
        const files = changes.map(({ size, touched, span }, i): Spec => {
          const pages: Record<number, number> = {};
          for (let pgno = 1; pgno <= size; pgno++) {
            if (pgno > database.length || touched.includes(pgno))
              pages[pgno] = (i * 16 + pgno) & 255;
          }
          database = Array.from({ length: size }, (_, k) => pages[k + 1] ?? database[k]!);
          const range = [txid + 1, (txid += span)] as const;
          return { range, commit: size, pages };
        });
        const behaviour = { chunkSize, asyncEvery };
        const expected = Object.fromEntries(database.map((value, k) => [k + 1, value]));
        expect(await pagesOf(new LtxMerge(inputs(files, behaviour)))).toEqual(expected);
        // Compacting the front first, or the back, changes nothing.
        const at = split % files.length;
        const [front, back] = [files.slice(0, at), files.slice(at)];
        const parts: LtxInput[] = [];
        for (const part of [front, back]) {
          if (part.length > 0)
            parts.push(input("part", (await compact(inputs(part, behaviour))).bytes));
        }
        expect(await pagesOf(new LtxMerge(parts))).toEqual(expected);
      },
    );
    await fc.assert(chain, { seed: SEED, numRuns: 200 });
  });
});
