/**
 * Named files in the blocks of one file, for where a file cannot be made without waiting.
 *
 * A file becomes visible when its first block is written, which is written last. It is removed by overwriting that block's
 * header; its other blocks then belong to nobody and are used again. Nothing else is kept: what there is, is read from
 * the headers at the start.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 8 | `pgsblock` |
 * | 8 | 8 | number of the file, never used twice among the blocks there are |
 * | 16 | 4 | which block of the file, from 0 |
 * | 20 | 4 | bytes in this block |
 * | 24 | 4 | blocks of the file; in its first block alone, else 0 |
 * | 28 | 60 | its name, filled up with zeros; in its first block alone |
 * | 88 | 8 | CRC-64 of bytes 0 to 87 |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { InvalidArgumentError, IoError } from "../core/errors.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { Crc64 } from "../ltx/crc64.ts";
import type { StagedWriter } from "./local-state.ts";

const MAGIC = Uint8Array.from("pgsblock", (c) => c.charCodeAt(0));
const BLOCK = 64 * 1024;
const HEADER = 96;
const CHECKED = 88;
const NAME_AT = 28;
const NAME_LENGTH = CHECKED - NAME_AT;
const PAYLOAD = BLOCK - HEADER;

/** A finished file: where its blocks lie, in order. */
interface Stored {
  readonly blocks: readonly number[];
  readonly size: number;
}

interface Header {
  readonly id: number;
  readonly index: number;
  readonly length: number;
  readonly count: number;
  readonly name: string;
}

/** Small files with names, in one file that nobody else has open. */
export class BlockFile {
  readonly #file: OpenFile;
  readonly #stored = new Map<string, Stored>();
  /** Blocks that belong to nobody; the end of the file is at block `#end`. */
  readonly #free: number[] = [];
  #end = 0;
  #nextId = 1;
  #writers = 0;

  /** Reads what there is: the header of each block. The file is closed by its owner. */
  constructor(file: OpenFile) {
    this.#file = file;
    this.#scan();
  }

