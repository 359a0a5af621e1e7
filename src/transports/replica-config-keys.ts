/**
 * The keys that a replica can have in Litestream's configuration.
 *
 * @module
 */

/** The keys of a replica. Sizes take units (`5MB`, `5MiB`), durations Go's (`500ms`, `10s`). */
export interface ReplicaConfig {
  /** Any replica URL; excludes `path` and the key that names the host or the bucket. */
  readonly url?: string | undefined;
  /** `file`, `s3`, `gs`, `abs`, `sftp`, `webdav`, `nats` or `oss`. @default the scheme of `url`, else "file" */
  readonly type?: string | undefined;
  /** Directory, or path within the bucket or on the server. */
  readonly path?: string | undefined;
  /** Name of the bucket or container, or the ARN of an access point. */
  readonly bucket?: string | undefined;
  /** Where the bucket lies. */
  readonly region?: string | undefined;
  /** Address of a service other than the vendor's; `https://` where it has no scheme, `http://` for a local host. */
  readonly endpoint?: string | undefined;
  /** Names the key; together with `secret-access-key`. */
  readonly "access-key-id"?: string | undefined;
  /** Signs. */
  readonly "secret-access-key"?: string | undefined;
  /** The bucket in the path instead of in the host name. */
  readonly "force-path-style"?: boolean | undefined;
  /** Accept any certificate; on Node only, as `fetch` cannot. */
  readonly "skip-verify"?: boolean | undefined;
  /** Whether the hash of each body is signed. */
  readonly "sign-payload"?: boolean | undefined;
  /** Whether requests that delete many objects carry Content-MD5. */
  readonly "require-content-md5"?: boolean | undefined;
  /** Size of a part of a large object. */
  readonly "part-size"?: string | number | undefined;
  /** Parts of one upload in flight. */
  readonly concurrency?: number | undefined;
  /** Class of new objects, as the vendor names it. */
  readonly "storage-class"?: string | undefined;
  /** Algorithm of encryption with a key of yours. */
  readonly "sse-customer-algorithm"?: string | undefined;
  /** That key in base64. */
  readonly "sse-customer-key"?: string | undefined;
  /** A file that holds it. */
  readonly "sse-customer-key-path"?: string | undefined;
  /** Key in AWS KMS that the server encrypts with. */
  readonly "sse-kms-key-id"?: string | undefined;
  /** Storage account of Azure. */
  readonly "account-name"?: string | undefined;
  /** A key of it, in base64. */
  readonly "account-key"?: string | undefined;
  /** A shared access signature; goes before a key. */
  readonly "sas-token"?: string | undefined;
  /** Of SFTP or NATS, with its port. */
  readonly host?: string | undefined;
  /** Who logs in by SFTP. */
  readonly user?: string | undefined;
  /** Password of `user` or `username`. */
  readonly password?: string | undefined;
  /** File of the private key. */
  readonly "key-path"?: string | undefined;
  /** The key that the server must have, as a line of `authorized_keys`. */
  readonly "host-key"?: string | undefined;
  /** Whether parts of a file are sent without waiting for each answer. */
  readonly "concurrent-writes"?: boolean | undefined;
  /** Address of the WebDAV server. */
  readonly "webdav-url"?: string | undefined;
  /** Who logs in there. */
  readonly "webdav-username"?: string | undefined;
  /** The password for it. */
  readonly "webdav-password"?: string | undefined;
  /** Who logs in at NATS. */
  readonly username?: string | undefined;
  /** A token, where NATS has no users. */
  readonly token?: string | undefined;
  /** A user's JWT, together with `seed`. */
  readonly jwt?: string | undefined;
  /** Seed of a user's nkey. */
  readonly seed?: string | undefined;
  /** A file of credentials. */
  readonly creds?: string | undefined;
  /** A file that holds the seed of an nkey. */
  readonly nkey?: string | undefined;
  /** Whether the connection to NATS is encrypted. */
  readonly tls?: boolean | undefined;
  /** Files of the authorities to trust beside the system's; of NATS only these. */
  readonly "root-cas"?: readonly string[] | undefined;
  /** File of the client's certificate, together with `client-key`. */
  readonly "client-cert"?: string | undefined;
  /** File of its key. */
  readonly "client-key"?: string | undefined;
  /** Longest wait for an answer of NATS. */
  readonly timeout?: string | undefined;
  /** Of old releases, like all after it not of the place but of the replication: taken, and not looked at here. */
  readonly name?: string | undefined;
  /** How often files are uploaded. */
  readonly "sync-interval"?: string | undefined;
  /** How many at a time. */
  readonly "max-sync-ltx-files"?: number | undefined;
  /** Whether local state that is damaged is made anew. */
  readonly "auto-recover"?: boolean | undefined;
  /** Accepted by Litestream and not used. */
  readonly "validation-interval"?: string | undefined;
  /** How often NATS is connected to again. */
  readonly "max-reconnects"?: number | undefined;
  /** Pause before that. */
  readonly "reconnect-wait"?: string | undefined;
}

/** What the value of a key is. */
export type KeyKind = "text" | "flag" | "number" | "size" | "duration" | "texts";

/** Every key of a {@linkcode ReplicaConfig}, and what its value is. */
export const REPLICA_KEYS: Readonly<Record<keyof ReplicaConfig, KeyKind>> = {
  url: "text",
  type: "text",
  path: "text",
  bucket: "text",
  region: "text",
  endpoint: "text",
  "access-key-id": "text",
  "secret-access-key": "text",
  "force-path-style": "flag",
  "skip-verify": "flag",
  "sign-payload": "flag",
  "require-content-md5": "flag",
  "part-size": "size",
  concurrency: "number",
  "storage-class": "text",
  "sse-customer-algorithm": "text",
  "sse-customer-key": "text",
  "sse-customer-key-path": "text",
  "sse-kms-key-id": "text",
  "account-name": "text",
  "account-key": "text",
  "sas-token": "text",
  host: "text",
  user: "text",
  password: "text",
  "key-path": "text",
  "host-key": "text",
  "concurrent-writes": "flag",
  "webdav-url": "text",
  "webdav-username": "text",
  "webdav-password": "text",
  username: "text",
  token: "text",
  jwt: "text",
  seed: "text",
  creds: "text",
  nkey: "text",
  tls: "flag",
  "root-cas": "texts",
  "client-cert": "text",
  "client-key": "text",
  timeout: "duration",
  name: "text",
  "sync-interval": "duration",
  "max-sync-ltx-files": "number",
  "auto-recover": "flag",
  "validation-interval": "duration",
  "max-reconnects": "number",
  "reconnect-wait": "duration",
};
