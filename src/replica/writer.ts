/**
 * The only way an LTX file, or its removal, reaches a replica.
 *
 * A name is created only if it is free, on every level; nothing there is ever replaced.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { Instant } from "../core/instant.ts";
import { decodeHeader, LTX_HEADER_SIZE } from "../ltx/header.ts";
import { PreconditionFailedError } from "../transports/errors.ts";
import { ConflictError, LeaseHeldError } from "./errors.ts";
import type { Fence, WriterStanding } from "./fence.ts";
import type { Lease } from "./lease.ts";
import type { LtxFileInfo, NewLtxFile, Replica } from "./replica.ts";
import {
  type CreateOptions,
  createObject,
  isSame,
  keptObject,
  type LtxObject,
} from "./upload-staged.ts";

const UNKNOWN_STANDING: WriterStanding = {
  maxTxid: undefined,
  provenMs: undefined,
  at: 0,
  l0RetentionMs: undefined,
};

/** Files removed between two looks at the proof. */
const REMOVE_BATCH = 1_000;

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
  /**
   * Lets a helper in another thread create objects: `upload` gets what it must know, and returns why not all of them are
   * in the store. What `upload` does it does at once, since the thread blocks.
   */
  createBlocking(
    objects: readonly LtxObject[],
    upload: (standing: WriterStanding) => string | undefined,
  ): string | undefined;
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
    create: async (object, options) => (await createObject(replica, object, options)).object,
    createMerged: (file, options) => createMergedFile(replica, file, options),
    createBlocking: (_, upload) => upload(UNKNOWN_STANDING),
    remove: (files, options) => replica.remove(files, options),
  };
}

/** A writer that stands its ground for years: a proof before each write, and a lease before what leads on. */
export function fencedWriter(options: {
  readonly replica: Replica;
  readonly fence: Fence;
  readonly lease?: Lease | undefined;
}): ReplicaWriter {
  const { replica, fence, lease } = options;

  /** Removes what came too late for history, where one of its tries may have created it, and tells of the conflict. */
  const lost = async (error: unknown, late: readonly LateFile[]): Promise<unknown> => {
    if (!(error instanceof ConflictError)) return error;
    const known = fence.lost(error);
    // Whoever has the lease by now has listed since, and goes on from what leads.
    const isPassed = error instanceof LeaseHeldError;
    for (const file of late) {
      if ((isPassed && file.isAhead) || (await takeBack(replica, file))) continue;
      return new ConflictError(
        {
          operation: known.operation,
          object: known.object,
          what: `another writer has gone on, and ${file.key}, which came too late, could not be removed`,
          next: `Remove ${file.key} by hand, then call takeOver() to continue after the other's last file`,
        },
        { left: file.key },
      );
    }
    return known;
  };

  /** Files of ours above level 0 that wait for their L0 file. */
  let ahead: readonly AheadFile[] = [];

  /** Whether the last try to create a file is not known to have succeeded. */
  let hasFailed = false;

  const create = async (object: LtxObject, how: CreateOptions = {}): Promise<LtxObject> => {
    const { signal } = how;
    const { level, maxTxid } = object.where;
    const waiting = ahead.filter((file) => file.maxTxid === maxTxid);
    const isAhead = level > 0 && (fence.leads(maxTxid) || waiting.length > 0);
    // One that did not answer at the start has not been asked what it can.
    await replica.prepareToWrite({ signal });
    const kept = keptObject(object);
    const file = {
      key: replica.key(object.where),
      maxTxid,
      isAhead,
      isOurs: (there: LtxFileInfo) => isSame(replica, there, { object: kept, signal }),
    };
    let sentAt: Instant | undefined;
    const before = async (): Promise<void> => {
      await lease?.hold(signal);
      // No name on its own level tells that another writer has this TXID, and after a try that failed time may have passed
      // in which another one went on and left names free: the bridge of a second replica does.
      if (isAhead || hasFailed || sentAt !== undefined) fence.doubt();
      await fence.prove(signal);
      fence.sending(kept);
      sentAt = fence.now();
    };
    try {
      const done = await createObject(replica, object, { ...how, before });
      hasFailed = false;
      if (isAhead) {
        // Below it names of level 0 are free: whoever took one meanwhile shows only as long as this one is not known.
        fence.doubt();
        await fence.prove(signal);
        ahead = [...ahead, file];
      }
      fence.landed(done.object === object ? { ...done, object: kept } : done, sentAt);
      if (level === 0) ahead = [];
      await fence.prove(signal);
      return done.object;
    } catch (error) {
      hasFailed = true;
      const late = sentAt === undefined ? [] : [file];
      // Another writer has the L0 file that they went before: its TXID must not have two states.
      throw await lost(error, level === 0 ? [...waiting, ...late] : late);
    }
  };

  return {
    replica,
    create,
    async createMerged(file, { signal } = {}) {
      let isSent = false;
      const { maxTxid } = file.where;
      const before = async (): Promise<void> => {
        // It may be made of an L0 file that was listed before its own answer came, if it is ours at all: a listing tells.
        if (fence.leads(maxTxid)) fence.doubt();
        await fence.prove(signal);
        if (fence.leads(maxTxid))
          throw outdated(replica.key(file.where), "a file that it is made of is gone");
        isSent = true;
      };
      await replica.prepareToWrite({ signal });
      try {
        const outcome = await createMergedFile(replica, file, { signal, before });
        await fence.prove(signal);
        return outcome;
      } catch (error) {
        const isOurs = (there: LtxFileInfo): Promise<boolean> =>
          isSameState(replica, there, file, signal);
        const late = { key: replica.key(file.where), isAhead: false, isOurs };
        throw await lost(error, isSent ? [late] : []);
      }
    },
    createBlocking(objects, upload) {
      if (fence.conflict !== undefined) return fence.conflict.message;
      const sentAt = fence.now();
      const failure = upload(fence.hand(objects));
      if (failure !== undefined) return failure;
      fence.confirmed(objects, sentAt);
      // It cannot be waited for here; what it says stops the next write.
      void lease?.hold().catch((error: unknown) => {
        if (error instanceof ConflictError) fence.lost(error);
      });
      return undefined;
    },
    async remove(files, { signal } = {}) {
      const before = (): Promise<void> => fence.prove(signal);
      for (let at = 0; at < files.length; at += REMOVE_BATCH) {
        await replica.remove(files.slice(at, at + REMOVE_BATCH), { signal, before });
      }
    },
  };
}

