/**
 * A store that keeps what is read of it in a file, so that a restore which is begun again does not fetch it a second time.
 *
 * The file is a list of runs: bytes of one version of one object, by its tag. A run torn by a crash ends the list.
 *
 * | offset | size | field |
 * | ---: | ---: | --- |
 * | 0 | 8 | `pgskept1` |
 * | 8 | 8 | size of the whole object |
 * | 16 | 8 | where in it the run begins |
 * | 24 | 8 | when the store received it, in milliseconds since the Unix epoch |
 * | 32 | 4 | bytes of the run |
 * | 36 | 2 | length of the key |
 * | 38 | 2 | length of the tag |
 * | 40 | ... | key and tag, then the bytes, then the CRC-64 of all before (8) |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { Crc64 } from "../ltx/crc64.ts";
import type {
  GetOptions,
  GetResult,
  ListOptions,
  ObjectInfo,
  ObjectStore,
} from "./object-store.ts";
import { type Passing, StoreTraits } from "./store-traits.ts";

const MAGIC = Uint8Array.from("pgskept1", (c) => c.charCodeAt(0));
const HEADER = 40;
const CHECKSUM = 8;

/** Bytes of a body that are kept by one write; as many are lost at most when the process ends. */
const RUN_BYTES = 512 * 1024;

/** Bytes that are read at once. */
const CHUNK = 1 << 20;

interface Run {
  /** Where in the object it begins. */
  readonly offset: number;
  readonly length: number;
  /** Where in the file its bytes lie. */
  readonly at: number;
}

interface KeptObject {
  readonly size: number;
  readonly lastModified: number;
  readonly runs: Run[];
}

/** What a run says of itself. */
interface RunHeader extends Omit<KeptObject, "runs"> {
  readonly key: string;
  readonly etag: string;
  readonly offset: number;
}

/**
 * The same store for reading. Kept is what is asked for with `ifMatch`, so that another version never comes back. A file
 * that cannot be written any more (its disk may be full) keeps nothing from then on, and reading goes on.
 */
