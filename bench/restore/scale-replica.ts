/**
 * Replicas for restores at scale, written straight by the encoder: a large database, and a chain of very many files.
 *
 * @module
 */
import { existsSync, mkdirSync, rmSync, writeFileSync, appendFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatFileName, LtxEncoder, replicaHeader } from "pagestream/ltx";

/** What to build. */
export interface ScaleReplicaOptions {
  /** Pages of 4 KiB in the database. */
  readonly pages: number;
  /** Files of level 1 after the snapshot; each changes `pagesPerL1` pages. */
  readonly l1: number;
  readonly pagesPerL1: number;
  /** Files of level 0 after those; each changes page 1 and `pagesPerL0 - 1` others. */
  readonly l0: number;
  readonly pagesPerL0: number;
}

const PAGE_SIZE = 4096;
/** TXIDs in a file of level 1. */
const TXIDS_PER_L1 = 30;
const START = 1_790_000_000_000;

/** Builds a replica below `directory`, which is taken as it is where it was finished earlier. */
export function scaleReplica(directory: string, options: ScaleReplicaOptions): string {
  const { pages, l1, pagesPerL1, l0, pagesPerL0 } = options;
  const name = [pages, l1, pagesPerL1, l0, pagesPerL0].join("-");
  const replica = join(directory, name);
  if (existsSync(join(replica, "done"))) return replica;
  rmSync(replica, { recursive: true, force: true });
  const image = pageImages();
  const all = Array.from({ length: pages }, (_, i) => i + 1).filter((pgno) => pgno !== 262_145);
  let txid = 10n;
  const write = (level: number, count: bigint, changed: Iterable<number>): void => {
    const minTxid = level === 9 ? 1n : txid + 1n;
    txid = level === 9 ? txid : txid + count;
    const path = join(replica, "ltx", String(level), formatFileName(minTxid, txid));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
    const header = replicaHeader({
      pageSize: PAGE_SIZE,
      commit: pages,
      minTxid,
      maxTxid: txid,
      timestamp: BigInt(START) + txid * 1000n,
      compacted: level > 0,
    });
    const encoder = new LtxEncoder(header, (chunk) => appendFileSync(path, chunk));
    for (const pgno of changed) encoder.encodePage(pgno, image(pgno, txid));
    encoder.finish();
  };
  // Fibonacci's multiplier spreads the changes over the database, the same ones each time.
  const spread = (count: number, round: number): number[] => {
    const chosen = new Set([1]);
    for (let i = 0; chosen.size < count; i++) {
      const pgno = 1 + ((Math.imul(round * 40_503 + i, 0x9e3779b1) >>> 0) % pages);
      if (pgno !== 262_145) chosen.add(pgno);
    }
    return [...chosen].sort((a, b) => a - b);
  };
  write(9, 0n, all);
  for (let i = 0; i < l1; i++) write(1, BigInt(TXIDS_PER_L1), spread(pagesPerL1, i));
  for (let i = 0; i < l0; i++) write(0, 1n, spread(pagesPerL0, l1 + i));
  writeFileSync(join(replica, "done"), "");
  return replica;
}

/** Makes images that compress to about a third, each with its page number and TXID. */
function pageImages(): (pgno: number, txid: bigint) => Uint8Array {
  const noise = new Uint8Array(64 * 1024);
  let state = 1;
  for (let i = 0; i < noise.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    noise[i] = state >>> 24;
  }
  const page = new Uint8Array(PAGE_SIZE);
  const view = new DataView(page.buffer);
  return (pgno, txid) => {
    const at = (pgno * 61 + Number(txid) * 17) % (noise.length - 1400);
    page.set(noise.subarray(at, at + 1400), 16);
    view.setUint32(0, pgno);
    view.setBigUint64(8, txid);
    return page;
  };
}
