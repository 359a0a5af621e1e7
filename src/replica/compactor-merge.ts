/**
 * Files merged into one while they are sent: read where they are at hand, else from the replica, and again from the
 * beginning for every try.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { LtxEncoder } from "../ltx/encoder.ts";
import { LtxFormatError } from "../ltx/errors.ts";
import type { LtxHeader } from "../ltx/header.ts";
import { type LtxInput, LtxMerge } from "../ltx/merge.ts";
import { ReadPool } from "./ranged-input.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** Bytes read ahead by one merge, all of its inputs together. */
const READ_AHEAD = 8 << 20;

/** What is merged, and how. */
export interface MergedBodyOptions {
  /** First TXID of the merged file. */
  readonly minTxid: bigint;
  /** The bytes of a file that need not be fetched: what was written a moment ago may not be readable everywhere yet. */
  readonly local?: ((file: LtxFileInfo) => Uint8Array | undefined) | undefined;
  /** Whether the merged file is wanted as a whole too, given the most bytes it can have. */
  readonly keeps?: ((sizeBound: number) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface OpenMerge {
  readonly merge: LtxMerge;
  readonly pool: ReadPool;
}

/** One merged file that is never held as a whole. */
export class MergedBody {
  /** Its header: size and time are those of the last file. */
  readonly header: LtxHeader;
  /** What is merged: the files that share the page size of the first. */
  readonly files: readonly LtxFileInfo[];
  readonly #replica: Replica;
  readonly #options: MergedBodyOptions;
  /** Opened to learn the header, and not yet read. */
  #open: OpenMerge | undefined;
  #size = 0;
  #chunks: readonly Uint8Array[] | undefined;

  private constructor(
    replica: Replica,
    merged: {
      readonly files: readonly LtxFileInfo[];
      readonly header: LtxHeader;
      readonly open: OpenMerge;
    },
    options: MergedBodyOptions,
  ) {
    this.#replica = replica;
    this.files = merged.files;
    this.header = merged.header;
    this.#open = merged.open;
    this.#options = options;
  }

  /** Reads the headers of a chain of files, oldest first. Whoever opened it closes it. */
  static async open(
    replica: Replica,
    files: readonly LtxFileInfo[],
    options: MergedBodyOptions,
  ): Promise<MergedBody> {
    const open = openMerge(replica, files, options);
    try {
      return new MergedBody(replica, { files, header: await open.merge.open(), open }, options);
    } catch (error) {
      await close(open);
      const same = untilOtherPageSize(files, error);
      if (same.length === 0) throw error;
      return await MergedBody.open(replica, same, options);
    }
  }

  /** Bytes of the last body that came to its end. */
  get size(): number {
    return this.#size;
  }

  /** All of its bytes, where they were kept. */
  get bytes(): Uint8Array<ArrayBuffer> | undefined {
    return this.#chunks && concatBytes(this.#chunks);
  }

  /** More than the merged file can have. */
  get sizeBound(): number {
    const total = this.files.reduce((sum, { size }) => sum + size, 0);
    // A page that came as an LZ4 frame is stored as a block, which may be a few bytes longer.
    return total + Math.ceil(total / 64) + 4096;
  }

  /** The bytes of the merged file; every input has been verified before the last of them. */
  async *body(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const open = this.#open ?? openMerge(this.#replica, this.files, this.#options);
    this.#open = undefined;
    this.#chunks = undefined;
    const { merge } = open;
    const kept: Uint8Array[] | undefined =
      this.#options.keeps?.(this.sizeBound) === true ? [] : undefined;
    try {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      const encoder = new LtxEncoder(await merge.open(), (chunk) => {
        chunks.push(chunk);
        kept?.push(chunk);
      });
      for (;;) {
        const more = merge.next();
        if (!(typeof more === "boolean" ? more : await more)) break;
        const { payload } = merge;
        if (payload === undefined) encoder.encodePage(merge.pgno, merge.data);
        else encoder.encodeFrame(merge.pgno, payload, merge.data);
        if (chunks.length > 0) yield* chunks.splice(0);
      }
      this.#size = encoder.finish().size;
      this.#chunks = kept;
      yield* chunks;
    } finally {
      // Also where the upload failed: nothing goes on reading for nobody.
      await close(open);
    }
  }

  /** Ends what nobody has read. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) await close(open);
  }
}

function openMerge(
  replica: Replica,
  files: readonly LtxFileInfo[],
  options: MergedBodyOptions,
): OpenMerge {
  const { minTxid, local, signal } = options;
  const found = files.map((file) => local?.(file));
  const remote = files.filter((_, i) => found[i] === undefined);
  const pool = new ReadPool(replica, remote, { budget: READ_AHEAD, signal });
  const fetched = pool.inputs.values();
  const inputs = files.map((file, i): LtxInput => {
    const bytes = found[i];
    return bytes === undefined ? (fetched.next().value as LtxInput) : inMemory(file.key, bytes);
  });
  return { merge: new LtxMerge(inputs, { minTxid }), pool };
}

function inMemory(name: string, bytes: Uint8Array): LtxInput {
  let rest: Uint8Array | undefined = bytes;
  return {
    name,
    read() {
      const chunk = rest;
      rest = undefined;
      return chunk;
    },
  };
}

async function close({ merge, pool }: OpenMerge): Promise<void> {
  await merge.close().catch(() => undefined);
  pool.close();
}

/** The files before the one that has another page size: no file may hold pages of both. */
function untilOtherPageSize(files: readonly LtxFileInfo[], error: unknown): readonly LtxFileInfo[] {
  if (!(error instanceof LtxFormatError) || error.field !== "pageSize") return [];
  return files.slice(
    0,
    Math.max(
      0,
      files.findIndex((file) => file.key === error.object),
    ),
  );
}
