/**
 * A bucket and what differs between those who speak like S3.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import type { ObjectMetadata, PutOptions } from "./object-store.ts";
import type { S3Door } from "./s3-requests.ts";

/** Headers by their names in lower case. */
export type S3Headers = Readonly<Record<string, string>>;

/** What differs from vendor to vendor. */
export interface S3Dialect {
  /** Scheme name as in Litestream. */
  readonly type: string;
  /** How Litestream lays out keys there. */
  readonly layout: "directory" | "hex";
  /** What the headers of metadata begin with. */
  readonly metadataPrefix: string;
  /** Headers of PUT and of the start of an upload in parts. */
  readonly writeHeaders: S3Headers;
  /** Headers of each part of an upload. */
  readonly partHeaders: S3Headers;
  /** Headers of GET and HEAD. */
  readonly readHeaders: S3Headers;
  /** Header of a write that must not replace anything. @default If-None-Match */
  readonly createHeaders?: S3Headers | undefined;
  /** Objects that one request deletes; 1 where there is no such request. */
  readonly deleteBatch: number;
  /** Whether that request carries Content-MD5. */
  readonly contentMd5: boolean;
}

/** What the requests of a store have in common. */
export interface S3Bucket {
  readonly door: S3Door;
  readonly dialect: S3Dialect;
  /** Path of the store with a slash at its end, or nothing. */
  readonly root: string;
  /** Parts of one upload in flight. */
  readonly concurrency: number;
  /**
   * Whether conditions name tags without their quotes: some servers compare what stands in the header with the bare tag.
   * Learned by the probe.
   */
  bareTags: boolean;
}

/** Headers of a condition. */
export function conditionHeaders(bucket: S3Bucket, options: PutOptions): S3Headers {
  const { ifNoneMatch, ifMatch } = options;
  return {
    ...(ifNoneMatch === undefined
      ? {}
      : (bucket.dialect.createHeaders ?? { "if-none-match": ifNoneMatch })),
    ...(ifMatch === undefined
      ? {}
      : { "if-match": bucket.bareTags ? ifMatch.replaceAll('"', "") : ifMatch }),
  };
}

/** Headers of an object that is written, in one piece or in parts. */
export function objectHeaders(
  { dialect }: S3Bucket,
  key: string,
  metadata: ObjectMetadata = {},
): S3Headers {
  const headers: Record<string, string> = {
    "content-type": "application/octet-stream",
    ...dialect.writeHeaders,
  };
  for (const [name, value] of Object.entries(metadata)) {
    // Of other characters some servers make others.
    if (!/^[a-z0-9-]{1,128}$/.test(name) || !/^[!-~](?:[ -~]{0,2046}[!-~])?$/.test(value)) {
      throw new InvalidArgumentError({
        operation: "write",
        object: key,
        what: `its metadata ${JSON.stringify(name.slice(0, 80))} is not a name in lower case with a text of printable ASCII`,
      });
    }
    headers[dialect.metadataPrefix + name] = value;
  }
  return headers;
}