async function createMergedFile(
  replica: Replica,
  file: MergedFile,
  options: {
    readonly signal?: AbortSignal | undefined;
    readonly before?: (() => Promise<void>) | undefined;
  } = {},
): Promise<MergedOutcome> {
  const { where, body, sizeBound } = file;
  const { signal, before } = options;
  const resolve = async (there: LtxFileInfo): Promise<MergedOutcome> => {
    if (await isSameState(replica, there, file, signal)) return "existing";
    throw outdated(there.key, "a file of the same range with another state or time is there");
  };
  if (!replica.store.capabilities.conditionalPut) {
    const there = await replica.find(where, { signal });
    if (there !== undefined) return await resolve(there);
  }
  try {
    await replica.write(where, body, { signal, sizeBound, before });
    return "created";
  } catch (error) {
    if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    const there = await replica.find(where, { signal });
    if (there === undefined) throw error;
    return await resolve(there);
  }
}

/** What was listed is not what is there. */
function outdated(object: string, what: string): PreconditionFailedError {
  return new PreconditionFailedError({
    operation: "upload",
    object,
    what,
    next: "List the level again",
  });
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

/** A file that may have been created after another writer had gone on. */
interface LateFile {
  readonly key: string;
  /** Whether it led beyond our newest L0 file: then other files may have come below it. */
  readonly isAhead: boolean;
  /** Whether what the store has under its name is what was sent. */
  readonly isOurs: (there: LtxFileInfo) => Promise<boolean>;
}

/** A file of ours that leads beyond our newest L0 file. */
interface AheadFile extends LateFile {
  readonly maxTxid: bigint;
}

/**
 * Removes a file that came too late. One that came in time may be what the other writer's history stands on: what no
 * other file covers cannot have come late, since retention removes only names that are covered. Returns false where it is
 * there and could not be removed.
 */
async function takeBack(replica: Replica, { key, isAhead, isOurs }: LateFile): Promise<boolean> {
  const { store } = replica;
  try {
    const files = (await replica.levels()).flat();
    const there = files.find((file) => file.key === key);
    if (there === undefined) return true;
    const isNeeded = isAhead
      ? await isBuiltOn(replica, there, files)
      : !files.some((file) => covers(file, there));
    if (isNeeded || !(await isOurs(there))) return true;
    let ifMatch: string | undefined;
    if (store.capabilities.conditionalDelete && there.etag !== "") ifMatch = there.etag;
    else if ((await store.head(key)).etag !== there.etag) return false;
    await store.deleteOne(key, { ifMatch });
    return true;
  } catch (error) {
    return isPagestreamError(error, "NOT_FOUND");
  }
}

/**
 * Whether another writer goes on from a file that leads: it has then put the L0 file of the same TXID and time behind it,
 * and whatever comes after begins there.
 */
async function isBuiltOn(
  replica: Replica,
  there: LtxFileInfo,
  files: readonly LtxFileInfo[],
): Promise<boolean> {
  const { key, maxTxid: txid } = there;
  const l0 = files.find(({ level, maxTxid }) => level === 0 && maxTxid === txid);
  if (l0 !== undefined) {
    const headers = [there, l0].map(async (file) =>
      decodeHeader(await replica.read(file, { length: LTX_HEADER_SIZE }), file.key),
    );
    const [ours, other] = await Promise.all(headers);
    return ours?.timestamp === other?.timestamp;
  }
  if (!files.some(({ maxTxid }) => maxTxid > txid)) return false;
  return !files.some((file) => file.key !== key && file.minTxid <= txid && file.maxTxid >= txid);
}

/** Whether one file makes another unnecessary for any later state. */
function covers(file: LtxFileInfo, other: LtxFileInfo): boolean {
  return (
    file.key !== other.key &&
    file.level >= other.level &&
    file.minTxid <= other.minTxid &&
    file.maxTxid >= other.maxTxid
  );
}
