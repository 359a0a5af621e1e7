/**
 * The local copy of a replica: which pages it has, of which states, and what of it is right after a crash.
 *
 * Each page is known to be right from one TXID to another, so a reader of any state is given a page only where it is the
 * page of that state; it never matters how far the copy has come, nor what it will hold next.
 *
 * The record has a digest for each page, of its bytes and of the object they came from. It is written after the page, and
 * nothing of it is believed: after a crash a page counts if its bytes still have the digest, and the state that is wanted
 * has the page from the same object. So neither file needs to be synced before the other.
 *
 * | record | size | field |
 * | ---: | ---: | --- |
 * | 0 | 8 | `pghydra1` |
 * | 8 | 16 | key of the digests |
 * | 24 | 4 | page size, little-endian as all that follows |
 * | 28 | 4 | 0 |
 * | 32 | 8 each | for each page its digest combined with that of its object, or 0 |
 *
 * While pages are missing, or are being replaced, the first bytes of the database are zeros: nobody takes it for whole.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { crc64 } from "../ltx/crc64.ts";
import { TargetExistsError } from "./errors.ts";
import type { CopyFile, CopyFiles } from "./hydrate-target.ts";
import { DIGEST_KEY_LENGTH, PageDigest } from "./page-digest.ts";

/** The object that a page lies in, and the states it is known for. */
export interface PageOrigin {
  /** The TXID from which on the page is the one of this object: the last of the object. */
  readonly from: number;
  /** What tells the object from others: its key, size and version. */
  readonly object: string;
}

const MAGIC = Uint8Array.from("pghydra1", (c) => c.charCodeAt(0));
const HEADER_SIZE = 32;
const PAGE_SIZE_AT = 24;
const MARK_SIZE = 8;
/** `SQLite format 3` and a zero. */
const SIGNATURE_SIZE = 16;
/** Bytes that are written at once. */
const RUN_BYTES = 256 * 1024;

/** Pages of a replica in files of this machine, or in memory. */
export class LocalCopy {
  readonly #files: CopyFiles;
  readonly #pages: CopyFile;
  readonly #record: CopyFile | undefined;
  /** Bytes of a page. */
  readonly pageSize: number;
  readonly #digest: PageDigest;
  readonly #scratch: Uint8Array<ArrayBuffer>;
  readonly #objects = new Map<string, Int32Array>();
  /** Per page the first and the last TXID it is known for; 0 where it is not there. */
  #from = new Float64Array(1024);
  #to = new Float64Array(1024);
  /** The record as it should be, two words a page. */
  #marks = new Int32Array(0);
  #run = new Uint8Array(0);
  #runFirst = 0;
  #runLength = 0;
  /** Page 1 while it is kept out of the file. */
  #first: Uint8Array | undefined;
  /** Between `begin` and `finish`. */
  #isOpen = false;

  /** Takes files that `open` has prepared. */
  private constructor(files: CopyFiles, pageSize: number, key: Uint8Array) {
    this.#files = files;
    this.#pages = files.pages;
    this.#record = files.record;
    this.pageSize = pageSize;
    this.#digest = new PageDigest(key);
    this.#scratch = new Uint8Array(pageSize);
  }

  /**
   * Takes opened files, with what an earlier copy left in them. Throws `TargetExistsError` where the file is not empty and
   * was not written by a copy.
   */
  static open(
    files: CopyFiles,
    options: {
      readonly name: string;
      readonly pageSize: number;
      readonly randomBytes: (length: number) => Uint8Array;
    },
  ): LocalCopy {
    const { pages, record } = files;
    const { name, pageSize } = options;
    const header = new Uint8Array(HEADER_SIZE);
    const read = record?.read(header, 0) ?? 0;
    const isOurs = read === HEADER_SIZE && MAGIC.every((byte, i) => header[i] === byte);
    if (record !== undefined && !isOurs && pages.size() > 0) {
      throw new TargetExistsError({
        operation: "hydrate into",
        object: name,
        what: "there is a file that is no copy of a replica, or the record beside it is damaged",
        next: "Choose another place, or remove the file and its record",
      });
    }
    const key = header.subarray(MAGIC.length, MAGIC.length + DIGEST_KEY_LENGTH);
    const isSame = isOurs && viewOf(header).getUint32(PAGE_SIZE_AT, true) === pageSize;
    if (!isSame) {
      header.set(MAGIC);
      key.set(options.randomBytes(DIGEST_KEY_LENGTH));
      viewOf(header).setUint32(PAGE_SIZE_AT, pageSize, true);
      // The record before the file: a file without a record would be refused for ever.
      record?.truncate(0);
      record?.write(header, 0);
      record?.sync();
      pages.truncate(0);
    }
    const copy = new LocalCopy(files, pageSize, key);
    if (record !== undefined && isSame) copy.#readMarks(record);
    return copy;
  }

