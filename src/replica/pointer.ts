/**
 * The pointer object: how far a replica has come and the newest file of each level, in one small object.
 *
 * It lies outside the folders of the levels, where neither Litestream nor a listing looks. A writer that is told to keep it
 * replaces it at a bounded rate after uploads; a follower may read it to skip ahead over many files of level 0 by one of a
 * higher level. It is a hint and nothing more: what it names is asked for and verified like every file, and where that is
 * missing or does not help, the levels are listed as without it.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatFileName, formatTxid, parseFileName } from "../ltx/file-name.ts";
import { askObject } from "./ask-file.ts";
import { type FileSpan, SNAPSHOT_LEVEL } from "./layout.ts";
import type { Replica } from "./replica.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Key of the pointer object. */
export const POINTER_KEY = "pagestream/pointer.json";

/** Least time between two updates in milliseconds: at most 360 requests an hour while commits come, none when idle. */
const UPDATE_MS = 10_000;

/** Bytes past which it cannot be a pointer. */
const MAX_BYTES = 4096;

/** What a pointer object says. */
export class Pointer {
  /** Newest file of each level, as far as the writer knew them. */
  readonly heads: readonly FileSpan[];

  constructor(heads: readonly FileSpan[]) {
    this.heads = heads;
  }

  /** The file that leads furthest on from a state over more than one TXID; snapshots are not among them. */
  fileAfter(txid: bigint): FileSpan | undefined {
    let best: FileSpan | undefined;
    for (const head of this.heads) {
      const leadsOn = head.minTxid <= txid + 1n && head.maxTxid > txid + 1n;
      if (!leadsOn || head.level === 0 || head.level === SNAPSHOT_LEVEL) continue;
      if (best === undefined || head.maxTxid > best.maxTxid) best = head;
    }
    return best;
  }
}

/** The bytes of a pointer object: JSON with the position and, by level, the name of the newest file. */
export function encodePointer(heads: readonly FileSpan[]): Uint8Array<ArrayBuffer> {
  const position = heads.reduce((max, { maxTxid }) => (maxTxid > max ? maxTxid : max), 0n);
  const levels: Record<string, string> = {};
  for (const { level, minTxid, maxTxid } of heads) levels[level] = formatFileName(minTxid, maxTxid);
  const text = `${JSON.stringify({ position: formatTxid(position), levels })}\n`;
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Reads a pointer object; `undefined` for bytes that are none. */
export function decodePointer(bytes: Uint8Array): Pointer | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(String.fromCharCode(...bytes));
  } catch {
    return undefined;
  }
  const levels = (value as { readonly levels?: unknown } | null)?.levels;
  if (typeof levels !== "object" || levels === null) return undefined;
  const heads: FileSpan[] = [];
  for (const [key, name] of Object.entries(levels)) {
    const file = /^\d$/.test(key) && typeof name === "string" ? parseFileName(name) : undefined;
    if (file === undefined) return undefined;
    heads.push({ level: Number(key), minTxid: file.minTxid, maxTxid: file.maxTxid });
  }
  return new Pointer(heads);
}

/** Reads the pointer of a replica. */
export class PointerReader {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** What it says; `undefined` where there is none, it is damaged, or it cannot be read: one request. */
  async read(signal: AbortSignal): Promise<Pointer | undefined> {
    const found = await askObject(this.#replica, POINTER_KEY, { limit: MAX_BYTES, signal });
    return found?.bytes && decodePointer(found.bytes);
  }
}

/** Keeps the pointer of a replica. What fails is left for the next upload. */
export class PointerWriter {
  readonly #replica: Replica;
  readonly #platform: Platform;
  readonly #heads: Map<number, FileSpan> = new Map();
  #updatedAt = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #writing: Promise<void> | undefined;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.#platform = replica.platform;
  }

  /** A file has reached the replica: the pointer follows at once, or when the rate allows it. */
  uploaded(file: FileSpan): void {
    const { level, minTxid, maxTxid } = file;
    const head = this.#heads.get(level);
    if (head !== undefined && head.maxTxid > maxTxid) return;
    this.#heads.set(level, { level, minTxid, maxTxid });
    if (this.#cancel !== undefined) return;
    const { clock } = this.#platform;
    const wait = Math.max(0, this.#updatedAt + UPDATE_MS - clock.monotonic());
    this.#cancel = clock.schedule(() => this.#update(), wait);
  }

  /** Writes what is left to say. */
  async close(): Promise<void> {
    if (this.#cancel !== undefined) {
      this.#cancel();
      this.#update();
    }
    await this.#writing;
  }

  #update(): void {
    this.#cancel = undefined;
    this.#updatedAt = this.#platform.clock.monotonic();
    const bytes = encodePointer([...this.#heads.values()]);
    const put = async (): Promise<void> => {
      await this.#writing;
      try {
        await this.#replica.store.put(POINTER_KEY, bytes);
      } catch (error) {
        if (!isPagestreamError(error)) throw error;
      }
    };
    this.#writing = put();
    this.#writing.catch(() => undefined);
  }
}

/** A writer whose files the pointer follows. */
export function pointedWriter(writer: ReplicaWriter, pointer: PointerWriter): ReplicaWriter {
  return {
    ...writer,
    async create(object, options) {
      const there = await writer.create(object, options);
      pointer.uploaded(there.where);
      return there;
    },
    async createMerged(file, options) {
      const outcome = await writer.createMerged(file, options);
      pointer.uploaded(file.where);
      return outcome;
    },
  };
}
