/**
 * Every block we write, as liblz4's own strict decoder reads it: `LZ4_decompress_safe` with exactly the page as room.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import { PAGE_SIZES } from "../../src/core/database-header.ts";
import { lz4CompressBound } from "../../src/ltx/lz4-block.ts";
import { PLAIN_KERNEL, pageKernel } from "../../src/ltx/wasm-kernel.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";

const SEED = 20261122;
const python = new URL("../../.tools/bin/python", import.meta.url).pathname;

/** Reads pairs of page size and block from standard input, prints the digest of all pages. */
const DECODER = `
import sys, struct, hashlib, lz4.block
data, at, digest, count = sys.stdin.buffer.read(), 0, hashlib.sha256(), 0
while at < len(data):
    size, length = struct.unpack_from("<II", data, at)
    page = lz4.block.decompress(data[at + 8 : at + 8 + length], uncompressed_size=size)
    assert len(page) == size
    digest.update(page)
    at, count = at + 8 + length, count + 1
print(count, digest.hexdigest())
`;

/** Pages of a real database, random ones, and ones of repeated pieces. */
async function pagesOf(size: number): Promise<Uint8Array[]> {
  const sqlite3 = await sqlite3InitModule();
  const db = new sqlite3.oo1.DB(":memory:");
  db.exec(`PRAGMA page_size=${size}; CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); CREATE INDEX i ON t(b);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO t SELECT i, 'text of row ' || (i * 7919 % 3000), randomblob(i % 50) FROM n`);
  const bytes = sqlite3.capi.sqlite3_js_db_export(db);
  db.close();
  const pages: Uint8Array[] = [];
  for (let at = 0; at < bytes.length && pages.length < 300; at += size) {
    pages.push(bytes.subarray(at, at + size));
  }
  const random = seededRandom(SEED + size);
  for (let i = 0; i < 60; i++) {
    const page = random.bytes(size);
    for (let piece = 0; piece < i; piece++) {
      const from = random.int(size - 16);
      page.copyWithin(random.int(size - 16), from, from + 4 + random.int(size >> 2));
    }
    pages.push(page);
  }
  return pages;
}

const blocks = `liblz4 reads every block we write (seed ${SEED})`;
// The path of the suite's tools: "npm test" makes it, and under .ci/run a skip is a failure.
const tested = existsSync(python) ? test : test.skip;

for (const kernel of [pageKernel(), PLAIN_KERNEL]) {
  tested(`${blocks}, ${kernel.name} kernel`, async () => {
    const input: Uint8Array[] = [];
    const digest = createHash("sha256");
    let count = 0;
    for (const size of PAGE_SIZES) {
      for (const page of await pagesOf(size)) {
        const room = new Uint8Array(lz4CompressBound(size));
        const length = kernel.compressPage(page, room);
        input.push(new Uint8Array(Uint32Array.of(size, length).buffer), room.slice(0, length));
        digest.update(page);
        count++;
      }
    }
    const done = spawnSync(python, ["-c", DECODER], { input: Buffer.concat(input) });
    expect(done.stderr.toString()).toBe("");
    expect(done.stdout.toString().trim()).toBe(`${count} ${digest.digest("hex")}`);
  });
}
