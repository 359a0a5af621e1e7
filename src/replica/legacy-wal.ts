/**
 * The WAL segments of the 0.3 layout, read into the pages that they leave behind.
 *
 * The segments of one index are a complete WAL; at its end it was checkpointed, which sets the size of the database to that
 * of the last transaction. Only committed pages count. SQLite would quietly stop at a frame that is not valid; here, where
 * every byte was written and checked as one that is, such a frame is damage.
 *
 * @module
 */
import { isValidPageSize } from "../core/database-header.ts";
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
  WalChecksum,
  type WalHeader,
} from "../core/wal.ts";
import { ChunkQueue } from "../ltx/chunk-queue.ts";
import { damagedLegacy, type LegacyFile } from "./legacy-layout.ts";
import { LegacyDecoder } from "./legacy-lz4.ts";
import { type LegacyPlan, legacyGap } from "./legacy-plan.ts";
import { readFiles } from "./legacy-reader.ts";
import type { LegacyPages } from "./legacy-pages.ts";
import type { Replica } from "./replica.ts";

/** Reads all segments of a plan into `pages`. Returns the page size, undefined where there are no segments. */
export async function readLegacyWal(
  replica: Replica,
  plan: LegacyPlan,
  context: { readonly pages: LegacyPages; readonly signal: AbortSignal | undefined },
): Promise<number | undefined> {
  const { pages, signal } = context;
  const decoder = new LegacyDecoder();
  let wal: WalBytes | undefined;
  let before: LegacyFile = plan.snapshot;
  let pageSize: number | undefined;
  for await (const { file, bytes, isFirst, isLast } of readFiles(replica, plan.segments, signal)) {
    if (isFirst) {
      decoder.begin(file.key);
      if (file.offset === 0) {
        wal?.end(before.key);
        wal = new WalBytes(pages, pageSize);
      } else if (file.offset !== wal?.length) {
        throw legacyGap(file, before, replica.description);
      }
      before = file;
    }
    for (const data of decoder.decode(bytes)) (wal as WalBytes).push(data, file.key);
    if (isLast) decoder.finish();
    pageSize ??= wal?.pageSize;
  }
  wal?.end(before.key);
  return pageSize;
}

/** One WAL as it arrives. */
class WalBytes {
  readonly #pages: LegacyPages;
  readonly #queue = new ChunkQueue();
  #header: WalHeader | undefined;
  #sums = new WalChecksum(false);
  #pageSize: number | undefined;
  #length = 0;

  /** @param pageSize what the WALs before this one had. */
  constructor(pages: LegacyPages, pageSize: number | undefined) {
    this.#pages = pages;
    this.#pageSize = pageSize;
  }

  /** Bytes pushed so far. */
  get length(): number {
    return this.#length;
  }

  /** Undefined before the header has come. */
  get pageSize(): number | undefined {
    return this.#pageSize;
  }

  /** Reads on; keeps nothing of `bytes`. `file` is the key of the segment they are of. */
  push(bytes: Uint8Array, file: string): void {
    this.#length += bytes.length;
    const queue = this.#queue;
    queue.push(bytes);
    if (this.#header !== undefined || this.#readHeader(file)) {
      const size = WAL_FRAME_HEADER_SIZE + (this.#pageSize as number);
      while (queue.gather(size)) {
        this.#readFrame(queue.bytes.subarray(queue.at, queue.at + size), file);
        queue.skip(size);
      }
    }
    queue.keep();
  }

  /** To be called after the last segment of the index. */
  end(file: string): void {
    if (this.#header === undefined || this.#queue.available > 0) {
      throw damagedLegacy(file, "the WAL ends in the middle of a frame");
    }
    this.#pages.checkpoint();
  }

  #readHeader(file: string): boolean {
    const queue = this.#queue;
    if (!queue.gather(WAL_HEADER_SIZE)) return false;
    const bytes = queue.bytes.subarray(queue.at, queue.at + WAL_HEADER_SIZE);
    const header = decodeWalHeader(bytes, file);
    if (header === undefined) throw damagedLegacy(file, "the WAL's header has another checksum");
    const { pageSize } = header;
    if (!isValidPageSize(pageSize) || (this.#pageSize ?? pageSize) !== pageSize) {
      throw damagedLegacy(file, `the WAL's page size is ${pageSize}`);
    }
    this.#pageSize = pageSize;
    this.#header = header;
    this.#sums = new WalChecksum(header.bigEndian);
    this.#sums.restart(header.checksum1, header.checksum2);
    queue.skip(WAL_HEADER_SIZE);
    return true;
  }

  #readFrame(bytes: Uint8Array, file: string): void {
    const { pgno, commit, salt1, salt2, checksum1, checksum2 } = decodeWalFrameHeader(bytes);
    const page = bytes.subarray(WAL_FRAME_HEADER_SIZE);
    const sums = this.#sums.update(bytes.subarray(0, 8)).update(page);
    const { salt1: first, salt2: second } = this.#header as WalHeader;
    const isValid = pgno !== 0 && salt1 === first && salt2 === second;
    if (!isValid || sums.s1 !== checksum1 || sums.s2 !== checksum2) {
      throw damagedLegacy(file, `the WAL's frame of page ${pgno} is not valid`);
    }
    this.#pages.add(pgno, page);
    if (commit > 0) this.#pages.endTransaction(commit);
  }
}
