/**
 * Conditions on servers in the manner of S3: which ones hold is tried, and what they leave open is looked into.
 *
 * @module
 */
import { isPagestreamError, UnsupportedError } from "../core/errors.ts";
import { isRetryable } from "../core/retry.ts";
import { conditionFailed, StoreError } from "./errors.ts";
import {
  PROBE_KEY,
  type PutOptions,
  type PutResult,
  type StoreCapabilities,
} from "./object-store.ts";
import type { BodyPart } from "./parts.ts";
import { probeConditions, type ProbedConditions } from "./probe.ts";
import type { S3Bucket } from "./s3-bucket.ts";
import { headObject } from "./s3-reading.ts";
import { deleteObject, putParts, putPlain } from "./s3-writing.ts";

/** Nothing is known to hold. */
export const NO_CONDITIONS: ProbedConditions = {
  conditionalPut: false,
  conditionalReplace: false,
  conditionalLarge: false,
  conditionalDelete: false,
};

/** Tries all conditions with an object of its own, and learns how the server wants tags. */
export function probeBucket(
  bucket: S3Bucket,
  signal: AbortSignal | undefined,
): Promise<ProbedConditions> {
  const put = (body: Uint8Array<ArrayBuffer>, condition: PutOptions): Promise<PutResult> =>
    putPlain(bucket, PROBE_KEY, { ...condition, body, signal });
  return probeConditions({
    create: (body) => put(body, { ifNoneMatch: "*" }),
    async replace(body, wrongTag) {
      const { etag } = await headObject(bucket, PROBE_KEY, signal);
      // A server that refuses every tag is as useless as one that refuses none, and counts as such.
      if (await takesTag(bucket, () => put(body, { ifMatch: etag }))) {
        await put(body, { ifMatch: wrongTag });
      }
    },
    async createLarge(body) {
      if (await losesLargeRaces(bucket, signal)) return;
      await putParts(bucket, PROBE_KEY, { ifNoneMatch: "*", parts: onePart(body), signal });
    },
    remove: (ifMatch) => deleteObject(bucket, PROBE_KEY, { ifMatch, signal }),
  });
}

/** Whether the right tag is taken, with its quotes or without them. */
async function takesTag(bucket: S3Bucket, attempt: () => Promise<unknown>): Promise<boolean> {
  for (const bare of [false, true]) {
    bucket.bareTags = bare;
    try {
      await attempt();
      return true;
    } catch (error) {
      if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
    }
  }
  bucket.bareTags = false;
  return false;
}

/**
 * Whether the server is one that refuses the last step of an upload where the object is there, but lets two of them
 * through at once: SeaweedFS 4.48 in one race of fifteen. What is tried alone cannot show that.
 */
async function losesLargeRaces(
  bucket: S3Bucket,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { door, dialect, root } = bucket;
  const answer = await door.send({
    operation: "look up",
    object: PROBE_KEY,
    key: root + PROBE_KEY,
    method: "HEAD",
    headers: dialect.readHeaders,
    signal,
  });
  await answer.discard();
  // A page of another origin does not see the header.
  return /seaweedfs/i.test(answer.header("server") ?? "");
}

async function* onePart(bytes: Uint8Array<ArrayBuffer>): AsyncGenerator<BodyPart, void, undefined> {
  yield { index: 0, bytes, last: true };
}

/** Refuses a condition that the server is not known to honour. */
export function checkConditions(key: string, options: PutOptions, can: StoreCapabilities): void {
  const { ifNoneMatch, ifMatch } = options;
  if (ifNoneMatch !== undefined && !can.conditionalPut) {
    throw unsupported("write", key, "to create an object only if it is missing");
  }
  if (ifMatch !== undefined && !can.conditionalReplace) {
    throw unsupported("write", key, "to replace only a certain version of an object");
  }
}

/** What a condition that may not be used is. */
export function unsupported(operation: string, object: string, what: string): UnsupportedError {
  return new UnsupportedError({
    operation,
    object,
    what: `the server is not known to be able ${what}`,
    next: "Call probe() first; if it says the same, the server is not",
  });
}

/**
 * Writes under a condition, and settles what it leaves open. Under a race some servers answer 409 or 500 where 412 is
 * meant, and an answer to the last step of a long upload may be lost: then what is stored decides.
 */
export async function putSettled(
  bucket: S3Bucket,
  key: string,
  options: PutOptions & { readonly put: () => Promise<PutResult>; readonly large: boolean },
): Promise<PutResult> {
  const { put, large } = options;
  try {
    return await put();
  } catch (error) {
    // S3 answers so where the version to replace is gone.
    if (options.ifMatch !== undefined && isPagestreamError(error, "NOT_FOUND")) {
      throw conditionFailed({ operation: "write", object: key });
    }
    if (!isRetryable(error) || !isConditional(options)) throw error;
    const status = error instanceof StoreError ? error.status : undefined;
    if (!large && status !== 409 && status !== 500) throw error;
    const refused = await contradicts(bucket, key, options).catch(() => false);
    throw refused ? conditionFailed({ operation: "write", object: key }) : error;
  }
}

/**
 * Writes a large body under a condition that the server ignores for it: what is stored is compared before the last step
 * and after it, which leaves a gap of one request.
 */
export async function putCompared(
  bucket: S3Bucket,
  key: string,
  options: PutOptions & { readonly parts: AsyncIterable<BodyPart> },
): Promise<PutResult> {
  const beforeComplete = async (): Promise<void> => {
    if (await contradicts(bucket, key, options))
      throw conditionFailed({ operation: "write", object: key });
  };
  const result = await putParts(bucket, key, { ...options, beforeComplete });
  const { etag } = await headObject(bucket, key, options.signal);
  if (etag !== result.etag) throw conditionFailed({ operation: "write", object: key });
  return result;
}

/** Whether a write is bound to a condition. */
export function isConditional({ ifNoneMatch, ifMatch }: PutOptions): boolean {
  return ifNoneMatch !== undefined || ifMatch !== undefined;
}

async function contradicts(
  bucket: S3Bucket,
  key: string,
  { ifMatch, signal }: PutOptions,
): Promise<boolean> {
  try {
    return (await headObject(bucket, key, signal)).etag !== ifMatch;
  } catch (error) {
    if (!isPagestreamError(error, "NOT_FOUND")) throw error;
    return ifMatch !== undefined;
  }
}
