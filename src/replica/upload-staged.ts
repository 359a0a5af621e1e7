/**
 * Creates an LTX file in the store and knows for sure that it is there.
 *
 * A name is created only if it is free. A failed condition may be our own lost response: it is resolved by reading.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { alreadyExists } from "../transports/errors.ts";
import { ConflictError } from "./errors.ts";
import type { LocalState } from "./local-state.ts";
import type { LtxFileInfo, NewLtxFile, Replica, UploadBody } from "./replica.ts";
import { type StagedFile, stagedBody } from "./staged-file.ts";

/** A whole LTX file whose bytes can be read again as often as it takes. */
export interface LtxObject {
  /** Level, range and time: the name it gets. */
  readonly where: NewLtxFile;
  /** Size in bytes. */
  readonly size: number;
  /** What is uploaded: the whole file, or how to stream it. */
  readonly body: UploadBody;
  /** Bytes of the file, for comparison with what is in the store. */
  read(offset: number, length: number): Uint8Array;
}

/** How to create it. */
export interface CreateOptions {
  readonly signal?: AbortSignal | undefined;
  /** Tries in all. @default what the replica's retry policy says */
  readonly attempts?: number | undefined;
  /** Another object that may be there under the same name without being another writer's. */
  readonly rival?: LtxObject | undefined;
}

/** What is in the store under the name of a file. */
export interface CreatedObject {
  /** The new object, or its rival. */
  readonly object: LtxObject;
  /** How the store knows it. */
  readonly file: LtxFileInfo;
  /** Whether it was created now; else it was there, as when the answer to an earlier try was lost. */
  readonly created: boolean;
}

/** Times that what is under the name may be gone when it is looked at. */
const LOOKS = 4;

interface CreateObjectOptions extends CreateOptions {
  /** Awaited before each try; what it throws ends them. */
  readonly before?: (() => Promise<void>) | undefined;
}

/** Creates an object and returns what is in the store: it, or its rival. `ConflictError` if it is neither. */
export async function createObject(
  replica: Replica,
  object: LtxObject,
  options: CreateObjectOptions = {},
): Promise<CreatedObject> {
  for (let look = 1; ; look++) {
    try {
      return await createOrFind(replica, object, options);
    } catch (error) {
      // Retention removed what was there between two requests.
      const isGone =
        isPagestreamError(error, "NOT_FOUND") || isPagestreamError(error, "PRECONDITION_FAILED");
      if (!isGone || look === LOOKS) throw error;
    }
  }
}

async function createOrFind(
  replica: Replica,
  object: LtxObject,
  options: CreateObjectOptions,
): Promise<CreatedObject> {
  const { signal, attempts, rival, before } = options;
  const { where, size } = object;
  const resolve = async (there: LtxFileInfo): Promise<CreatedObject> => {
    const is = (known: LtxObject): CreatedObject => ({
      object: known,
      file: there,
      created: false,
    });
    if (await isSame(replica, there, { object, signal })) return is(object);
    if (rival !== undefined && (await isSame(replica, there, { object: rival, signal }))) {
      return is(rival);
    }
    // Above level 0 the same state may have been made from other files, or compressed in another way.
    if (where.level > 0 && (await sameState(replica, there, { object, signal }))) return is(object);
    throw new ConflictError({
      operation: "upload",
      object: there.key,
      what: `another writer has created txid ${where.maxTxid} with other content`,
      next: "Stop one of the two writers, then call takeOver() to continue after the other's last file",
    });
  };
  const { conditionalPut } = replica.store.capabilities;
  if (!conditionalPut) {
    const there = await replica.find(where, { signal });
    if (there !== undefined) return await resolve(there);
  }
  let tries = 0;
  const beforeTry = async (): Promise<void> => {
    await before?.();
    // The answer to the try before may have been lost: writing again would look like another writer's doing.
    const again = !conditionalPut && tries++ > 0;
    if (again && (await replica.find(where, { signal })) !== undefined) {
      throw alreadyExists(replica.key(where));
    }
  };
  try {
    const how = { signal, sizeBound: size, attempts, before: beforeTry };
    const file = await replica.write(where, object.body, how);
    return { object, file, created: true };
  } catch (error) {
    if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    const there = await replica.find(where, { signal });
    if (there === undefined) throw error;
    return await resolve(there);
  }
}

/** A staged file as an object to create. */
export function stagedObject(state: LocalState, file: StagedFile): LtxObject {
  const { level, name, size } = file;
  const { minTxid, maxTxid, timestamp } = file.header;
  return {
    where: { level, minTxid, maxTxid, timestamp },
    size,
    body: stagedBody(state, file),
    read: (offset, length) => state.readStaged(name, offset, length),
  };
}

/** What is needed to recognise an object after its staged bytes are gone; it can no longer be created. */
export function keptObject(object: LtxObject): LtxObject {
  const head = object.read(0, LTX_HEADER_SIZE).slice();
  const end = object.read(object.size - LTX_TRAILER_SIZE, LTX_TRAILER_SIZE).slice();
  const { where, size } = object;
  return { where, size, body: head, read: (offset) => (offset === 0 ? head : end) };
}

/** Whether an object has the size, the header and the last 16 bytes of a staged file: both checksums among them. */
export function sameObject(
  replica: Replica,
  there: LtxFileInfo,
  staged: {
    readonly file: StagedFile;
    readonly state: LocalState;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<boolean> {
  const { file, state, signal } = staged;
  return isSame(replica, there, { object: stagedObject(state, file), signal });
}

/** Whether an object leads to the same state: range, sizes and time. How it was made, and compressed, may differ. */
async function sameState(
  replica: Replica,
  there: LtxFileInfo,
  expected: { readonly object: LtxObject; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const { object, signal } = expected;
  const length = LTX_HEADER_SIZE;
  const found = decodeHeader(await replica.read(there, { offset: 0, length, signal }), there.key);
  const { minTxid, maxTxid, timestamp, commit, pageSize } = decodeHeader(
    object.read(0, length),
    there.key,
  );
  return (
    found.minTxid === minTxid &&
    found.maxTxid === maxTxid &&
    found.timestamp === timestamp &&
    found.commit === commit &&
    found.pageSize === pageSize
  );
}

/** Whether an object has the size, the header and the last 16 bytes of another: both checksums among them. */
export async function isSame(
  replica: Replica,
  there: LtxFileInfo,
  expected: { readonly object: LtxObject; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const { object, signal } = expected;
  if (there.size !== object.size) return false;
  const tail = object.size - LTX_TRAILER_SIZE;
  const [head, end] = await Promise.all([
    replica.read(there, { offset: 0, length: LTX_HEADER_SIZE, signal }),
    replica.read(there, { offset: tail, length: LTX_TRAILER_SIZE, signal }),
  ]);
  return (
    equalBytes(head, object.read(0, LTX_HEADER_SIZE)) &&
    equalBytes(end, object.read(tail, LTX_TRAILER_SIZE))
  );
}
