/**
 * The inputs of a merge, however many files its chain has: memory that does not grow with their number.
 *
 * A merge needs a decoder and a window of bytes for each of its inputs. A chain of thousands of small files is therefore
 * merged in groups first, into files in memory that hold of each page the newest image only, still compressed. What they
 * may take is bounded; files past the bound are merged directly, as all files are where there are few.
 *
 * @module
 */
import { type LtxInput, mergeLtx } from "../ltx/merge.ts";
import type { LocalReads } from "../transports/object-store.ts";
import { ReadPool } from "./ranged-input.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";

/** Files up to which all are merged directly: a decoder and a window for each take less than reading them twice. */
const DIRECT = 128;

/** Most files of a group. */
const GROUP_FILES = 128;

/** Size in bytes up to which a file is small. */
const SMALL = 256 * 1024;

/** Bytes that all groups together may take. */
const BUNDLE_BYTES = 12 * 1024 * 1024;

/** Files of a chain, merged to one in memory. */
interface Bundle {
  readonly chunks: readonly Uint8Array[];
  readonly size: number;
  /** Key of the last of its files, for errors. */
  readonly key: string;
}

/** A step of a chain: a file to be read, or some that were. */
type Part = LtxFileInfo | Bundle;

/** Options of {@linkcode ChainInputs}. */
export interface ChainInputsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes that merged groups may take. @default 12582912 (12 MiB) */
  readonly bundleBytes?: number | undefined;
}

/** Reads a chain of files for a merge. */
export class ChainInputs {
  readonly #replica: Replica;
  readonly #signal: AbortSignal | undefined;
  readonly #bundleBytes: number;
  readonly #parts: Part[] = [];
  #bundledBytes = 0;
  #pool: ReadPool | undefined;
  #reads: LocalReads | undefined;

  /** Reads nothing before {@linkcode open}. */
  constructor(replica: Replica, options: ChainInputsOptions = {}) {
    this.#replica = replica;
    this.#signal = options.signal;
    this.#bundleBytes = options.bundleBytes ?? BUNDLE_BYTES;
  }

  /**
   * Inputs that stand for the same chain, oldest first. Called once; `close` ends what they read.
   *
   * @throws the errors of `mergeLtx` and of the store.
   */
  async open(files: readonly LtxFileInfo[]): Promise<LtxInput[]> {
    this.#reads = await this.#replica.store.localReads?.();
    if (files.length <= DIRECT) this.#parts.push(...files);
    else await this.#bundle(files);
    const rest = this.#parts.filter((part) => !isBundle(part));
    this.#pool = this.#read(rest as LtxFileInfo[]);
    const inputs = this.#pool.inputs.values();
    return this.#parts.map((part) =>
      isBundle(part) ? bundleInput(part) : (inputs.next().value as LtxInput),
    );
  }

  /** Bytes of the files that were handed out so far. */
  get consumedBytes(): number {
    return this.#bundledBytes + (this.#pool?.consumedBytes ?? 0);
  }

  /** Key of the file that bytes were last read of. */
  get current(): string {
    return this.#pool?.current ?? "";
  }

  /** Ends every request under way. */
  close(): void {
    this.#pool?.close();
    this.#reads?.close();
  }

  #read(files: readonly LtxFileInfo[]): ReadPool {
    return new ReadPool(this.#replica, files, { reads: this.#reads, signal: this.#signal });
  }

  async #bundle(files: readonly LtxFileInfo[]): Promise<void> {
    let held = 0;
    for (let at = 0; at < files.length;) {
      const group = held > this.#bundleBytes ? [] : groupAt(files, at);
      if (group.length < 2) {
        this.#parts.push(files[at++] as LtxFileInfo);
        continue;
      }
      at += group.length;
      const bundle = await this.#readGroup(group);
      this.#parts.push(bundle);
      held += bundle.size;
      // Changes are to the same pages again and again, so that neighbours make one file that is hardly larger.
      if (held > this.#bundleBytes) held = await this.#joinNeighbours();
    }
  }

  async #readGroup(files: readonly LtxFileInfo[]): Promise<Bundle> {
    this.#pool = this.#read(files);
    const bundle = await merge(this.#pool.inputs);
    this.#bundledBytes += this.#pool.consumedBytes;
    this.#pool.close();
    this.#pool = undefined;
    return bundle;
  }

  /** Merges bundles that stand side by side; returns the bytes that all of them hold. */
  async #joinNeighbours(): Promise<number> {
    const parts = this.#parts;
    let held = 0;
    for (let at = 0; at < parts.length; at++) {
      let end = at;
      while (end < parts.length && isBundle(parts[end] as Part)) end++;
      const run = parts.slice(at, end).filter(isBundle);
      if (run.length > 1) parts.splice(at, run.length, await merge(run.map(bundleInput)));
      const part = parts[at] as Part;
      if (isBundle(part)) held += part.size;
    }
    return held;
  }
}

function isBundle(part: Part): part is Bundle {
  return "chunks" in part;
}

/** The small files in a row from `at` on, as far as they make one group. */
function groupAt(files: readonly LtxFileInfo[], at: number): LtxFileInfo[] {
  let end = at;
  while (end < files.length && end - at < GROUP_FILES && (files[end]?.size ?? 0) <= SMALL) end++;
  return files.slice(at, end);
}

async function merge(inputs: readonly LtxInput[]): Promise<Bundle> {
  const chunks: Uint8Array[] = [];
  const { size } = await mergeLtx(inputs, (chunk) => void chunks.push(chunk), {
    chunkSize: 64 * 1024,
  });
  return { chunks, size, key: (inputs.at(-1) as LtxInput).name };
}

/** A bundle as an input; the files in it have been verified. */
function bundleInput(bundle: Bundle): LtxInput {
  const chunks = bundle.chunks.values();
  return { name: bundle.key, read: () => chunks.next().value };
}
