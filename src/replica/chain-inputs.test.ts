import { describe, expect, test } from "vitest";
import { LtxMerge } from "../ltx/merge.ts";
import { buildLtx, fakePlatform, faultyStore } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { ChainInputs } from "./chain-inputs.ts";
import { type LtxFileInfo, Replica } from "./replica.ts";

const PAGE_SIZE = 512;
const COMMIT = 40;

/** A snapshot and `count` files after it, each with two pages; also what the pages must hold in the end. */
async function chain(count: number) {
  const store = faultyStore(memoryStore());
  const replica = new Replica(store, { platform: fakePlatform(1) });
  const files: LtxFileInfo[] = [];
  const expected = new Map<number, number>();
  for (let txid = 1; txid <= count + 1; txid++) {
    const pages: Record<number, number> = {};
    const changed =
      txid === 1 ? Array.from({ length: COMMIT }, (_, i) => i + 1) : [1, 2 + (txid % 39)];
    for (const pgno of changed) {
      pages[pgno] = (txid * 7 + pgno) % 251;
      expected.set(pgno, pages[pgno] as number);
    }
    const built = buildLtx({ minTxid: BigInt(txid), pages, commit: COMMIT, pageSize: PAGE_SIZE });
    const where = { level: 0, minTxid: built.minTxid, maxTxid: built.maxTxid };
    const info = await replica.write({ ...where, timestamp: BigInt(txid) }, built.bytes);
    files.push(info);
  }
  store.reset();
  return { store, replica, files, expected };
}

async function mergeAll(inputs: ChainInputs, files: readonly LtxFileInfo[]) {
  const opened = await inputs.open(files);
  const merge = new LtxMerge(opened);
  const header = await merge.open();
  const pages = new Map<number, number>();
  while (await merge.next()) pages.set(merge.pgno, merge.data[0] as number);
  await merge.close();
  inputs.close();
  return { opened: opened.length, header, pages };
}

describe("ChainInputs", () => {
  test("ChainInputs hands a short chain on as it is", async () => {
    const { replica, files, expected } = await chain(100);
    const result = await mergeAll(new ChainInputs(replica), files);
    expect(result.opened).toBe(101);
    expect(result.pages).toEqual(expected);
  });

  test("ChainInputs makes a few inputs of a long chain, each file read once", async () => {
    const { store, replica, files, expected } = await chain(1000);
    const inputs = new ChainInputs(replica);
    const result = await mergeAll(inputs, files);
    expect(result.opened).toBe(8);
    expect(result.pages).toEqual(expected);
    expect(result.header).toMatchObject({ minTxid: 1n, maxTxid: 1001n, commit: COMMIT });
    expect(store.count("get")).toBe(1001);
    expect(inputs.consumedBytes).toBe(files.reduce((sum, file) => sum + file.size, 0));
  });

  test("ChainInputs joins its groups when they take more than they may", async () => {
    const { replica, files, expected } = await chain(1000);
    const result = await mergeAll(new ChainInputs(replica, { bundleBytes: 5000 }), files);
    expect(result.opened).toBeLessThan(5);
    expect(result.pages).toEqual(expected);
  });

  test("ChainInputs reads files directly past the bound of what it may hold", async () => {
    const { replica, files, expected } = await chain(1000);
    const result = await mergeAll(new ChainInputs(replica, { bundleBytes: 1 }), files);
    expect(result.opened).toBe(1 + 1001 - 128);
    expect(result.pages).toEqual(expected);
  });

  test("ChainInputs names the damaged file of a group", async () => {
    const { store, replica, files } = await chain(300);
    const { key, size } = files[200] as LtxFileInfo;
    const bytes = await replica.read(files[200] as LtxFileInfo);
    bytes[size - 1] = (bytes[size - 1] as number) ^ 1;
    await store.delete([key]);
    const { etag } = await store.put(key, bytes);
    files[200] = { ...(files[200] as LtxFileInfo), etag };
    await expect(new ChainInputs(replica).open(files)).rejects.toMatchObject({ object: key });
  });

  test("ChainInputs passes on that a file of a group is gone", async () => {
    const { store, replica, files } = await chain(300);
    await store.delete([(files.at(-1) as LtxFileInfo).key]);
    await expect(new ChainInputs(replica).open(files)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});
