/**
 * A file that can be replaced as a whole, at once, without a second name: two files by turns.
 *
 * The newer of the two counts. A replacement is written into the other one, synced, and counts once its header is there.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 8 | `pgstwin1` |
 * | 8 | 8 | which replacement it is, from 1 |
 * | 16 | 8 | CRC-64 of bytes 0 to 15 |
 * | 24 | ... | the bytes |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { Crc64 } from "../ltx/crc64.ts";

const MAGIC = Uint8Array.from("pgstwin1", (c) => c.charCodeAt(0));
const HEADER = 24;
const CHECKED = 16;

/** The two files, which their owner opens and closes. */
export type Twins = readonly [OpenFile, OpenFile];

/** One file with offsets of its own; there is none before the first {@linkcode TwinFile.replace}. */
export class TwinFile {
  readonly #files: Twins;
  /** Which of the two counts. */
  #current: 0 | 1 | undefined;
  #turn = 0n;

  /** Finds out which of the two counts. */
  constructor(files: Twins) {
    this.#files = files;
    for (const i of [0, 1] as const) {
      const turn = turnOf(files[i]);
      if (turn <= this.#turn) continue;
      this.#turn = turn;
      this.#current = i;
    }
  }

  /** Size in bytes; `undefined` where there is no file. */
  get size(): number | undefined {
    const file = this.#open();
    return file && Math.max(0, file.size() - HEADER);
  }

  /** Bytes from an offset, fewer than asked only at the end; none where there is no file. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, (this.size ?? 0) - offset)));
    return bytes.subarray(0, this.#open()?.read(bytes, HEADER + offset) ?? 0);
  }

  /** Writes into the file, which is made where there is none. */
  write(bytes: Uint8Array, offset: number): void {
    if (this.#current === undefined) this.replace(() => {});
    this.#open()?.write(bytes, HEADER + offset);
  }

  /** Sets the size in bytes; where there is no file there is nothing to cut. */
  truncate(size: number): void {
    this.#open()?.truncate(HEADER + size);
  }

  /** Returns when the bytes are on stable storage. */
  sync(): void {
    this.#open()?.sync();
  }

  /** Puts what `write` appends in the place of all there is, atomically and durably. */
  replace(write: (append: (bytes: Uint8Array) => void) => void): void {
    const next = this.#current === 0 ? 1 : 0;
    const file = this.#files[next];
    file.truncate(0);
    let size = HEADER;
    write((bytes) => {
      file.write(bytes, size);
      size += bytes.length;
    });
    // The header says that all of it is there.
    file.sync();
    file.write(headerOf(this.#turn + 1n), 0);
    file.sync();
    this.#turn++;
    this.#current = next;
  }

  /** Removes the file, durably. */
  remove(): void {
    if (this.#current === undefined) return;
    const older = this.#files[this.#current === 0 ? 1 : 0];
    older.truncate(0);
    older.sync();
    this.truncate(-HEADER);
    this.sync();
    this.#current = undefined;
  }

  #open(): OpenFile | undefined {
    return this.#current === undefined ? undefined : this.#files[this.#current];
  }
}

/** Which replacement a file holds; 0 where it holds none that was completed. */
function turnOf(file: OpenFile): bigint {
  const header = new Uint8Array(HEADER);
  if (file.read(header, 0) < HEADER) return 0n;
  const turn = viewOf(header).getBigUint64(8);
  const expected = headerOf(turn);
  return header.every((byte, i) => byte === expected[i]) ? turn : 0n;
}

function headerOf(turn: bigint): Uint8Array {
  const header = new Uint8Array(HEADER);
  const view = viewOf(header);
  header.set(MAGIC);
  view.setBigUint64(8, turn);
  const crc = new Crc64();
  crc.update(header.subarray(0, CHECKED));
  view.setInt32(CHECKED, crc.hi);
  view.setInt32(CHECKED + 4, crc.lo);
  return header;
}
