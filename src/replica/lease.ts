/**
 * The lease of a replica: one object that tells Pagestream writers of each other before they write.
 *
 * It is Litestream's `lock.json`, with a nonce that tells our own object, whose answer was lost, from another writer's.
 * Litestream itself takes no lease when it replicates, so that a lease proves nothing; see `fence.ts` for what does.
 *
 * Uploads prolong it, so that an idle database costs nothing: its lease ends, and is taken again before the next upload
 * if nobody else has taken it.
 *
 * @module
 */
import { toHex } from "../core/bytes.ts";
import { isPagestreamError, UnsupportedError } from "../core/errors.ts";
import { ageOf, type Instant, instantOf } from "../core/instant.ts";
import type { Platform } from "../core/platform.ts";
import { ConflictError, LeaseHeldError } from "./errors.ts";
import {
  encodeLease,
  type FoundLease,
  LEASE_KEY,
  type LeaseRecord,
  readLease,
} from "./lease-object.ts";
import type { LocalState } from "./local-state.ts";
import { readNonce } from "./marker.ts";
import type { Replica } from "./replica.ts";

/** Litestream's time to live. */
const TTL_MS = 30_000;
const NONCE_BYTES = 16;
const NOBODY = { owner: "", expiresAt: 0 };
/** Times that a lease may slip away to somebody else whose own is over when it is read. */
const ROUNDS = 10;

/** Who takes leases. */
export interface LeaseHolder {
  /** Tells this writer from all others; never shown. */
  readonly nonce: string;
  /** What others are told of this writer. */
  readonly owner: string;
  /** Whether a store that cannot keep a lease is refused, with `UnsupportedError`, in place of done without. @default false */
  readonly insists?: boolean | undefined;
}

/** What a {@linkcode Lease} works with. */
export interface LeaseOptions extends LeaseHolder {
  readonly replica: Replica;
  /** How long it holds without being prolonged, in milliseconds. @default 30000 */
  readonly ttlMs?: number | undefined;
  /** Taken: for the first time, or again after it had ended. */
  readonly taken?: ((generation: number) => void) | undefined;
  /** Somebody else held it since it was ours: what they wrote must be looked at. */
  readonly passed?: (() => void) | undefined;
}

/** The writer that was here before, which the lock on the database proves to have ended, or a new one. */
export function leaseHolder(options: {
  readonly state: LocalState;
  readonly platform: Platform;
  readonly lease?: boolean | undefined;
  readonly owner?: string | undefined;
}): LeaseHolder | undefined {
  const { state, platform, lease: insists, owner = "pagestream" } = options;
  if (insists === false) return undefined;
  const nonce = readNonce(state.readMarker()) ?? toHex(platform.randomBytes(NONCE_BYTES));
  return { nonce, owner, insists };
}

