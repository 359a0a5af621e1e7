/**
 * The object that is a lease: Litestream's, and one member more.
 *
 * | member | what |
 * | --- | --- |
 * | `generation` | integer; grows with every new holder |
 * | `expires_at` | RFC 3339, with any offset |
 * | `owner` | text; may be missing |
 * | `nonce` | ours: tells a writer from all others. Litestream skips it |
 *
 * @module
 */
import { asciiBytes, asciiJson, asciiText } from "../core/ascii.ts";
import { concatBytes } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";
import { StoreError } from "../transports/errors.ts";
import { formatTimestamp, parseTimestamp } from "../transports/timestamp.ts";
import { ConflictError } from "./errors.ts";
import type { Replica } from "./replica.ts";

/** Key of the lease, outside the folders of the levels. */
export const LEASE_KEY = "lock.json";

/** No lease is longer. */
const MAX_BYTES = 16 << 10;

/** What a lease says. */
export interface LeaseRecord {
  /** Grows with every new holder. */
  readonly generation: number;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
  /** What the holder calls itself; empty where it does not say. */
  readonly owner: string;
  /** Which writer it is; Litestream's have none. */
  readonly nonce: string | undefined;
}

/** What the store holds: nothing, or one version of the object. */
export type FoundLease = { readonly record: LeaseRecord; readonly etag: string } | "absent";

/** The bytes of a lease. */
export function encodeLease({ generation, expiresAt, owner, nonce }: LeaseRecord): Uint8Array {
  const text = { generation, expires_at: formatTimestamp(expiresAt), owner, nonce };
  return asciiBytes(asciiJson(text));
}

/** Reads the lease of a replica. `ConflictError` where its key holds something else. */
export async function readLease(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<FoundLease> {
  const what = { operation: "read", object: LEASE_KEY, signal };
  try {
    return await replica.retry(what, async () => {
      const { body, etag } = await replica.store.get(LEASE_KEY, { length: MAX_BYTES, signal });
      return { record: decodeLease(await collect(body), replica), etag };
    });
  } catch (error) {
    if (isPagestreamError(error, "NOT_FOUND")) return "absent";
    throw error;
  }
}

function decodeLease(bytes: Uint8Array, { description }: Replica): LeaseRecord {
  const { generation, expires_at, owner, nonce } = parseObject(asciiText(bytes));
  const expiresAt = typeof expires_at === "string" ? parseTimestamp(expires_at) : undefined;
  if (!Number.isSafeInteger(generation) || expiresAt === undefined) {
    throw new ConflictError({
      operation: "replicate to",
      object: description,
      what: `${LEASE_KEY} is there, but is no lease`,
      next: `Find out what has written ${LEASE_KEY} beside the replica, and remove it`,
    });
  }
  return {
    generation: generation as number,
    expiresAt,
    owner: typeof owner === "string" ? owner : "",
    nonce: typeof nonce === "string" ? nonce : undefined,
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

async function collect(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return concatBytes(chunks);
      chunks.push(value);
    }
  } catch (error) {
    if (isPagestreamError(error)) throw error;
    // Its own error is left out: it may carry a signed URL.
    const what = "the transfer broke off";
    throw new StoreError({ operation: "read", object: LEASE_KEY, what }, { retryable: true });
  }
}