  /** Whether the page of a state is here, given the last TXID of the object it lies in and that of the state. */
  has(pgno: number, from: number, to: number): boolean {
    const known = this.#to[pgno - 1] ?? 0;
    return known !== 0 && Math.max(from, this.#from[pgno - 1] as number) <= Math.min(to, known);
  }

  /**
   * The page of a state, as `has`; undefined where it is not here, or cannot be read any more. The bytes are good until the
   * next call.
   */
  read(pgno: number, from: number, to: number): Uint8Array | undefined {
    if (!this.has(pgno, from, to)) return undefined;
    if (pgno === 1 && this.#first !== undefined) return this.#first;
    const at = pgno - this.#runFirst;
    if (at >= 0 && at < this.#runLength) return this.#runPage(at);
    try {
      if (this.#load(pgno)) return this.#scratch;
    } catch {
      // The next pass finds it missing.
    }
    this.#to[pgno - 1] = 0;
    return undefined;
  }

  /**
   * Looks whether an earlier process left the page: reads it, and believes its digest alone. Only where it is not here yet.
   */
  recall(pgno: number, origin: PageOrigin, to: number): boolean {
    const at = 2 * (pgno - 1);
    const [hi = 0, lo = 0] = this.#marks.subarray(at, at + 2);
    if ((hi | lo) === 0 || this.#known(pgno) || !this.#load(pgno)) return false;
    const mark = this.#markOf(pgno, this.#scratch, origin);
    if (mark.hi !== hi || mark.lo !== lo) return false;
    this.#note(pgno, origin.from, to);
    return true;
  }

  /** Says that pages are going to be written: from now on the file is no database. A second time changes nothing. */
  begin(): void {
    if (this.#isOpen) return;
    // What is kept out of the file already is not in it.
    if (this.#first === undefined && this.#load(1)) this.#first = this.#scratch.slice();
    if (this.#first !== undefined) {
      this.#pages.write(new Uint8Array(SIGNATURE_SIZE), 0);
      if (this.#record !== undefined) this.#pages.sync();
    }
    this.#isOpen = true;
  }

  /** Takes the page of an object, right for the states from its last TXID to `to`. Copies the bytes. */
  write(pgno: number, page: Uint8Array, place: { readonly origin: PageOrigin; to: number }): void {
    const { origin, to } = place;
    if (pgno === 1) {
      this.#first = page.slice();
    } else {
      const length = RUN_BYTES / this.pageSize;
      if (pgno !== this.#runFirst + this.#runLength || this.#runLength === length) {
        this.flush();
        this.#runFirst = pgno;
        if (this.#run.length === 0) this.#run = new Uint8Array(RUN_BYTES);
      }
      this.#run.set(page, this.#runLength++ * this.pageSize);
    }
    if (this.#record !== undefined) {
      const { hi, lo } = this.#markOf(pgno, page, origin);
      this.#setMark(pgno, hi, lo);
    }
    this.#note(pgno, origin.from, to);
  }

  /** Hands what was written to the files. */
  flush(): void {
    const [first, count] = [this.#runFirst, this.#runLength];
    if (count === 0) return;
    this.#pages.write(this.#run.subarray(0, count * this.pageSize), (first - 1) * this.pageSize);
    this.#runLength = 0;
    this.#writeMarks(first, count);
  }

  /** The copy has every page of a state of `commit` pages: says so of each of them, and the file becomes a database. */
  finish(to: number, commit: number): void {
    this.flush();
    this.#reserve(commit);
    for (let i = 0; i < commit; i++) if (this.#to[i] !== 0) this.#to[i] = to;
    this.#to.fill(0, commit);
    if (this.#pages.size() !== commit * this.pageSize) this.begin();
    // Page 1 waits where an earlier attempt has failed.
    if (!this.#isOpen && this.#first === undefined) return;
    this.#marks.fill(0, 2 * commit);
    this.#pages.truncate(commit * this.pageSize);
    this.#record?.truncate(HEADER_SIZE + commit * MARK_SIZE);
    const isStored = this.#record !== undefined;
    if (isStored) this.#pages.sync();
    this.#isOpen = false;
    if (this.#first !== undefined && commit > 0) this.#pages.write(this.#first, 0);
    this.#writeMarks(1, 1);
    if (isStored) this.#pages.sync();
    this.#record?.sync();
    this.#first = undefined;
  }

  /** Lets go of the files; what is in them stays. */
  close(): void {
    this.#to.fill(0);
    try {
      this.flush();
    } finally {
      this.#files.close();
    }
  }

  #known(pgno: number): boolean {
    return (this.#to[pgno - 1] ?? 0) !== 0;
  }

  #runPage(at: number): Uint8Array {
    return this.#run.subarray(at * this.pageSize, (at + 1) * this.pageSize);
  }

  #load(pgno: number): boolean {
    const offset = (pgno - 1) * this.pageSize;
    return this.#pages.read(this.#scratch, offset) === this.pageSize;
  }

  #note(pgno: number, from: number, to: number): void {
    this.#reserve(pgno);
    this.#from[pgno - 1] = from;
    this.#to[pgno - 1] = to;
  }

  #reserve(pages: number): void {
    if (pages <= this.#to.length) return;
    const length = Math.max(pages, Math.ceil(this.#to.length * 1.5));
    const [from, to] = [new Float64Array(length), new Float64Array(length)];
    from.set(this.#from);
    to.set(this.#to);
    [this.#from, this.#to] = [from, to];
  }

  #markOf(pgno: number, page: Uint8Array, origin: PageOrigin): { hi: number; lo: number } {
    const object = this.#objectMark(origin.object);
    this.#digest.update(pgno, page);
    const hi = this.#digest.hi ^ (object[0] as number);
    // Both words zero would say that there is no page.
    return { hi, lo: (this.#digest.lo ^ (object[1] as number)) | (hi === 0 ? 1 : 0) };
  }

  #objectMark(object: string): Int32Array {
    let mark = this.#objects.get(object);
    if (mark === undefined) {
      const sum = crc64(Uint8Array.from(object, (c) => c.charCodeAt(0)));
      mark = Int32Array.of(Number(BigInt.asIntN(32, sum >> 32n)), Number(BigInt.asIntN(32, sum)));
      this.#objects.set(object, mark);
    }
    return mark;
  }

  #setMark(pgno: number, hi: number, lo: number): void {
    const at = 2 * (pgno - 1);
    if (at + 2 > this.#marks.length) {
      const grown = new Int32Array(Math.max(at + 2, Math.ceil(this.#marks.length * 1.5), 2048));
      grown.set(this.#marks);
      this.#marks = grown;
    }
    this.#marks[at] = hi;
    this.#marks[at + 1] = lo;
  }

  #writeMarks(first: number, count: number): void {
    const { buffer } = this.#marks;
    const offset = (first - 1) * MARK_SIZE;
    if (buffer.byteLength < offset + count * MARK_SIZE) return;
    const marks = new Uint8Array(buffer, offset, count * MARK_SIZE);
    this.#record?.write(marks, HEADER_SIZE + offset);
  }

  #readMarks(record: CopyFile): void {
    const count = Math.floor((record.size() - HEADER_SIZE) / MARK_SIZE);
    this.#marks = new Int32Array(Math.max(0, count) * 2);
    record.read(new Uint8Array(this.#marks.buffer), HEADER_SIZE);
  }
}