/** The lease of one writer; where the store cannot create and replace on conditions there is none. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #ttlMs: number;
  #found: FoundLease | undefined;
  /** Generation of our lease in this process; of the one that is being taken, until its outcome is known. */
  #generation: number | undefined;
  /** When the last request began that took or prolonged it, by both clocks. */
  #since: Instant | undefined;
  #taking: Promise<void> | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#ttlMs = options.ttlMs ?? TTL_MS;
  }

  /** Reads the lease: `LeaseHeldError` where another writer's has not ended. Takes nothing. */
  async inspect(signal?: AbortSignal): Promise<void> {
    if (!this.#canBe()) return;
    this.#found = await readLease(this.#options.replica, signal);
    this.#refuse(this.#found);
  }

  /** Makes sure that the lease is ours: before an upload. `LeaseHeldError` where it is another writer's now. */
  async hold(signal?: AbortSignal): Promise<void> {
    const age = this.#age();
    if (age < this.#ttlMs / 3 || !this.#canBe()) return;
    this.#taking ??= this.#take({ signal }).finally(() => (this.#taking = undefined));
    try {
      await this.#taking;
    } catch (error) {
      // It is ours for a while yet, and the next upload tries again.
      if (error instanceof ConflictError || age >= this.#ttlMs) throw error;
    }
  }

  /** Takes the lease from whoever holds it. */
  async takeOver(signal?: AbortSignal): Promise<void> {
    if (!this.#canBe()) return;
    await this.#taking?.catch(() => undefined);
    this.#found = undefined;
    const { replica } = this.#options;
    const what = { operation: "take over the lease of", object: replica.description, signal };
    await replica.retry(what, () => this.#take({ signal, force: true }));
  }

  /** Ends the lease, where it has not ended by itself; its generation stays for the next writer to count on. */
  async release(signal?: AbortSignal): Promise<void> {
    await this.#taking?.catch(() => undefined);
    const found = this.#found;
    if (this.#age() >= this.#ttlMs || found === undefined || found === "absent") return;
    // Read when it was found to be lost.
    if (!this.#isOurs(found)) return;
    this.#since = undefined;
    try {
      await this.#put({ ...found.record, expiresAt: 0 }, { found, signal });
    } catch (error) {
      // Another writer has taken it, or an earlier try has ended it.
      if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    }
  }

  #canBe(): boolean {
    const { replica, insists } = this.#options;
    const { conditionalPut, conditionalReplace } = replica.store.capabilities;
    const canBe = conditionalPut && conditionalReplace;
    if (canBe || insists !== true) return canBe;
    throw new UnsupportedError({
      operation: "replicate to",
      object: replica.description,
      what: "a lease needs a store that creates and replaces objects on conditions",
      next: "Leave the option lease out, and see to it that there is one writer",
    });
  }

  /** Milliseconds since it was taken or prolonged. */
  #age(): number {
    const { clock } = this.#options.replica.platform;
    return this.#since === undefined ? Infinity : ageOf(clock, this.#since);
  }

  /** By the store's clock, where it is known. */
  #now(): number {
    const { store, platform } = this.#options.replica;
    return platform.clock.now() + (store.clockOffsetMs?.() ?? 0);
  }

  async #take(how: {
    readonly signal: AbortSignal | undefined;
    readonly force?: boolean;
  }): Promise<void> {
    const { signal, force = false } = how;
    const { replica, nonce, owner, taken, passed } = this.#options;
    const { clock } = replica.platform;
    const isNew = this.#age() >= this.#ttlMs;
    for (let round = 1; ; round++) {
      const found = this.#found ?? (await readLease(replica, signal));
      this.#found = found;
      if (round > ROUNDS) throw this.#heldBy(found);
      if (!force) this.#refuse(found);
      const isOurs = this.#isOurs(found) && this.#generation !== undefined;
      if (!isOurs && this.#generation !== undefined) passed?.();
      const before = found === "absent" ? 0 : found.record.generation;
      const generation = isOurs ? before : before + 1;
      this.#generation = generation;
      const since = instantOf(clock);
      const record = { generation, expiresAt: this.#now() + this.#ttlMs, owner, nonce };
      try {
        await this.#put(record, { found, signal });
      } catch (error) {
        if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
        // Another writer's, or our own whose answer was lost.
        this.#found = undefined;
        continue;
      }
      this.#since = since;
      if (isNew) taken?.(generation);
      return;
    }
  }

  /** The last thing this writer put: in this process by its generation too, since a restart has the same nonce. */
  #isOurs(found: FoundLease): boolean {
    if (found === "absent" || found.record.nonce !== this.#options.nonce) return false;
    return this.#generation === undefined || this.#generation === found.record.generation;
  }

  #refuse(found: FoundLease): void {
    if (found === "absent" || this.#isOurs(found) || this.#now() > found.record.expiresAt) return;
    throw this.#heldBy(found);
  }

  #heldBy(found: FoundLease): LeaseHeldError {
    const { owner, expiresAt } = found === "absent" ? NOBODY : found.record;
    const { description } = this.#options.replica;
    return new LeaseHeldError(description, { owner, expiresAt: new Date(expiresAt) });
  }

  async #put(
    record: LeaseRecord,
    how: { readonly found: FoundLease; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    const { found, signal } = how;
    const condition =
      found === "absent" ? ({ ifNoneMatch: "*" } as const) : { ifMatch: found.etag };
    const { store } = this.#options.replica;
    const { etag } = await store.put(LEASE_KEY, encodeLease(record), { ...condition, signal });
    this.#found = { record, etag };
  }
}
