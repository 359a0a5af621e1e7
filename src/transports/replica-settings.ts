/**
 * Where a replica lies, as a URL or a configuration says it: plain data, one shape per kind of store.
 *
 * @module
 */

/** A directory. */
export interface FileSettings {
  readonly type: "file";
  /** As given; a relative one is relative to the working directory. */
  readonly path: string;
}

/** A bucket of S3 or of a service that speaks like it. What is undefined was not given. */
export interface S3Settings {
  readonly type: "s3";
  /** Name of the bucket, or the ARN of an access point. */
  readonly bucket: string;
  /** Path within the bucket, without a slash before it; `""` where there is none. */
  readonly path: string;
  readonly region?: string | undefined;
  /** With its scheme. */
  readonly endpoint?: string | undefined;
  readonly forcePathStyle?: boolean | undefined;
  /** Accept any certificate. */
  readonly skipVerify?: boolean | undefined;
  readonly signPayload?: boolean | undefined;
  readonly requireContentMD5?: boolean | undefined;
  /** In bytes. */
  readonly partSize?: number | undefined;
  readonly concurrency?: number | undefined;
  readonly storageClass?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sseCustomerAlgorithm?: string | undefined;
  /** In base64. */
  readonly sseCustomerKey?: string | undefined;
  readonly sseCustomerKeyMd5?: string | undefined;
  /** A file that holds the key. */
  readonly sseCustomerKeyPath?: string | undefined;
  readonly sseKmsKeyId?: string | undefined;
}

/** A bucket of Google Cloud Storage. */
export interface GcsSettings {
  readonly type: "gs";
  readonly bucket: string;
  /** Path within the bucket; may be empty. */
  readonly path: string;
}

/** A container of Azure Blob Storage. */
export interface AzureSettings {
  readonly type: "abs";
  readonly container: string;
  /** Path within the container; may be empty. */
  readonly path: string;
  readonly accountName?: string | undefined;
  readonly accountKey?: string | undefined;
  /** Without the question mark. */
  readonly sasToken?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** A directory on a server that speaks SFTP. */
export interface SftpSettings {
  readonly type: "sftp";
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string | undefined;
  /** Absolute with a slash before it, else relative to the login directory. */
  readonly path: string;
  /** A file that holds the private key. */
  readonly keyPath?: string | undefined;
  /** One line as in `authorized_keys`. */
  readonly hostKey?: string | undefined;
  readonly concurrentWrites?: boolean | undefined;
}

/** A WebDAV server. */
export interface WebdavSettings {
  readonly type: "webdav";
  /** Address of the server; the path of the replica is no part of it. */
  readonly url: string;
  readonly path: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** An object store of NATS JetStream, which holds one database. */
export interface NatsSettings {
  readonly type: "nats";
  /** `nats://host:port`, without user info. */
  readonly server: string;
  readonly bucket: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  readonly jwt?: string | undefined;
  readonly seed?: string | undefined;
  /** A file of credentials. */
  readonly creds?: string | undefined;
  /** A file that holds the seed of an nkey. */
  readonly nkey?: string | undefined;
  readonly tls?: boolean | undefined;
  /** Files of certificates. */
  readonly rootCas?: readonly string[] | undefined;
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A bucket of Alibaba Cloud OSS. */
export interface OssSettings {
  readonly type: "oss";
  readonly bucket: string;
  /** Path within the bucket, without a slash before it; `""` where there is none. */
  readonly path: string;
  /** Without `oss-` before it. */
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  /** In bytes. */
  readonly partSize?: number | undefined;
  readonly concurrency?: number | undefined;
}

/** A replica behind a web server, for reading. Not a store of Litestream's. */
export interface HttpSettings {
  readonly type: "http";
  readonly url: string;
}

/** Where a replica lies. */
export type ReplicaSettings =
  | FileSettings
  | S3Settings
  | GcsSettings
  | AzureSettings
  | SftpSettings
  | WebdavSettings
  | NatsSettings
  | OssSettings
  | HttpSettings;
