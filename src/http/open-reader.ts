/**
 * A reader while it serves requests: how new what it tells is, and what was made of it.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RestoreTarget } from "../replica/plan.ts";
import type { ReplicaReader, ReplicaView } from "../replica/reader-options.ts";

/** How a reader serves. */
export interface OpenReaderOptions {
  /** Time and chance. */
  readonly platform: Platform;
  /** For how many milliseconds what was found is told again. */
  readonly freshMs: number;
  /** Whether several requests use the reader. */
  readonly isShared: boolean;
  /** When the newest state was looked for, by the monotonic clock. @default never */
  readonly refreshedAt?: number | undefined;
}

/** Options of `view`. */
export interface ViewOptions {
  /** Ends the search of a state of the past. */
  readonly signal: AbortSignal;
  /** Whether the newest state is looked for even if that was done a moment ago. @default false */
  readonly isUrgent?: boolean | undefined;
}

/** Something that is closed with the reader it was made of. */
export interface Attached {
  /** Closes it. */
  close(): Promise<void>;
}

/** A reader that is open. */
export class OpenReader {
  /** Reads the replica. */
  readonly reader: ReplicaReader;
  /** Whether several requests use it. */
  readonly isShared: boolean;
  readonly #options: OpenReaderOptions;
  readonly #attached = new Map<string, Promise<Attached>>();
  #refreshing: Promise<ReplicaView> | undefined;
  #refreshedAt: number;

  constructor(reader: ReplicaReader, options: OpenReaderOptions) {
    this.reader = reader;
    this.isShared = options.isShared;
    this.#options = options;
    this.#refreshedAt = options.refreshedAt ?? Number.NEGATIVE_INFINITY;
  }

  /** When the newest state was last looked for, by the monotonic clock. */
  get refreshedAt(): number {
    return this.#refreshedAt;
  }

  /** The state of a target, for an empty one the newest: no older than what is told again. */
  async view(
    target: RestoreTarget,
    { signal, isUrgent = false }: ViewOptions,
  ): Promise<ReplicaView> {
    const { reader } = this;
    if (target.txid !== undefined || target.timestamp !== undefined) {
      return await reader.viewAt(target, { signal, allowFuture: true });
    }
    const { freshMs, platform } = this.#options;
    const now = platform.clock.monotonic();
    if (!isUrgent && now - this.#refreshedAt < freshMs) return reader.latest;
    this.#refreshing ??= reader
      .refresh()
      .finally(() => {
        this.#refreshing = undefined;
      })
      .then((view) => {
        this.#refreshedAt = platform.clock.monotonic();
        return view;
      });
    return await this.#refreshing;
  }

  /** What was attached to the reader under a name, or is made of it now. */
  async attach<T extends Attached>(name: string, make: () => Promise<T>): Promise<T> {
    const before = this.#attached.get(name);
    if (before !== undefined) return (await before) as T;
    const made = make();
    this.#attached.set(name, made);
    made.catch(() => this.#attached.delete(name));
    return await made;
  }

  /** Closes what was attached. */
  async closeAttached(): Promise<void> {
    const attached = [...this.#attached.values()];
    this.#attached.clear();
    // What could not be made has been told already.
    const made = await Promise.allSettled(attached);
    for (const each of made) if (each.status === "fulfilled") await each.value.close();
  }
}
