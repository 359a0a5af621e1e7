/**
 * What a store says of itself, handed on by one that wraps it.
 *
 * @module
 */
import type { ObjectStore, StoreCapabilities } from "./object-store.ts";

/** Every member, so that whoever wraps a store forgets none that is added to the contract. */
export type Passing = Required<Omit<ObjectStore, "probe" | "watch" | "localReads" | "close">>;

/** The members of a store that are no requests, as another store has them. */
export class StoreTraits implements Omit<
  Passing,
  "get" | "put" | "head" | "delete" | "deleteOne" | "list"
> {
  readonly #store: ObjectStore;

  /** Reads them whenever it is asked: a probe changes what a store can do. */
  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The kind of the store, as Litestream names it. */
  get type(): string {
    return this.#store.type;
  }

  /** What to call it in messages; holds no secret. */
  get description(): string {
    return this.#store.description;
  }

  /** What it can do, as of now. */
  get capabilities(): StoreCapabilities {
    return this.#store.capabilities;
  }

  /** How its keys are laid out. */
  get layout(): "directory" | "hex" | undefined {
    return this.#store.layout;
  }

  /** Whether it lies on this machine. */
  get local(): boolean | undefined {
    return this.#store.local;
  }

  /** Whether it encrypts what it is given. */
  get encrypted(): boolean | undefined {
    return this.#store.encrypted;
  }

  /** Its clock against this machine's, in milliseconds; `undefined` while that is not known. */
  clockOffsetMs(): number | undefined {
    return this.#store.clockOffsetMs?.();
  }
}
