/**
 * Replicas in Alibaba Cloud OSS, in Litestream's layout (`oss://`).
 *
 * OSS is spoken to through its door for S3 clients, whose objects and metadata are those that Litestream sees through the
 * other. Two things differ from S3: the header of a write that must not replace anything, and larger parts by default.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import { keyPath, withScheme } from "./location.ts";
import type { ObjectStore } from "./object-store.ts";
import type { ProbedConditions } from "./probe.ts";
import { s3Address } from "./s3-address.ts";
import {
  credentialCache,
  type S3CredentialProvider,
  type S3Credentials,
} from "./s3-credentials.ts";
import { checkPartSize } from "./s3-multipart.ts";
import { s3Door } from "./s3-requests.ts";
import { s3Signer } from "./s3-signing.ts";
import { s3Like } from "./s3-store.ts";
import { webPlatform } from "./web-platform.ts";

export type { Fetch, HttpOptions } from "./http-client.ts";
export type { ProbedConditions } from "./probe.ts";
export type { S3CredentialProvider, S3Credentials } from "./s3-credentials.ts";

/** Options of {@linkcode ossStore}. */
export interface OssStoreOptions extends HttpOptions {
  /** Name of the bucket; it must exist. */
  readonly bucket: string;
  /** Path within the bucket. Slashes at its ends do not count. @default "" */
  readonly path?: string | undefined;
  /** Where the bucket lies, without or with `oss-` before it. @default "cn-hangzhou" */
  readonly region?: string | undefined;
  /**
   * Address of the service, in the form of OSS or in that of its door for S3 clients.
   * @default "https://s3.oss-REGION.aliyuncs.com"
   */
  readonly endpoint?: string | undefined;
  /** The bucket in the path instead of in the host name, which OSS itself refuses: for stand-ins. @default false */
  readonly forcePathStyle?: boolean | undefined;
  /** An access key, with its token where STS gave it; or a function that returns fresh ones. */
  readonly credentials: S3Credentials | S3CredentialProvider;
  /** Whether the hash of each body is signed. @default true */
  readonly signPayload?: boolean | undefined;
  /** Bytes of a part of a large object; at least 5 MiB. @default 6 MiB */
  readonly partSize?: number | undefined;
  /** Parts of one upload in flight. @default 3 */
  readonly concurrency?: number | undefined;
  /** Keys per page of a listing, 1000 at most. @default what the server gives */
  readonly pageSize?: number | undefined;
  /** What is known of the bucket's conditions and shall not be tried. @default nothing: `probe` tries all */
  readonly conditions?: Partial<ProbedConditions> | undefined;
}

const REGION = "cn-hangzhou";
/** Litestream's, of the vendor's library. */
const PART_SIZE = 6 * 1024 * 1024;
const CONCURRENCY = 3;
const DELETE_BATCH = 1000;

/**
 * Makes a store in a bucket. No request is sent before the first call.
 *
 * @example
 * ```ts
 * import { ossStore } from "pagestream/transports/oss";
 *
 * const store = ossStore({
 *   bucket: "backups",
 *   path: "app",
 *   region: "eu-central-1",
 *   credentials: { accessKeyId: "LTAIEXAMPLE", secretAccessKey: "secret" },
 * });
 * store.description; // "https://backups.s3.oss-eu-central-1.aliyuncs.com/app"
 * ```
 */
export function ossStore(options: OssStoreOptions): ObjectStore {
  const { bucket, path, partSize = PART_SIZE, pageSize, conditions, signPayload } = options;
  const { concurrency = CONCURRENCY, platform = webPlatform } = options;
  const region = (options.region ?? REGION).replace(/^oss-/, "");
  const address = s3Address({
    bucket,
    region,
    endpoint: doorOf(options.endpoint ?? `https://oss-${region}.aliyuncs.com`),
    forcePathStyle: options.forcePathStyle ?? false,
  });
  checkPartSize(partSize);
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    const what = "it is not a whole number of at least 1";
    throw new InvalidArgumentError({ operation: "use", object: "concurrency", what });
  }
  const credentials = credentialCache(options.credentials, platform);
  return s3Like({
    door: s3Door(
      new HttpClient(options),
      s3Signer({ address, credentials, platform, signPayload }),
    ),
    dialect: {
      type: "oss",
      layout: "hex",
      metadataPrefix: "x-amz-meta-",
      writeHeaders: {},
      partHeaders: {},
      readHeaders: {},
      // OSS answers 501 to If-None-Match on a write.
      createHeaders: { "x-oss-forbid-overwrite": "true" },
      deleteBatch: DELETE_BATCH,
      // Without it OSS refuses to delete many objects.
      contentMd5: true,
    },
    description: [address.description, keyPath(path, address.description).path]
      .filter(Boolean)
      .join("/"),
    path,
    partSize,
    pageSize,
    concurrency,
    conditions,
  });
}

/**
 * Keys from the variables `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET` and `OSS_SESSION_TOKEN` of an environment that the
 * caller passes; `undefined` where there are none.
 */
export function ossEnvCredentials(
  environment: Readonly<Record<string, string | undefined>>,
): S3Credentials | undefined {
  const accessKeyId = environment["OSS_ACCESS_KEY_ID"] ?? "";
  const secretAccessKey = environment["OSS_ACCESS_KEY_SECRET"] ?? "";
  if (accessKeyId === "" && secretAccessKey === "") return undefined;
  const sessionToken = environment["OSS_SESSION_TOKEN"] || undefined;
  return { accessKeyId, secretAccessKey, sessionToken };
}

/** The door for S3 clients has a name of its own, one label before that of the service. */
function doorOf(endpoint: string): string {
  return withScheme(endpoint).replace(/^(https?:\/\/)(oss-[a-z0-9-]+\.aliyuncs\.com)/, "$1s3.$2");
}
