/**
 * The fence between two writers of one replica: nothing is written or removed without a young proof that nobody else writes.
 *
 * That a name is created only if it is free keeps two writers apart only until retention removes the name: a writer that
 * was frozen longer would create it anew, inside the other's history. So each write needs a proof, which is the confirmed
 * creation of our newest L0 file, or a listing whose newest file is ours, and which counts for less time than a name
 * stays at the least. The time is the larger of two clocks', since one may stand still while the machine sleeps and the
 * other may be set back.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { ageOf, type Instant, instantOf } from "../core/instant.ts";
import type { Clock } from "../core/platform.ts";
import { LTX_HEADER_SIZE } from "../ltx/header.ts";
import { LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import { ConflictError } from "./errors.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import { type CreatedObject, isSame, keptObject, type LtxObject } from "./upload-staged.ts";

/** How long a name of level 0 stays at the least, where that is not known. */
const L0_RETENTION_MS = 5 * 60_000;
/** How long a proof counts where creation overwrites. */
const UNCONDITIONAL_PROOF_MS = 15_000;
/** How many of our L0 files before the newest one are looked at in a listing. */
const RECENT_FILES = 64;
/** No store sends a body of this size in parts, for which conditions may not hold. */
const SINGLE_PUT_BYTES = 5 << 20;

/** What is known of a replica, for a helper that writes to it in another thread. */
export interface WriterStanding {
  /** Largest TXID of ours; what is there is accepted where that is not known. */
  readonly maxTxid: bigint | undefined;
  /** Age of the proof in milliseconds, at the wall-clock time `at`; `undefined` without one. */
  readonly provenMs: number | undefined;
  /** When that age was taken, by the wall clock. */
  readonly at: number;
  /** How long L0 files stay at the least; `undefined` where that is not known. */
  readonly l0RetentionMs: number | undefined;
}

/** What a {@linkcode Fence} works with. */
export interface FenceOptions {
  readonly replica: Replica;
  /** How long whoever writes this replica keeps L0 files at the least, in milliseconds; 0: always. @default 5 minutes */
  readonly l0RetentionMs?: number | undefined;
  /** A listing of all levels has been read. */
  readonly listed?: ((levels: readonly (readonly LtxFileInfo[])[]) => void) | undefined;
}

/** What a listing of all levels showed. */
export interface SeenReplica {
  /** Largest TXID of any level. */
  readonly standing: { readonly maxTxid: bigint };
  /** The files of all levels, each in order. */
  readonly levels: readonly (readonly LtxFileInfo[])[];
  /** When the listing was begun. */
  readonly listedAt: Instant;
}

/** The newest L0 file that is ours, and its ends where it was written here. */
interface NewestL0 {
  readonly file: LtxFileInfo;
  readonly object: LtxObject | undefined;
}

/** What is known to be ours in one replica, and since when. */
export class Fence {
  readonly #options: FenceOptions;
  readonly #clock: Clock;
  #proof: Instant | undefined;
  /** Largest TXID of ours; `undefined` until the first listing, which is accepted as it is. */
  #maxTxid: bigint | undefined;
  #newestL0: NewestL0 | undefined;
  /** Tags of the L0 files of ours right before it, by key. */
  #recent: Map<string, string> | undefined;
  /** What was sent beyond that, and may have arrived. */
  #sent: LtxObject[] = [];
  #conflict: ConflictError | undefined;

  constructor(options: FenceOptions) {
    this.#options = options;
    this.#clock = options.replica.platform.clock;
  }

