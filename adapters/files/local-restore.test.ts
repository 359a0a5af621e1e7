import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bytesSink, restore } from "pagestream";
import { LtxEncoder, formatFileName, replicaHeader } from "pagestream/ltx";
import { seededRandom } from "pagestream/testing";
import { fileStore } from "./file-store.ts";

const SEED = 20261122;
const PAGE_SIZE = 4096;
const COMMIT = 3000;

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "pagestream-local-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test(`restore() of large local files reads them through a few buffers, each page right, seed ${SEED}`, async () => {
  const random = seededRandom(SEED);
  const store = fileStore(directory);
  const expected = new Uint8Array(COMMIT * PAGE_SIZE);
  // Incompressible, so that each file is many buffers long and the merge holds several of each at a time.
  for (let txid = 1n; txid <= 4n; txid++) {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const header = replicaHeader({
      pageSize: PAGE_SIZE,
      commit: COMMIT,
      minTxid: txid,
      maxTxid: txid,
      timestamp: 1_700_000_000_000n + txid,
    });
    const encoder = new LtxEncoder(header, (chunk) => void chunks.push(chunk));
    for (let pgno = 1; pgno <= COMMIT; pgno++) {
      if (txid > 1n && random.chance(0.6)) continue;
      const page = random.bytes(PAGE_SIZE);
      expected.set(page, (pgno - 1) * PAGE_SIZE);
      encoder.encodePage(pgno, page);
    }
    encoder.finish();
    const file = Buffer.concat(chunks);
    await store.put(`ltx/0/${formatFileName(txid, txid)}`, file);
  }
  const sink = bytesSink();
  await restore(store, sink);
  expect(Buffer.from(sink.bytes).equals(expected)).toBe(true);
});
