/**
 * Keys of S3: given, read from an environment, or fetched and kept until they are about to expire.
 *
 * @module
 */
import { abortable } from "../core/abortable.ts";
import { InvalidArgumentError, isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { TokenRequest } from "./access-token.ts";
import { StoreError } from "./errors.ts";

/** Keys that sign requests. */
export interface S3Credentials {
  /** Names the key. */
  readonly accessKeyId: string;
  /** Signs; never sent. */
  readonly secretAccessKey: string;
  /** Comes with keys that live for a while. */
  readonly sessionToken?: string | undefined;
  /** When they end. @default never */
  readonly expiration?: Date | undefined;
}

/** Fresh keys, each time it is called. */
export type S3CredentialProvider = () => Promise<S3Credentials>;

/** How long before their end keys are fetched anew. */
const EARLY_MS = 5 * 60_000;

/** A function that hangs must not hang the store. */
const FETCH_MS = 30_000;

/** Keys as a store holds them. */
export interface CredentialCache {
  /** The keys to sign with now. */
  get(request: TokenRequest): Promise<S3Credentials>;
  /** Says that the server took these for expired; true where others can be had. */
  expired(credentials: S3Credentials): boolean;
}

/** Keeps what a provider returns. Callers at the same time share one call of it. */
export function credentialCache(
  source: S3Credentials | S3CredentialProvider,
  platform: Platform,
): CredentialCache {
  if (typeof source !== "function") {
    checkCredentials(source);
    return { get: () => Promise.resolve(source), expired: () => false };
  }
  let current: S3Credentials | undefined;
  let fetching: Promise<S3Credentials> | undefined;
  const fetchOnce = async (): Promise<S3Credentials> => {
    try {
      const fresh = await fromUser(source, { operation: "fetch", object: "credentials", platform });
      checkCredentials(fresh);
      current = fresh;
      return fresh;
    } finally {
      fetching = undefined;
    }
  };
  return {
    async get(request) {
      const left = (current?.expiration?.getTime() ?? Infinity) - platform.clock.now();
      if (current !== undefined && left > EARLY_MS) return current;
      const last = current;
      try {
        return await abortable((fetching ??= fetchOnce()), request);
      } catch (error) {
        // Keys that are still good carry over an outage of whoever gives them out.
        if (last === undefined || left <= 0 || request.signal?.aborted === true) throw error;
        return last;
      }
    },
    expired(credentials) {
      if (credentials === current) current = undefined;
      return true;
    },
  };
}

/** What a function of the user's returns; one that hangs or fails is an error that shows nothing of it. */
export async function fromUser<T>(
  call: () => Promise<T>,
  context: { readonly operation: string; readonly object: string; readonly platform: Platform },
): Promise<T> {
  const { operation, object, platform } = context;
  const failed = (what: string): StoreError =>
    new StoreError(
      { operation, object, what, next: "Look at what the function does" },
      { retryable: true },
    );
  let cancel = (): void => undefined;
  const silence = new Promise<never>((_, reject) => {
    const what = `the function did not answer within ${FETCH_MS / 1000} s`;
    cancel = platform.clock.schedule(() => reject(failed(what)), FETCH_MS);
  });
  try {
    return await Promise.race([call(), silence]);
  } catch (error) {
    throw isPagestreamError(error) ? error : failed("the function failed");
  } finally {
    cancel();
  }
}

function checkCredentials(credentials: S3Credentials): void {
  const { accessKeyId, secretAccessKey } = credentials;
  const present = (text: unknown): boolean => typeof text === "string" && text !== "";
  if (present(accessKeyId) && present(secretAccessKey)) return;
  throw new InvalidArgumentError({
    operation: "sign requests with",
    object: "credentials",
    what: "the access key ID or the secret access key is missing",
    next: "Give both",
  });
}

/**
 * Keys from variables of an environment, which the caller passes: AWS's own three, or else Litestream's two. `undefined`
 * where there are none; `InvalidArgumentError` where one of a pair is missing.
 *
 * @example
 * ```ts
 * import { envCredentials } from "pagestream/transports/s3";
 *
 * const environment = { AWS_ACCESS_KEY_ID: "AKEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };
 * envCredentials(environment)?.accessKeyId; // "AKEXAMPLE"
 * ```
 */
export function envCredentials(
  environment: Readonly<Record<string, string | undefined>>,
): S3Credentials | undefined {
  for (const name of ["AWS", "LITESTREAM"]) {
    const accessKeyId = environment[`${name}_ACCESS_KEY_ID`] ?? "";
    const secretAccessKey = environment[`${name}_SECRET_ACCESS_KEY`] ?? "";
    if (accessKeyId === "" && secretAccessKey === "") continue;
    // Litestream knows no token under its own name.
    const sessionToken = name === "AWS" ? environment["AWS_SESSION_TOKEN"] || undefined : undefined;
    const credentials = { accessKeyId, secretAccessKey, sessionToken };
    checkCredentials(credentials);
    return credentials;
  }
  return undefined;
}
