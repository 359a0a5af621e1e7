/**
 * The store that a replica URL names, on Node: with files, SFTP, NATS over TCP, and the credentials that the vendors' own
 * tools find.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type ObjectStore, UnsupportedError } from "pagestream";
import { withFiles } from "pagestream/files-kit";
import {
  type Fetch,
  type NatsSettings,
  natsOptions,
  type ReplicaConfig,
  type SftpSettings,
  storeFromConfig as fromConfig,
  storeFromUrl as fromUrl,
  type StoreFromOptions,
  type StoreFromUrlOptions,
  type TlsSettings,
  type TokenSource,
} from "pagestream/transports/store-from-url";
import { awsCredentials } from "./aws-credentials.ts";

/**
 * Makes the store that a URL names. Variables of the process that Litestream and the vendors know are read. Sends no
 * request.
 *
 * @throws {InvalidArgumentError} for a URL that names no store.
 *
 * @example
 * ```ts
 * import { storeFromUrl } from "@pagestream/node";
 *
 * const store = await storeFromUrl("file:///backup/app");
 * store.description; // "/backup/app"
 * ```
 */
export function storeFromUrl(url: string, options: StoreFromUrlOptions = {}): Promise<ObjectStore> {
  return fromUrl(url, withNode(options));
}

/**
 * Makes the store that the keys of a replica in Litestream's configuration name. Sends no request.
 *
 * @throws {InvalidArgumentError} naming the key that is wrong.
 */
export function storeFromConfig(
  config: ReplicaConfig,
  options: StoreFromOptions = {},
): Promise<ObjectStore> {
  return fromConfig(config, withNode(options));
}

function withNode<T extends StoreFromOptions>(options: T): T {
  const here = withFiles(options);
  return {
    ...here,
    tls: (settings) => fetchWith(settings, here),
    credentials: {
      s3: awsCredentials(),
      gs: googleIdentity(here),
      abs: azureIdentity(here),
      ...here.credentials,
    },
    schemes: {
      nats: (settings: NatsSettings) => natsOverTcp(settings, here),
      sftp: (settings: SftpSettings) => sftp(settings, here),
      ...here.schemes,
    },
  };
}

async function sftp(settings: SftpSettings, { env = {} }: StoreFromOptions): Promise<ObjectStore> {
  // Here and below: a command loads what its store needs and no other's.
  const { sftpStore } = await import("./sftp.ts");
  const { type: _, keyPath, concurrentWrites, hostKey, ...place } = settings;
  // A URL has no room for the server's key; then what the user's ssh knows counts.
  const known = join(homedir(), ".ssh", "known_hosts");
  return sftpStore({
    ...place,
    key: keyPath,
    agent: env["SSH_AUTH_SOCK"],
    hostKey: hostKey ?? (existsSync(known) ? known : undefined),
    concurrent: concurrentWrites,
  });
}

function googleIdentity({ env }: StoreFromOptions): TokenSource {
  return async () => {
    const { googleCredentials } = await import("./google-credentials.ts");
    return await googleCredentials({ env })();
  };
}

/** Tokens for the identity of the machine: the last of Azure's places that needs no tools. */
function azureIdentity({ env = {} }: StoreFromOptions): TokenSource {
  return async () => {
    const { managedIdentity } = await import("pagestream/transports/azure");
    return await managedIdentity({
      endpoint: env["IDENTITY_ENDPOINT"],
      identityHeader: env["IDENTITY_HEADER"],
      clientId: env["AZURE_CLIENT_ID"],
    })();
  };
}

async function natsOverTcp(
  settings: NatsSettings,
  options: StoreFromOptions,
): Promise<ObjectStore> {
  const { natsStore } = await import("pagestream/transports/nats");
  const { connect } = await import("@nats-io/transport-node").catch(() => {
    throw new UnsupportedError({
      operation: "use",
      object: settings.server,
      what: "the library @nats-io/transport-node is not installed",
      next: "Run npm install @nats-io/transport-node @nats-io/nats-core @nats-io/jetstream",
    });
  });
  const { tls, rootCas = [], clientCert } = settings;
  const isTls = tls === true || rootCas.length > 0 || clientCert !== undefined;
  return natsStore({
    ...(await natsOptions(settings, options)),
    servers: settings.server,
    connect,
    ...(isTls ? { tls: await tlsOf(settings, options) } : {}),
  });
}

async function fetchWith(settings: TlsSettings, options: StoreFromOptions): Promise<Fetch> {
  const { tlsFetch } = await import("./tls-fetch.ts");
  const { ca, ...identity } = await tlsOf(settings, options);
  const authorities = ca === undefined ? [] : [ca];
  return tlsFetch({ skipVerify: settings.skipVerify, authorities, ...identity });
}

/** The texts of the files that settings name; none of them means the system's authorities. */
async function tlsOf(
  { rootCas = [], clientCert, clientKey }: Omit<TlsSettings, "skipVerify">,
  { readFile }: StoreFromOptions,
): Promise<{ readonly ca?: string; readonly cert?: string; readonly key?: string }> {
  const read = readFile as NonNullable<typeof readFile>;
  return {
    ...(rootCas.length > 0 ? { ca: (await Promise.all(rootCas.map(read))).join("\n") } : {}),
    ...(clientCert === undefined ? {} : { cert: await read(clientCert) }),
    ...(clientKey === undefined ? {} : { key: await read(clientKey) }),
  };
}
