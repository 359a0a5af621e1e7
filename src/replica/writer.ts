/**
 * The only way an LTX file, or its removal, reaches a replica.
 *
 * A name is created only if it is free, on every level; nothing there is ever replaced.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { PreconditionFailedError } from "../transports/errors.ts";
import type { LtxFileInfo, NewLtxFile, Replica } from "./replica.ts";
import { type CreateOptions, createObject, type LtxObject } from "./upload-staged.ts";

/** A file above level 0 whose bytes are made while they are sent. */
export interface MergedFile {
  /** Level, range and time: the name it gets. */
  readonly where: NewLtxFile;
  /** Database size in pages after the file. */
  readonly commit: number;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** The whole file, made anew for each try. */
  readonly body: () => AsyncIterable<Uint8Array>;
  /** Upper bound of its size in bytes. */
  readonly sizeBound: number;
}

/** Whether a merged file was made now or was there. */
export type MergedOutcome = "created" | "existing";

/** Writes the files of one replica, and removes them. */
export interface ReplicaWriter {
  /** What it writes to. */
  readonly replica: Replica;
  /** Creates a file; returns what is in the store: the new one, or its rival. `ConflictError` if it is neither. */
  create(object: LtxObject, options?: CreateOptions): Promise<LtxObject>;
  /**
   * Creates a file above level 0. `existing`: one with the same range, size of the database, page size and time was
   * there, which holds the same. `PreconditionFailedError`: another one was; the level must be listed again.
   */
  createMerged(
    file: MergedFile,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<MergedOutcome>;
  /** Removes files; those already gone are no error. */
  remove(
    files: readonly LtxFileInfo[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
}

/** The writer of whoever lists before writing and is done soon after. */
export function replicaWriter(replica: Replica): ReplicaWriter {
  return {
    replica,
    create: (object, options) => createObject(replica, object, options),
    createMerged: (file, options) => createMergedFile(replica, file, options),
    remove: (files, options) => replica.remove(files, options),
  };
}

async function createMergedFile(
  replica: Replica,
  file: MergedFile,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<MergedOutcome> {
  const { where, body, sizeBound } = file;
  const { signal } = options;
  const resolve = async (there: LtxFileInfo): Promise<MergedOutcome> => {
    if (await isSameState(replica, there, file, signal)) return "existing";
    throw new PreconditionFailedError({
      operation: "upload",
      object: there.key,
      what: "a file of the same range with another state or time is there",
      next: "List the level again",
    });
  };
  if (!replica.store.capabilities.conditionalPut) {
    const there = await replica.find(where, { signal });
    if (there !== undefined) return await resolve(there);
  }
  try {
    await replica.write(where, body, { signal, sizeBound });
    return "created";
  } catch (error) {
    if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    const there = await replica.find(where, { signal });
    if (there === undefined) throw error;
    return await resolve(there);
  }
}

/** Whether a file leads to the same state: what it holds is then the same, however it was compressed. */
async function isSameState(
  replica: Replica,
  there: LtxFileInfo,
  { where, commit, pageSize }: MergedFile,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (there.size < LTX_HEADER_SIZE) return false;
  const bytes = await replica.read(there, { offset: 0, length: LTX_HEADER_SIZE, signal });
  const header = decodeHeader(bytes, there.key);
  return (
    header.minTxid === where.minTxid &&
    header.maxTxid === where.maxTxid &&
    header.timestamp === where.timestamp &&
    header.commit === commit &&
    header.pageSize === pageSize
  );
}