  /** Now. */
  now(): Instant {
    return instantOf(this.#clock);
  }

  /** Accepts as ours all that a replica holds, as it was seen; what was not seen is, when it is listed. Forgets a conflict. */
  begin(seen?: SeenReplica): void {
    this.#conflict = undefined;
    this.#sent = [];
    this.#maxTxid = seen?.standing.maxTxid;
    const newest = seen?.levels[0]?.at(-1);
    this.#newestL0 = newest && { file: newest, object: undefined };
    this.#recent = undefined;
    this.#proof = seen?.listedAt;
  }

  /** Whether a TXID lies beyond all that is known to be ours. */
  leads(txid: bigint): boolean {
    return txid > (this.#maxTxid ?? 0n);
  }

  /** What a helper begins with, which sends `objects` now. */
  hand(objects: readonly LtxObject[]): WriterStanding {
    for (const object of objects) this.sending(keptObject(object));
    const provenMs = this.#proof && ageOf(this.#clock, this.#proof);
    const { l0RetentionMs } = this.#options;
    return { maxTxid: this.#maxTxid, provenMs, at: this.#clock.now(), l0RetentionMs };
  }

  /** Begins with what another thread knows. */
  resume({ maxTxid, provenMs, at }: WriterStanding): void {
    const { monotonic } = this.now();
    this.#maxTxid = maxTxid;
    this.#proof =
      provenMs === undefined ? undefined : { wall: at - provenMs, monotonic: monotonic - provenMs };
  }

  /** A helper has created files, the first of which it can have sent at `sentAt`. It proves before it writes. */
  confirmed(objects: readonly LtxObject[], sentAt: Instant): void {
    const { replica } = this.#options;
    for (const object of objects) {
      const { where, size } = object;
      const time = new Date(Number(where.timestamp));
      const file = { ...where, size, time, key: replica.key(where), etag: "" };
      this.landed({ object: keptObject(object), file, created: false }, undefined);
    }
    if (replica.store.capabilities.conditionalPut) this.#proof = sentAt;
  }

  /** Why nothing may be written any more. */
  get conflict(): ConflictError | undefined {
    return this.#conflict;
  }

  /**
   * Lists, unless the proof is young. `ConflictError` if another writer shows; what is on its way is known by its ends.
   */
  async prove(signal: AbortSignal | undefined): Promise<void> {
    if (this.#conflict !== undefined) throw this.#conflict;
    if (this.#isProven()) return;
    const { replica, listed } = this.#options;
    const listedAt = this.now();
    const levels = await replica.levels({ signal });
    const files = levels.flat();
    if (this.#maxTxid === undefined) {
      const maxTxid = files.reduce((max, file) => (file.maxTxid > max ? file.maxTxid : max), 0n);
      this.begin({ standing: { maxTxid }, levels, listedAt });
    } else {
      const foreign = await this.#findForeign(files, signal);
      if (foreign !== undefined) throw this.lost(conflictWith(replica, foreign));
      this.#proof = listedAt;
    }
    listed?.(levels);
  }

  /** The next write needs a listing, whatever was proven. */
  doubt(): void {
    this.#proof = undefined;
  }

  /** From now on everything fails with `error`, or with the one that came before; returns which. */
  lost(error: ConflictError): ConflictError {
    this.#conflict ??= error;
    return this.#conflict;
  }

  /** A file is being sent, of which `object` has the ends. */
  sending(object: LtxObject): void {
    if (object.where.maxTxid <= (this.#maxTxid ?? 0n)) return;
    if (!this.#sent.some((sent) => isSameObject(sent, object))) this.#sent.push(object);
  }

  /**
   * A file is in the store; `sentAt` is when the try began that created it. That proves something only as long as its
   * name cannot have been free for the second time.
   */
  landed({ object, file, created }: CreatedObject, sentAt: Instant | undefined): void {
    const known = this.#maxTxid ?? 0n;
    const maxTxid = file.maxTxid > known ? file.maxTxid : known;
    this.#maxTxid = maxTxid;
    this.#sent = this.#sent.filter(({ where }) => where.maxTxid > maxTxid);
    // One that fills a gap proves nothing: whoever went on would not have minded it.
    if (file.level !== 0 || file.maxTxid < maxTxid) return;
    if (this.#newestL0 !== undefined) this.#remember(this.#newestL0.file);
    this.#newestL0 = { file, object };
    const { conditionalPut, conditionalLarge } = this.#options.replica.store.capabilities;
    const isConditional = conditionalPut && (conditionalLarge || file.size < SINGLE_PUT_BYTES);
    if (created && isConditional && sentAt !== undefined && this.#isProven()) this.#proof = sentAt;
  }

  #isProven(): boolean {
    if (this.#proof === undefined) return false;
    const { replica, l0RetentionMs = 0 } = this.#options;
    const half = (l0RetentionMs === 0 ? L0_RETENTION_MS : l0RetentionMs) / 2;
    const { conditionalPut } = replica.store.capabilities;
    const lasting = conditionalPut ? half : Math.min(half, UNCONDITIONAL_PROOF_MS);
    return ageOf(this.#clock, this.#proof) <= lasting;
  }

  /** A file of another writer. What was sent and is there is known to be ours afterwards. */
  async #findForeign(
    files: readonly LtxFileInfo[],
    signal: AbortSignal | undefined,
  ): Promise<LtxFileInfo | undefined> {
    // What is on its way may be confirmed at any time.
    const isBeyond = (file: LtxFileInfo): boolean => file.maxTxid > (this.#maxTxid ?? 0n);
    const arrived: CreatedObject[] = [];
    for (const file of files) {
      if (!isBeyond(file)) continue;
      const object = await this.#findSent(file, signal);
      if (object !== undefined) arrived.push({ object, file, created: false });
      else if (isBeyond(file)) return file;
    }
    const replaced = await this.#findReplaced(files, signal);
    for (const each of arrived) this.landed(each, undefined);
    return replaced;
  }

  async #findSent(
    file: LtxFileInfo,
    signal: AbortSignal | undefined,
  ): Promise<LtxObject | undefined> {
    const { replica } = this.#options;
    for (const object of this.#sent) {
      if (replica.key(object.where) !== file.key) continue;
      if (await isSame(replica, file, { object, signal })) return object;
    }
    return undefined;
  }

  #remember({ key, etag }: LtxFileInfo): void {
    if (etag === "") return;
    this.#recent ??= new Map();
    this.#recent.set(key, etag);
    if (this.#recent.size <= RECENT_FILES) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  /** An L0 file of ours that somebody who does not look first, as Litestream, has written over. */
  async #findReplaced(
    files: readonly LtxFileInfo[],
    signal: AbortSignal | undefined,
  ): Promise<LtxFileInfo | undefined> {
    const newest = this.#newestL0;
    const there = newest && files.find(({ key }) => key === newest.file.key);
    if (newest === undefined || there === undefined) return undefined;
    const { file, object } = newest;
    if (there.etag === file.etag && there.size === file.size) {
      // Tags are the same here whether an object was put or listed.
      const isOther = ({ key, etag }: LtxFileInfo): boolean =>
        (this.#recent?.get(key) ?? etag) !== etag;
      const replaced = files.find(isOther);
      if (replaced !== undefined) return replaced;
    } else if (object !== undefined) {
      if (!(await isSame(this.#options.replica, there, { object, signal }))) return there;
      this.#newestL0 = { file: there, object };
    } else if (there.size !== file.size || (there.etag !== "" && file.etag !== "")) {
      return there;
    }
    return undefined;
  }
}

/** What the loser of two writers is told. */
function conflictWith(replica: Replica, file: LtxFileInfo): ConflictError {
  return new ConflictError({
    operation: "replicate to",
    object: replica.description,
    what: `another writer has created ${file.key}`,
    next: "Stop one of the two writers, then call takeOver() to continue after the other's last file",
  });
}

function isSameObject(a: LtxObject, b: LtxObject): boolean {
  if (a.where.level !== b.where.level || a.where.minTxid !== b.where.minTxid) return false;
  if (a.where.maxTxid !== b.where.maxTxid || a.size !== b.size) return false;
  const tail = a.size - LTX_TRAILER_SIZE;
  return (
    equalBytes(a.read(0, LTX_HEADER_SIZE), b.read(0, LTX_HEADER_SIZE)) &&
    equalBytes(a.read(tail, LTX_TRAILER_SIZE), b.read(tail, LTX_TRAILER_SIZE))
  );
}
