/**
 * The options of a NATS store.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** A `NatsConnection` of `@nats-io/nats-core`. */
export interface NatsConnectionLike {
  /** Whether it was closed for good. */
  isClosed(): boolean;
  /** Closes it. */
  close(): Promise<void>;
  /** Address of the server it leads to. */
  getServer(): string;
}

/** What `connect` is given; of the library's `ConnectionOptions` the part that is worth a word. */
export interface NatsConnectOptions {
  /** Addresses of servers. */
  readonly servers?: string | string[];
  /** False: the store connects anew by itself. */
  readonly reconnect?: boolean;
}

/** Authorities and a client's certificate, as text or as files. */
export interface NatsTlsOptions {
  /** Authorities to trust, as PEM. */
  readonly ca?: string;
  /** File of {@linkcode ca}. */
  readonly caFile?: string;
  /** The client's certificate, as PEM. */
  readonly cert?: string;
  /** File of {@linkcode cert}. */
  readonly certFile?: string;
  /** Private key of the certificate, as PEM. */
  readonly key?: string;
  /** File of {@linkcode key}. */
  readonly keyFile?: string;
  /** Begin with TLS, without the plain greeting of the server. */
  readonly handshakeFirst?: boolean;
}

/** Options of `natsStore`. Of the ways to authenticate the first that is given counts, from top to bottom. */
export interface NatsStoreOptions {
  /** Name of the bucket. It holds one database. */
  readonly bucket: string;
  /** Refused: the names of objects begin at the root of the bucket, where Litestream looks for them. */
  readonly path?: undefined;
  /** Addresses of servers of one cluster: `wss://` or `ws://`, or what `connect` understands. */
  readonly servers?: string | readonly string[] | undefined;
  /** Makes connections over TCP: `connect` of `@nats-io/transport-node`. @default WebSocket */
  connect?(options: NatsConnectOptions): Promise<NatsConnectionLike>;
  /** A connection to use instead of one of the store's own. The caller closes it. */
  readonly connection?: NatsConnectionLike | undefined;
  /** A user's JWT, together with `seed`. */
  readonly jwt?: string | undefined;
  /** The text of a file of credentials (`.creds`). */
  readonly creds?: string | undefined;
  /** Seed of a user's nkey (`SU…`): for `jwt`, or by itself. */
  readonly seed?: string | undefined;
  /** User, together with `password`. */
  readonly user?: string | undefined;
  /** Password of `user`. */
  readonly password?: string | undefined;
  /** A token, where the server has no users. */
  readonly token?: string | undefined;
  /** Authorities and a client's certificate, for `connect`. A WebSocket leaves TLS to the runtime. */
  readonly tls?: NatsTlsOptions | undefined;
  /** Make the bucket where it does not exist: on disk, one copy. @default false */
  readonly createBucket?: boolean | undefined;
  /** Largest size of a chunk in bytes; the server's `max_payload` bounds it. @default 128 KiB */
  readonly chunkSize?: number | undefined;
  /** Longest wait for an answer, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number | undefined;
}

/** Refuses options that can never work. */
export function checkOptions(options: NatsStoreOptions): void {
  const { bucket, path, servers, connection, connect: dialer, tls } = options;
  const refuse = (what: string, next: string): never => {
    throw new InvalidArgumentError({ operation: "make", object: "a NATS store", what, next });
  };
  if (!/^[-\w]+$/.test(bucket)) {
    refuse(
      `${JSON.stringify(bucket)} is no name of a bucket`,
      "Use letters, digits, dashes and underscores; a bucket holds one database, at its root",
    );
  }
  if (path !== undefined) {
    refuse(
      "a path was given, but Litestream keeps one database per bucket, at its root",
      "Leave path out and use a bucket of its own for each database",
    );
  }
  if (connection !== undefined) return;
  const list = typeof servers === "string" ? [servers] : (servers ?? []);
  if (list.length === 0) refuse("there is no server", "Set servers, or connection");
  for (const server of list) {
    if (/^(?:\w+:\/\/)?[^/?#]*@/.test(server)) {
      refuse("an address holds user info", "Set user and password, which no message shows");
    }
    if (dialer === undefined && !/^wss?:\/\//.test(server)) {
      refuse(
        `${server} is no WebSocket address`,
        "Use ws:// or wss://, or set connect to the function of that name from @nats-io/transport-node",
      );
    }
  }
  if (tls !== undefined && dialer === undefined) {
    refuse(
      "tls was given, but over a WebSocket the runtime does TLS by itself",
      "Use wss:// without tls, or set connect",
    );
  }
}

/** Address and bucket, without what may be a secret. */
export function describePlace({ servers, connection, bucket }: NatsStoreOptions): string {
  const first = typeof servers === "string" ? servers : servers?.[0];
  const server = first ?? connection?.getServer() ?? "";
  const plain = server.replace(/^(\w+:\/\/)?(?:[^/?#]*@)?([^/?#]*).*$/s, "$1$2");
  return `${/^\w+:\/\//.test(plain) ? "" : "nats://"}${plain}/${bucket}`;
}
