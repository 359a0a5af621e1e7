/**
 * How often a client may ask: a bucket of tokens each, and a bound on the number of buckets.
 *
 * @module
 */
import type { Context } from "hono";
import type { Clock } from "../core/platform.ts";

/** How often one client may ask. */
export interface RateOptions {
  /** Requests that are let through on average. */
  readonly perSecond: number;
  /** Requests that are let through at once after a rest. @default ten seconds' worth */
  readonly burst?: number | undefined;
  /**
   * What tells clients apart: an address, a user, a key. Runtimes know addresses in different ways, and proxies hide them: use
   * what the hook `authorize`, which comes before, has set on the context. @default all clients are one
   */
  readonly client?: ((c: Context) => string) | undefined;
}

interface Bucket {
  tokens: number;
  /** Monotonic time of `tokens`. */
  at: number;
}

/** Clients that are remembered; beyond them the one that asked longest ago is forgotten. */
const MAX_CLIENTS = 10_000;

/** Counts requests. */
export class RateLimit {
  readonly #options: RateOptions;
  readonly #burst: number;
  readonly #clock: Clock;
  /** In the order of the last request. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateOptions, clock: Clock) {
    this.#options = options;
    this.#burst = options.burst ?? Math.max(1, options.perSecond * 10);
    this.#clock = clock;
  }

  /** Counts a request; returns 0 where it may pass, else the whole seconds after which one may. */
  take(c: Context): number {
    const { perSecond, client } = this.#options;
    const key = client?.(c) ?? "";
    const now = this.#clock.monotonic();
    const before = this.#buckets.get(key);
    const earned = before === undefined ? 0 : ((now - before.at) * perSecond) / 1000;
    const tokens = Math.min(this.#burst, (before?.tokens ?? this.#burst) + earned);
    const mayPass = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: mayPass ? tokens - 1 : tokens, at: now });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_CLIENTS && oldest !== undefined) this.#buckets.delete(oldest);
    return mayPass ? 0 : Math.ceil((1 - tokens) / perSecond);
  }
}