  /** Names of the finished files, sorted. */
  names(): string[] {
    return [...this.#stored.keys()].sort();
  }

  /** Size of a file in bytes; 0 where there is none. */
  size(name: string): number {
    return this.#stored.get(name)?.size ?? 0;
  }

  /** Bytes of a file, fewer than asked only at its end; `IoError` where it is missing. */
  read(name: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
    const stored = this.#stored.get(name);
    if (stored === undefined) throw gone(name);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, stored.size - offset)));
    for (let done = 0; done < bytes.length;) {
      const index = Math.floor((offset + done) / PAYLOAD);
      const within = (offset + done) % PAYLOAD;
      const part = bytes.subarray(done, done + PAYLOAD - within);
      const at = (stored.blocks[index] as number) * BLOCK + HEADER + within;
      if (this.#file.read(part, at) < part.length) throw gone(name);
      done += part.length;
    }
    return bytes;
  }

  /** Begins a file; a finished one of the same name is replaced when this one is finished. */
  write(name: string): StagedWriter {
    if (name.length > NAME_LENGTH || !/^[\x21-\x7e]+$/.test(name)) {
      const what = `it is not a name of 1 to ${NAME_LENGTH} plain characters`;
      throw new InvalidArgumentError({ operation: "stage", object: name, what });
    }
    const id = this.#nextId++;
    const blocks: number[] = [];
    // The first block waits for the end, since it says how many there are.
    let first: Uint8Array | undefined;
    let block = new Uint8Array(BLOCK);
    let filled = 0;
    let open = true;
    this.#writers++;
    const put = (): void => {
      if (blocks.length === 0) first = block;
      const at = this.#allocate();
      blocks.push(at);
      if (block !== first) {
        this.#put(at, block, { id, index: blocks.length - 1, length: filled, count: 0, name: "" });
      }
    };
    const end = (): void => {
      open = false;
      this.#writers--;
    };
    return {
      write: (chunk) => {
        for (let done = 0; done < chunk.length;) {
          if (filled === PAYLOAD) {
            put();
            if (block === first) block = new Uint8Array(BLOCK);
            filled = 0;
          }
          const part = chunk.subarray(done, done + PAYLOAD - filled);
          block.set(part, HEADER + filled);
          filled += part.length;
          done += part.length;
        }
      },
      finish: () => {
        put();
        const count = blocks.length;
        const length = count === 1 ? filled : PAYLOAD;
        this.#put(blocks[0] as number, first as Uint8Array, { id, index: 0, length, count, name });
        end();
        const replaced = this.#stored.get(name);
        this.#stored.set(name, { blocks, size: (count - 1) * PAYLOAD + filled });
        if (replaced !== undefined) this.#discard(replaced);
      },
      abort: () => {
        if (!open) return;
        end();
        this.#release(blocks);
      },
    };
  }

  /** Removes a file; missing is no error. */
  remove(name: string): void {
    const stored = this.#stored.get(name);
    if (stored === undefined) return;
    this.#stored.delete(name);
    this.#discard(stored);
  }

  /** Returns when everything finished is on stable storage. */
  sync(): void {
    this.#file.sync();
  }

  #scan(): void {
    const heads = new Map<number, Header>();
    const blocks = new Map<number, { readonly header: Header; readonly at: number }[]>();
    this.#end = Math.ceil(this.#file.size() / BLOCK);
    for (let at = 0; at < this.#end; at++) {
      const header = this.#header(at);
      if (header === undefined) continue;
      this.#nextId = Math.max(this.#nextId, header.id + 1);
      if (header.count > 0) heads.set(header.id, header);
      const known = blocks.get(header.id) ?? [];
      known.push({ header, at });
      blocks.set(header.id, known);
    }
    for (const [id, head] of [...heads].sort(([a], [b]) => a - b)) {
      const found = (blocks.get(id) ?? []).sort((a, b) => a.header.index - b.header.index);
      const isWhole =
        found.length === head.count && found.every(({ header }, i) => header.index === i);
      if (!isWhole) continue;
      const size = found.reduce((sum, { header }) => sum + header.length, 0);
      this.#stored.set(head.name, { blocks: found.map(({ at }) => at), size });
    }
    const used = new Set([...this.#stored.values()].flatMap((stored) => stored.blocks));
    for (let at = this.#end - 1; at >= 0; at--) if (!used.has(at)) this.#free.push(at);
    if (used.size === 0) this.#empty();
  }

  #header(at: number): Header | undefined {
    const bytes = new Uint8Array(HEADER);
    if (this.#file.read(bytes, at * BLOCK) < HEADER) return undefined;
    const view = viewOf(bytes);
    const crc = new Crc64();
    crc.update(bytes.subarray(0, CHECKED));
    const isIntact = view.getInt32(CHECKED) === crc.hi && view.getInt32(CHECKED + 4) === crc.lo;
    if (!isIntact || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
    const name = bytes.subarray(NAME_AT, CHECKED).filter((byte) => byte !== 0);
    return {
      id: Number(view.getBigUint64(8)),
      index: view.getUint32(16),
      length: view.getUint32(20),
      count: view.getUint32(24),
      name: String.fromCharCode(...name),
    };
  }

  #put(at: number, block: Uint8Array, header: Header): void {
    const { id, index, length, count, name } = header;
    block.fill(0, 0, HEADER);
    block.set(MAGIC);
    const view = viewOf(block);
    view.setBigUint64(8, BigInt(id));
    view.setUint32(16, index);
    view.setUint32(20, length);
    view.setUint32(24, count);
    for (let i = 0; i < name.length; i++) block[NAME_AT + i] = name.charCodeAt(i);
    const crc = new Crc64();
    crc.update(block.subarray(0, CHECKED));
    view.setInt32(CHECKED, crc.hi);
    view.setInt32(CHECKED + 4, crc.lo);
    this.#file.write(block.subarray(0, HEADER + length), at * BLOCK);
  }

  #discard({ blocks }: Stored): void {
    this.#file.write(new Uint8Array(HEADER), (blocks[0] as number) * BLOCK);
    this.#release(blocks);
  }

  #allocate(): number {
    return this.#free.pop() ?? this.#end++;
  }

  #release(blocks: readonly number[]): void {
    this.#free.push(...blocks);
    if (this.#stored.size === 0 && this.#writers === 0) this.#empty();
  }

  #empty(): void {
    this.#file.truncate(0);
    this.#free.length = 0;
    this.#end = 0;
  }
}

function gone(name: string): IoError {
  return new IoError({ operation: "read", object: name, what: "the staged file is gone" });
}
