/**
 * Signatures of version 4 for S3 and whoever speaks like it, with what is learned of a server on the way: the region of
 * the bucket and how far its clock is from ours.
 *
 * @module
 */
import { bytesToHex } from "@noble/hashes/utils.js";
import { AwsV4Signer } from "aws4fetch";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { encodeQuery } from "./location.ts";
import { isRegion, type S3Address } from "./s3-address.ts";
import type { TokenRequest } from "./access-token.ts";
import type { CredentialCache, S3Credentials } from "./s3-credentials.ts";

/** A request that is to be signed. */
export interface S3SignRequest {
  /** GET, PUT and so on. */
  readonly method: string;
  /** The whole key, the store's path included; without one the request is to the bucket. */
  readonly key?: string | undefined;
  /** Parameters, unencoded. */
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Headers in lower case that the request must carry. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A request that may be sent. */
export interface S3SignedRequest {
  /** The whole address. Secret as long as it is valid, where the signature is in it. */
  readonly url: string;
  /** All headers to send. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What an answer tells of why it is a refusal. */
export interface S3Refusal {
  readonly status: number;
  /** The vendor's code, where there is one. */
  readonly code?: string | undefined;
  /** Where the bucket lies, where the answer says so. */
  readonly region?: string | undefined;
  /** The server's clock in milliseconds since the Unix epoch, where the answer tells. */
  readonly serverTime?: number | undefined;
}

/** One attempt to sign. */
export interface S3Signature extends S3SignedRequest {
  /** Learns from a refusal; names what has changed, so that signing again may help, or is `undefined`. */
  remedy(refusal: S3Refusal): string | undefined;
}

/** Signs requests to one bucket. */
export interface S3Signer {
  /** Milliseconds that the server's clock is ahead of ours, as far as known. */
  readonly skewMs: number;
  /** Signs a request and, where it is set up so, its body. */
  sign(
    request: S3SignRequest,
    body: Uint8Array<ArrayBuffer> | string | undefined,
    context: TokenRequest,
  ): Promise<S3Signature>;
}

/** What is signed with. */
export interface S3SignerOptions {
  readonly address: S3Address;
  readonly credentials: CredentialCache;
  readonly platform: Platform;
  /** Whether the hash of the body is signed. @default true */
  readonly signPayload?: boolean | undefined;
}

/** Longest validity of a signature in a query. */
const LONGEST_S = 7 * 24 * 3600;

/** Servers refuse requests that are 15 min off. One that refuses and is closer refuses for another reason. */
const SKEW_MS = 5 * 60_000;

/** SHA-256 of no bytes: what every request without a body signs. */
const EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Codes of keys that were good once. */
const EXPIRED: readonly string[] = [
  "ExpiredToken",
  "ExpiredTokenException",
  "TokenRefreshRequired",
];

/** Signs by header. It learns: one per bucket and process is best. */
export function s3Signer(options: S3SignerOptions): S3Signer {
  const { address, credentials, platform, signPayload = true } = options;
  // Of the keys that are derived for a day.
  const cache = new Map<string, ArrayBuffer>();
  let region = address.region;
  let skewMs = 0;
  return {
    get skewMs() {
      return skewMs;
    },

    async sign(request, body, context) {
      const keys = await credentials.get(context);
      const used = { region, skewMs };
      // One a day and region; more only where keys change.
      if (cache.size > 4) cache.clear();
      const url = withQuery(address.url(region, request.key), request.query);
      const signer = new AwsV4Signer({
        ...signerKeys(keys),
        method: request.method,
        url,
        headers: {
          ...address.provider.headers,
          ...request.headers,
          "x-amz-content-sha256": signPayload ? await payloadHash(body) : "UNSIGNED-PAYLOAD",
        },
        service: "s3",
        region,
        cache,
        datetime: amzDate(platform.clock.now() + skewMs),
      });
      const { headers } = await signer.sign();
      return {
        url,
        headers: Object.fromEntries(headers),
        remedy({ status, code, region: named, serverTime }) {
          if (named !== undefined && isRegion(named) && named !== used.region) {
            region = named;
            return "region";
          }
          if (code !== undefined && EXPIRED.includes(code)) {
            return credentials.expired(keys) ? "credentials" : undefined;
          }
          if (serverTime === undefined || (status !== 403 && code !== "RequestTimeTooSkewed")) {
            return undefined;
          }
          const found = serverTime - platform.clock.now();
          if (Math.abs(found - used.skewMs) < SKEW_MS) return undefined;
          skewMs = found;
          return "clock";
        },
      };
    },
  };
}

/** Signs by query: whoever has the address may send the request, with exactly these headers, until it expires. */
export async function presign(
  request: S3SignRequest,
  options: Omit<S3SignerOptions, "signPayload"> & { readonly expiresInS: number },
): Promise<S3SignedRequest> {
  const { address, credentials, platform, expiresInS } = options;
  if (!Number.isSafeInteger(expiresInS) || expiresInS < 1 || expiresInS > LONGEST_S) {
    throw new InvalidArgumentError({
      operation: "sign",
      object: request.key ?? "a request to the bucket",
      what: `${expiresInS} is not a validity from 1 to ${LONGEST_S} s`,
    });
  }
  const context = { operation: "sign", object: request.key ?? "a request to the bucket" };
  const headers = { ...address.provider.headers, ...request.headers };
  const query = { ...request.query, "X-Amz-Expires": String(expiresInS) };
  const bare = address.url(address.region, request.key);
  const signer = new AwsV4Signer({
    ...signerKeys(await credentials.get(context)),
    method: request.method,
    url: withQuery(bare, query),
    headers,
    service: "s3",
    region: address.region,
    datetime: amzDate(platform.clock.now()),
    signQuery: true,
  });
  const { url } = await signer.sign();
  // Written anew: a URL writes spaces as plus signs, which not every server reads so.
  return { url: withQuery(bare, Object.fromEntries(url.searchParams)), headers };
}

function signerKeys({ accessKeyId, secretAccessKey, sessionToken }: S3Credentials): {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
} {
  const token = sessionToken === undefined ? {} : { sessionToken };
  return { accessKeyId, secretAccessKey, ...token };
}

async function payloadHash(body: Uint8Array<ArrayBuffer> | string | undefined): Promise<string> {
  if (body === undefined) return EMPTY_HASH;
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

function withQuery(url: string, query: Readonly<Record<string, string>> = {}): string {
  const text = encodeQuery(query);
  return text === "" ? url : `${url}?${text}`;
}

function amzDate(ms: number): string {
  return new Date(ms).toISOString().replace(/[:-]|\.\d{3}/g, "");
}