export class KeptStore
  extends StoreTraits
  implements Omit<Passing, "put" | "delete" | "deleteOne">
{
  readonly #store: ObjectStore;
  readonly #file: OpenFile;
  readonly #objects = new Map<string, KeptObject>();
  readonly #listed = new Set<string>();
  /** Where the next run goes; `undefined` once nothing is kept any more. */
  #end: number | undefined = 0;

  /** Reads what was kept. The file is closed by its owner. */
  constructor(store: ObjectStore, file: OpenFile) {
    super(store);
    this.#store = store;
    this.#file = file;
    this.#scan();
  }

  /** Forgets what was kept, and keeps nothing more. */
  forget(): void {
    this.#end = undefined;
    this.#objects.clear();
    this.#file.truncate(0);
  }

  async get(key: string, options: GetOptions = {}): Promise<GetResult> {
    const { ifMatch: etag, offset = 0, signal } = options;
    if (etag === undefined) return await this.#store.get(key, options);
    this.#dropForeign();
    const kept = this.#objects.get(nameOf(key, etag));
    const end = Math.min(offset + (options.length ?? Infinity), kept?.size ?? Infinity);
    const run = kept && runAt(kept, offset);
    if (kept === undefined || run === undefined || offset >= end) {
      const result = await this.#store.get(key, options);
      const body = this.#keeping(key, { ...result, etag }, offset);
      return { ...result, body };
    }
    const part = { ...run, end: Math.min(end, run.offset + run.length) };
    const rest = async (): Promise<ReadableStream<Uint8Array> | undefined> => {
      if (part.end >= end) return undefined;
      const next = { offset: part.end, length: end - part.end, ifMatch: etag, signal };
      return (await this.get(key, next)).body;
    };
    const { size, lastModified } = kept;
    const body = this.#keptBody(part, offset, rest);
    return { body, size, etag, lastModified: new Date(lastModified), metadata: {} };
  }

  head(key: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<ObjectInfo> {
    return this.#store.head(key, options);
  }

  async *list(options?: ListOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    for await (const info of this.#store.list(options)) {
      this.#listed.add(nameOf(info.key, info.etag));
      yield info;
    }
  }

  put(...call: Parameters<ObjectStore["put"]>): ReturnType<ObjectStore["put"]> {
    return this.#store.put(...call);
  }

  delete(...call: Parameters<ObjectStore["delete"]>): Promise<void> {
    return this.#store.delete(...call);
  }

  deleteOne(...call: Parameters<ObjectStore["deleteOne"]>): Promise<void> {
    return this.#store.deleteOne(...call);
  }

  /** Begins anew where most of what was kept is in no listing any more. */
  #dropForeign(): void {
    if (this.#listed.size === 0 || this.#end === undefined) return;
    let foreign = 0;
    for (const [name, { runs }] of this.#objects) {
      if (this.#listed.has(name)) continue;
      for (const { length } of runs) foreign += length;
    }
    this.#listed.clear();
    if (foreign * 2 <= this.#end) return;
    this.#objects.clear();
    this.#end = 0;
    this.#file.truncate(0);
  }

  /** What a run has from `offset` on, then what `rest` gives. */
  #keptBody(
    run: Run & { readonly end: number },
    offset: number,
    rest: () => Promise<ReadableStream<Uint8Array> | undefined>,
  ): ReadableStream<Uint8Array> {
    let next = offset;
    let following: ReadableStreamDefaultReader<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          if (next < run.end) {
            const bytes = new Uint8Array(Math.min(CHUNK, run.end - next));
            this.#file.read(bytes, run.at + next - run.offset);
            next += bytes.length;
            controller.enqueue(bytes);
            return;
          }
          following ??= (await rest())?.getReader();
          const chunk = await following?.read();
          if (chunk?.value === undefined) controller.close();
          else controller.enqueue(chunk.value);
        },
        cancel: async () => await following?.cancel(),
      },
      { highWaterMark: 0 },
    );
  }

  /** A body whose bytes are kept while they go by. */
  #keeping(key: string, result: GetResult, offset: number): ReadableStream<Uint8Array> {
    const reader = result.body.getReader();
    const { etag, size } = result;
    const lastModified = result.lastModified.getTime();
    const held: Uint8Array[] = [];
    let length = 0;
    let at = offset;
    const keep = (): void => {
      if (length > 0) this.#append({ key, etag, size, lastModified, offset: at }, held);
      at += length;
      length = 0;
      held.length = 0;
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          let chunk: ReadableStreamReadResult<Uint8Array>;
          try {
            chunk = await reader.read();
          } catch (error) {
            keep();
            throw error;
          }
          if (chunk.value === undefined) {
            keep();
            controller.close();
            return;
          }
          // A copy: the bytes belong to the reader from now on.
          if (this.#end !== undefined) {
            held.push(chunk.value.slice());
            length += chunk.value.length;
            if (length >= RUN_BYTES) keep();
          }
          controller.enqueue(chunk.value);
        },
        cancel: async (reason) => {
          keep();
          await reader.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  #append(header: RunHeader, chunks: readonly Uint8Array[]): void {
    if (this.#end === undefined) return;
    const names = header.key + header.etag;
    // What cannot be written as it is, is not worth keeping.
    if (/[^\x20-\x7e]/.test(names)) return;
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const bytes = new Uint8Array(HEADER + names.length + length + CHECKSUM);
    const view = viewOf(bytes);
    bytes.set(MAGIC);
    view.setFloat64(8, header.size);
    view.setFloat64(16, header.offset);
    view.setFloat64(24, header.lastModified);
    view.setUint32(32, length);
    view.setUint16(36, header.key.length);
    view.setUint16(38, header.etag.length);
    for (let i = 0; i < names.length; i++) bytes[HEADER + i] = names.charCodeAt(i);
    let filled = HEADER + names.length;
    const at = this.#end + filled;
    for (const chunk of chunks) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    const crc = new Crc64();
    crc.update(bytes.subarray(0, filled));
    view.setInt32(filled, crc.hi);
    view.setInt32(filled + 4, crc.lo);
    try {
      this.#file.write(bytes, this.#end);
    } catch {
      // Full. What is there stays good: it is read again before it is written over.
      this.#file.truncate(this.#end);
      this.#end = undefined;
      return;
    }
    this.#end += bytes.length;
    this.#note(header, { offset: header.offset, length, at });
  }

  #note({ key, etag, size, lastModified }: RunHeader, run: Run): void {
    const name = nameOf(key, etag);
    const kept = this.#objects.get(name) ?? { size, lastModified, runs: [] };
    kept.runs.push(run);
    this.#objects.set(name, kept);
  }

  #scan(): void {
    const total = this.#file.size();
    let end = 0;
    for (;;) {
      const read = this.#readRun(end, total);
      if (read === undefined) break;
      this.#note(read.header, read.run);
      end = read.end;
    }
    if (end < total) this.#file.truncate(end);
    this.#end = end;
  }

  #readRun(
    start: number,
    total: number,
  ): { readonly header: RunHeader; readonly run: Run; readonly end: number } | undefined {
    const head = new Uint8Array(HEADER);
    if (this.#file.read(head, start) < HEADER) return undefined;
    if (MAGIC.some((byte, i) => head[i] !== byte)) return undefined;
    const view = viewOf(head);
    const length = view.getUint32(32);
    const keyLength = view.getUint16(36);
    const nameLength = keyLength + view.getUint16(38);
    const checked = HEADER + nameLength + length;
    if (start + checked + CHECKSUM > total) return undefined;
    const bytes = new Uint8Array(checked + CHECKSUM);
    if (this.#file.read(bytes, start) < bytes.length) return undefined;
    const crc = new Crc64();
    crc.update(bytes.subarray(0, checked));
    const found = viewOf(bytes);
    if (found.getInt32(checked) !== crc.hi || found.getInt32(checked + 4) !== crc.lo) {
      return undefined;
    }
    const names = String.fromCharCode(...bytes.subarray(HEADER, HEADER + nameLength));
    const header: RunHeader = {
      key: names.slice(0, keyLength),
      etag: names.slice(keyLength),
      size: view.getFloat64(8),
      offset: view.getFloat64(16),
      lastModified: view.getFloat64(24),
    };
    const run = { offset: header.offset, length, at: start + HEADER + nameLength };
    return { header, run, end: start + bytes.length };
  }
}

/** No key has a line break. */
function nameOf(key: string, etag: string): string {
  return `${key}\n${etag}`;
}

/** The run that goes furthest from an offset on. */
function runAt({ runs }: KeptObject, offset: number): Run | undefined {
  let best: Run | undefined;
  for (const run of runs) {
    const covers = run.offset <= offset && offset < run.offset + run.length;
    if (covers && (best === undefined || endOf(run) > endOf(best))) best = run;
  }
  return best;
}

function endOf({ offset, length }: Run): number {
  return offset + length;
}
