import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, test } from "vitest";
import {
  appendFramePages,
  readFramePages,
  readWalIndexHeader,
  WAL_INDEX_BLOCK,
  type WalIndexFile,
  writeWalIndexHeader,
} from "./wal-index.ts";
import { newWal, WalWriter } from "./wal-writer.ts";
import { openWal } from "./wal-reader.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-wal-index-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file in memory. */
function memoryFile(bytes: Uint8Array = new Uint8Array(0)): WalIndexFile & { bytes: Uint8Array } {
  return {
    bytes,
    read(into, offset) {
      const part = this.bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    write(data, offset) {
      if (offset + data.length > this.bytes.length) {
        const grown = new Uint8Array(offset + data.length);
        grown.set(this.bytes);
        this.bytes = grown;
      }
      this.bytes.set(data, offset);
    },
  };
}

let databases = 0;

/** Index and log that SQLite itself makes of some transactions, while it has them open. */
function sqliteFiles(rows: number) {
  const path = join(folder, `${databases++}.db`);
  const db = new DatabaseSync(path);
  db.exec(
    "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a, b)",
  );
  const insert = db.prepare("INSERT INTO t VALUES (?, zeroblob(3000))");
  for (let i = 0; i < rows; i++) insert.run(i);
  const files = { index: readFileSync(`${path}-shm`), wal: readFileSync(`${path}-wal`) };
  db.close();
  return { index: new Uint8Array(files.index), wal: new Uint8Array(files.wal) };
}

describe("readWalIndexHeader()", () => {
  test("readWalIndexHeader() reads what SQLite wrote", () => {
    const { index, wal } = sqliteFiles(100);
    const header = readWalIndexHeader(memoryFile(index));
    expect(header).toMatchObject({ pageSize: 4096, frames: (wal.length - 32) / 4120 });
    expect(header?.salts).toEqual(wal.subarray(16, 24));
  });

  test.each([0, 12, 16, 40, 48, 60, 90])(
    "readWalIndexHeader() gives nothing where byte %i is torn",
    (at) => {
      const { index } = sqliteFiles(10);
      index[at] = (index[at] as number) ^ 1;
      expect(readWalIndexHeader(memoryFile(index))).toBeUndefined();
    },
  );

  test("readWalIndexHeader() gives nothing of a short file", () => {
    expect(readWalIndexHeader(memoryFile(new Uint8Array(95)))).toBeUndefined();
  });

  test("readWalIndexHeader() reads what writeWalIndexHeader() wrote", () => {
    const { index } = sqliteFiles(10);
    const header = readWalIndexHeader(memoryFile(index));
    const copy = memoryFile(index.slice());
    for (const pageSize of [512, 65_536]) {
      writeWalIndexHeader(copy, { ...header!, pageSize });
      expect(readWalIndexHeader(copy)).toEqual({ ...header, pageSize });
    }
    writeWalIndexHeader(copy, header!);
    expect(copy.bytes).toEqual(index);
  });
});

describe("appendFramePages()", () => {
  // Frames in one, two and three blocks.
  test.each([1, 2000, 6000])(
    "appendFramePages() makes the tables that SQLite makes of the frames of %i rows",
    (rows) => {
      const { index } = sqliteFiles(rows);
      const theirs = memoryFile(index);
      const { frames } = readWalIndexHeader(theirs)!;
      const pgnos = [...readFramePages(theirs, frames)];
      const ours = memoryFile(index.slice(0, 136));
      for (let done = 0; done < frames; done += 1000) {
        appendFramePages(ours, done, pgnos.slice(done, done + 1000));
      }
      expect(ours.bytes.length % WAL_INDEX_BLOCK).toBe(0);
      expect(Buffer.from(ours.bytes).equals(index.subarray(0, ours.bytes.length))).toBe(true);
    },
  );

  test("appendFramePages() leaves nothing of what a crash left behind", () => {
    const clean = memoryFile(new Uint8Array(136));
    appendFramePages(clean, 0, [5, 6, 7]);
    appendFramePages(clean, 3, [8, 9]);
    const other = memoryFile(new Uint8Array(136));
    appendFramePages(other, 0, [5, 6, 7]);
    appendFramePages(other, 3, [1, 2, 3, 4, 5, 6]);
    appendFramePages(other, 3, [8, 9]);
    expect(other.bytes).toEqual(clean.bytes);
  });
});

describe("WalWriter", () => {
  test("WalWriter writes frames that SQLite reads back", () => {
    const { wal } = sqliteFiles(300);
    const reader = openWal((offset, length) => wal.subarray(offset, offset + length))!;
    const { header, tail } = newWal(4096, wal.slice(16, 24));
    const out = memoryFile(header);
    const first = new WalWriter((bytes, offset) => out.write(bytes, offset), tail);
    let frames = 0;
    let writer = first;
    for (let frame = reader.readFrame(); frame !== undefined; frame = reader.readFrame()) {
      writer.append(frame.pgno, frame.data, frame.commit);
      if (++frames !== 100) continue;
      writer.flush();
      const goOn = { ...tail, ...writer.checksum, frames };
      writer = new WalWriter((bytes, offset) => out.write(bytes, offset), goOn);
    }
    writer.flush();
    // The header differs in the checkpoint sequence at most, and so the running checksums do.
    const read = (bytes: Uint8Array): unknown[] => {
      const log = openWal((offset, length) => bytes.subarray(offset, offset + length))!;
      const found: unknown[] = [];
      for (let frame = log.readFrame(); frame !== undefined; frame = log.readFrame()) {
        found.push([frame.pgno, frame.commit, Buffer.from(frame.data).toString("base64")]);
      }
      return found;
    };
    expect(frames).toBeGreaterThan(250);
    expect(read(out.bytes)).toEqual(read(wal));
  });
});
