/**
 * Where a replica lies, as a URL or a configuration says it: plain data, one shape per kind of store.
 *
 * @module
 */

/** A directory. */
export interface FileSettings {
  /** Which kind this is. */
  readonly type: "file";
  /** As given; a relative one is relative to the working directory. */
  readonly path: string;
}

/** How a connection over TLS is made, where not as the runtime does it. */
export interface TlsSettings {
  /** Accept any certificate. */
  readonly skipVerify?: boolean | undefined;
  /** Files of authorities to trust beside those of the system. */
  readonly rootCas?: readonly string[] | undefined;
  /** File of the client's certificate. */
  readonly clientCert?: string | undefined;
  /** File of the key of that certificate. */
  readonly clientKey?: string | undefined;
}

/** A bucket of S3 or of a service that speaks like it. What is undefined was not given. */
export interface S3Settings extends TlsSettings {
  /** Which kind this is. */
  readonly type: "s3";
  /** Name of the bucket, or the ARN of an access point. */
  readonly bucket: string;
  /** Path within the bucket, without a slash before it; `""` where there is none. */
  readonly path: string;
  /** Where the bucket lies. */
  readonly region?: string | undefined;
  /** With its scheme. */
  readonly endpoint?: string | undefined;
  /** The bucket in the path instead of in the host name. */
  readonly forcePathStyle?: boolean | undefined;
  /** Whether the hash of each body is signed. */
  readonly signPayload?: boolean | undefined;
  /** Whether requests that delete many objects carry Content-MD5. */
  readonly requireContentMD5?: boolean | undefined;
  /** In bytes. */
  readonly partSize?: number | undefined;
  /** Parts of one upload in flight. */
  readonly concurrency?: number | undefined;
  /** Class of new objects, as the vendor names it. */
  readonly storageClass?: string | undefined;
  /** Names the key. */
  readonly accessKeyId?: string | undefined;
  /** Signs. */
  readonly secretAccessKey?: string | undefined;
  /** Algorithm of encryption with a key of the user. */
  readonly sseCustomerAlgorithm?: string | undefined;
  /** In base64. */
  readonly sseCustomerKey?: string | undefined;
  /** MD5 of that key in base64. */
  readonly sseCustomerKeyMd5?: string | undefined;
  /** A file that holds the key. */
  readonly sseCustomerKeyPath?: string | undefined;
  /** Key in AWS KMS that the server encrypts with. */
  readonly sseKmsKeyId?: string | undefined;
}

/** A bucket of Google Cloud Storage. */
export interface GcsSettings {
  /** Which kind this is. */
  readonly type: "gs";
  /** Name of the bucket. */
  readonly bucket: string;
  /** Path within the bucket; may be empty. */
  readonly path: string;
}

/** A container of Azure Blob Storage. */
export interface AzureSettings extends TlsSettings {
  /** Which kind this is. */
  readonly type: "abs";
  /** Name of the container. */
  readonly container: string;
  /** Path within the container; may be empty. */
  readonly path: string;
  /** Name of the storage account. */
  readonly accountName?: string | undefined;
  /** A key of the account, in base64. */
  readonly accountKey?: string | undefined;
  /** Without the question mark. */
  readonly sasToken?: string | undefined;
  /** Address of a service other than the vendor's. */
  readonly endpoint?: string | undefined;
}

/** A directory on a server that speaks SFTP. */
export interface SftpSettings {
  /** Which kind this is. */
  readonly type: "sftp";
  /** Name or address of the server. */
  readonly host: string;
  /** Port of the server. */
  readonly port: number;
  /** Who logs in. */
  readonly user: string;
  /** Password of the user. */
  readonly password?: string | undefined;
  /** Absolute with a slash before it, else relative to the login directory. */
  readonly path: string;
  /** A file that holds the private key. */
  readonly keyPath?: string | undefined;
  /** One line as in `authorized_keys`. */
  readonly hostKey?: string | undefined;
  /** Whether parts of a file are sent without waiting for each answer. */
  readonly concurrentWrites?: boolean | undefined;
}

/** A WebDAV server. */
export interface WebdavSettings extends TlsSettings {
  /** Which kind this is. */
  readonly type: "webdav";
  /** Address of the server; the path of the replica is no part of it. */
  readonly url: string;
  /** Path of the directory. */
  readonly path: string;
  /** Who logs in. */
  readonly username?: string | undefined;
  /** Password of the user. */
  readonly password?: string | undefined;
}

/** An object store of NATS JetStream, which holds one database. */
export interface NatsSettings {
  /** Which kind this is. */
  readonly type: "nats";
  /** `nats://host:port`, without user info. */
  readonly server: string;
  /** Name of the bucket. */
  readonly bucket: string;
  /** Who logs in. */
  readonly username?: string | undefined;
  /** Password of the user. */
  readonly password?: string | undefined;
  /** A token, where the server has no users. */
  readonly token?: string | undefined;
  /** A user's JWT. */
  readonly jwt?: string | undefined;
  /** Seed of a user's nkey. */
  readonly seed?: string | undefined;
  /** A file of credentials. */
  readonly creds?: string | undefined;
  /** A file that holds the seed of an nkey. */
  readonly nkey?: string | undefined;
  /** Whether the connection is encrypted. */
  readonly tls?: boolean | undefined;
  /** Files of the authorities to trust. */
  readonly rootCas?: readonly string[] | undefined;
  /** File of the client's certificate. */
  readonly clientCert?: string | undefined;
  /** File of the key of that certificate. */
  readonly clientKey?: string | undefined;
  /** Longest wait for an answer. */
  readonly timeoutMs?: number | undefined;
}

/** A bucket of Alibaba Cloud OSS. */
export interface OssSettings extends TlsSettings {
  /** Which kind this is. */
  readonly type: "oss";
  /** Name of the bucket. */
  readonly bucket: string;
  /** Path within the bucket, without a slash before it; `""` where there is none. */
  readonly path: string;
  /** Without `oss-` before it. */
  readonly region: string;
  /** Address of a service other than the vendor's. */
  readonly endpoint?: string | undefined;
  /** Names the key. */
  readonly accessKeyId?: string | undefined;
  /** Signs. */
  readonly secretAccessKey?: string | undefined;
  /** In bytes. */
  readonly partSize?: number | undefined;
  /** Parts of one upload in flight. */
  readonly concurrency?: number | undefined;
}

/** A replica behind a web server, for reading. Not a store of Litestream's. */
export interface HttpSettings {
  /** Which kind this is. */
  readonly type: "http";
  /** Address below which it lies. */
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
