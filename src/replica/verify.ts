/**
 * Proof that a replica can be restored, before it has to be.
 *
 * @module
 */
import { ENCRYPTION_MARK, isEncrypted } from "../core/encryption-mark.ts";
import { InvalidArgumentError, isPagestreamError, UnsupportedError } from "../core/errors.ts";
import type { Aborter } from "../core/platform.ts";
import { NoBackupError } from "./errors.ts";
import { legacyFiles } from "./legacy-layout.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { checkProbes, drill, type DrillTarget, type Probe } from "./verify-drill.ts";
import { type VerifiedFile, verifyFile } from "./verify-file.ts";
import { verifyLevels } from "./verify-levels.ts";
import {
  faultOf,
  type VerifiedLevel,
  type VerifyFault,
  type VerifyReport,
} from "./verify-report.ts";

/** Each file costs the memory of a page and of what the store hands out at once. */
const MAX_CONCURRENCY = 64;

/** How far a verification has come. */
export interface VerifyProgress {
  /** Files read to their end so far. */
  readonly files: number;
  /** Files of the replica. */
  readonly totalFiles: number;
  /** Bytes of the files read so far. */
  readonly bytes: number;
  /** Bytes of all files. */
  readonly totalBytes: number;
}

/** What to look at, whatever replica it is. */
export interface VerifyRequest {
  /**
   * Restore the newest state too: to a target with a SQLite that checks it, or with true to nowhere, which proves that every
   * page is there. @default only the files are read
   */
  readonly restore?: DrillTarget | true | undefined;
  /** Run on the restored database; needs a target. @default [] */
  readonly probes?: readonly Probe[] | undefined;
  /** Whether references to rows that are not there are faults of the restored database. @default true */
  readonly foreignKeys?: boolean | undefined;
  /** Files read at once, 1 to 64. @default 4 */
  readonly concurrency?: number | undefined;
  /** Called after each file. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Ends it with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads every file of a replica and says what is wrong. Rejects only where it cannot look: `NoBackupError` where there is
 * no file, `UnsupportedError` where there are none but those of Litestream 0.3, and the errors of the store.
 */
export async function verifyReplica(
  replica: Replica,
  request: VerifyRequest = {},
): Promise<VerifyReport> {
  const { restore, probes, concurrency = 4 } = request;
  checkProbes(restore, probes);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
    throw new InvalidArgumentError({
      operation: "verify",
      object: replica.description,
      what: `${concurrency} files cannot be read at once`,
      next: `Give a whole number from 1 to ${MAX_CONCURRENCY}`,
    });
  }
  try {
    return await new Verification(replica, { ...request, concurrency }).run();
  } finally {
    if (restore !== undefined && restore !== true) await restore.dispose();
  }
}

class Verification {
  readonly #replica: Replica;
  readonly #request: VerifyRequest & { readonly concurrency: number };
  readonly #sound = new Map<string, VerifiedFile>();
  readonly #faults = new Map<string, VerifyFault>();
  /** Keys of listed files that were not there when they were to be read. */
  readonly #gone = new Set<string>();
  /** Whether each file that was read is encrypted, by its key. */
  readonly #read = new Map<string, boolean>();
  #bytes = 0;
  #total = { totalFiles: 0, totalBytes: 0 };

  constructor(replica: Replica, request: VerifyRequest & { readonly concurrency: number }) {
    this.#replica = replica;
    this.#request = request;
  }

  async run(): Promise<VerifyReport> {
    const { restore } = this.#request;
    const replica = this.#replica;
    let levels = await this.#look();
    let together = verifyLevels({ replica, levels, sound: this.#sound });
    if (this.#gone.size + this.#faults.size + together.faults.length > 0) {
      // Levels are not listed at one moment, files move up meanwhile, and some writers let a file be seen while they write
      // it. What a second look shows too is believed.
      this.#gone.clear();
      this.#faults.clear();
      levels = await this.#look();
      together = verifyLevels({ replica, levels, sound: this.#sound });
    }
    const { plan } = together;
    const drilled =
      restore === undefined ? undefined : await drill(replica, { ...this.#request, restore });
    const order = new Map(levels.flat().map(({ key }, i) => [key, i]));
    const rank = ({ file = "" }: VerifyFault): number => order.get(file) ?? 0;
    const faults = [
      ...[...this.#faults.values()].toSorted((a, b) => rank(a) - rank(b)),
      ...[...this.#gone].map((file): VerifyFault => ({ code: "NOT_FOUND", file, message: GONE })),
      ...together.faults,
      ...(drilled?.faults ?? []),
    ];
    const sound = [...this.#sound.values()];
    const read = [...this.#read.values()];
    const encrypted = read.filter(Boolean).length;
    return {
      sound: faults.length === 0,
      faults,
      encrypted: encrypted === 0 ? "none" : encrypted < read.length ? "some" : "all",
      files: read.length,
      bytes: this.#bytes,
      pages: sound.reduce((sum, { pages }) => sum + pages, 0),
      pageSizes: [...new Set(sound.map(({ header }) => header.pageSize))].toSorted((a, b) => a - b),
      levels: levels.flatMap(levelOf),
      newest: plan && { txid: plan.txid, time: plan.time },
      drill: drilled?.result,
    };
  }

  /** Lists the files and reads those that are not known to be sound. */
  async #look(): Promise<readonly (readonly LtxFileInfo[])[]> {
    const replica = this.#replica;
    const { signal } = this.#request;
    const levels = await replica.levels({ signal });
    const all = levels.flat();
    if (all.length === 0) throw await nothingToRead(replica, signal);
    this.#total = { totalFiles: all.length, totalBytes: bytesOf(all) };
    await this.#readAll(all.filter(({ key }) => !this.#sound.has(key)));
    return levels;
  }

  /** Several at a time. The first failure ends all. */
  async #readAll(files: readonly LtxFileInfo[]): Promise<void> {
    const { concurrency, signal } = this.#request;
    const aborter: Aborter = this.#replica.platform.newAborter();
    const onAbort = (): void => aborter.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const waiting = files.values();
    let failure: { readonly error: unknown } | undefined;
    const work = async (): Promise<void> => {
      for (const file of waiting) {
        try {
          await this.#readOne(file, aborter.signal);
        } catch (error) {
          failure ??= { error };
          aborter.abort();
          return;
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: concurrency }, work));
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    if (failure !== undefined) throw failure.error;
  }

  async #readOne(file: LtxFileInfo, signal: AbortSignal): Promise<void> {
    const { key, size } = file;
    let isEncrypted = this.#replica.store.encrypted === true;
    try {
      this.#sound.set(key, await verifyFile(this.#replica, file, signal));
    } catch (error) {
      if (isPagestreamError(error, "NOT_FOUND")) return void this.#gone.add(key);
      const fault = isPagestreamError(error) ? faultOf(error, key) : undefined;
      if (fault === undefined) throw error;
      this.#faults.set(key, fault);
      isEncrypted = await this.#isEncrypted(file, error, signal);
    }
    if (!this.#read.has(key)) this.#bytes += size;
    this.#read.set(key, isEncrypted);
    this.#request.onProgress?.({ files: this.#read.size, bytes: this.#bytes, ...this.#total });
  }

  /** Whether a file that cannot be used is one of an encrypted replica: by a store with the key, or without. */
  async #isEncrypted(file: LtxFileInfo, error: unknown, signal: AbortSignal): Promise<boolean> {
    if (this.#replica.store.encrypted === true) {
      return (error as { readonly reason?: string }).reason !== "plain";
    }
    if (!isPagestreamError(error, "LTX_UNSUPPORTED")) return false;
    const length = ENCRYPTION_MARK.length;
    return isEncrypted(await this.#replica.read(file, { offset: 0, length, signal }));
  }
}

/** Why there is no LTX file: a replica of Litestream 0.3 is not the same as none. */
async function nothingToRead(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<NoBackupError | UnsupportedError> {
  const why = { operation: "verify", object: replica.description };
  if ((await legacyFiles(replica, signal)).length === 0) {
    return new NoBackupError({ ...why, what: "it holds no LTX files" });
  }
  return new UnsupportedError({
    ...why,
    what: "it is a replica of Litestream 0.3, and holds no LTX files",
    next: "Restore it with an integrity check to prove it, and replicate the database anew to get one that can be verified",
  });
}

const GONE = "it is listed and cannot be read";

function levelOf(files: readonly LtxFileInfo[], level: number): VerifiedLevel[] {
  const [first] = files;
  if (first === undefined) return [];
  const maxTxid = files.reduce((max, file) => (file.maxTxid > max ? file.maxTxid : max), 0n);
  const { minTxid } = first;
  return [{ level, files: files.length, bytes: bytesOf(files), minTxid, maxTxid }];
}

function bytesOf(files: readonly LtxFileInfo[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}
