/**
 * The store that a replica URL, or the keys of a replica in a configuration, name. Only the code of that store is loaded.
 *
 * @module
 */
import { InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import type { TokenSource } from "./access-token.ts";
import type { Fetch, HttpOptions } from "./http-client.ts";
import type { ObjectStore } from "./object-store.ts";
import { parseReplicaConfig } from "./replica-config.ts";
import type { ReplicaConfig } from "./replica-config-keys.ts";
import type {
  AzureSettings,
  GcsSettings,
  HttpSettings,
  NatsSettings,
  OssSettings,
  ReplicaSettings,
  S3Settings,
  TlsSettings,
} from "./replica-settings.ts";
import { parseReplicaUrl, type UrlForm } from "./replica-url.ts";
import type { S3CredentialProvider, S3Credentials } from "./s3-credentials.ts";

export type * from "./replica-settings.ts";
export { parseReplicaConfig } from "./replica-config.ts";
export { type KeyKind, REPLICA_KEYS, type ReplicaConfig } from "./replica-config-keys.ts";
export {
  isReplicaUrl,
  parseReplicaUrl,
  type ParseReplicaUrlOptions,
  type UrlForm,
} from "./replica-url.ts";
export type { TokenSource } from "./access-token.ts";
export type { Fetch, HttpOptions } from "./http-client.ts";
export type { S3CredentialProvider, S3Credentials } from "./s3-credentials.ts";

/** Stores that a runtime brings, by type; they go before those that are built in. */
export type StoreFactories = {
  readonly [S in ReplicaSettings as S["type"]]?:
    | ((settings: S) => ObjectStore | Promise<ObjectStore>)
    | undefined;
};

/** Variables of an environment, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Options of {@linkcode storeFromUrl} and {@linkcode storeFromConfig}. */
export interface StoreFromOptions {
  /**
   * Whether the store is to be written to. A place whose keys Litestream could not reach is refused for writing.
   * @default "write"
   */
  readonly access?: "read" | "write" | undefined;
  /** The environment that Litestream's and the vendors' variables are read from; nothing is read unless given. @default {} */
  readonly env?: Environment | undefined;
  /** Who signs, where neither the settings nor `env` have it. */
  readonly credentials?:
    | {
        /** Keys of S3. */
        readonly s3?: S3Credentials | S3CredentialProvider | undefined;
        /** Keys of OSS. */
        readonly oss?: S3Credentials | S3CredentialProvider | undefined;
        /** Tokens of Google. */
        readonly gs?: TokenSource | undefined;
        /** Tokens of Microsoft Entra. */
        readonly abs?: TokenSource | undefined;
      }
    | undefined;
  /** Stores that the runtime brings: `file`, `sftp`, NATS over TCP. @default {} */
  readonly schemes?: StoreFactories | undefined;
  /** Reads a text file that a setting names. @default such settings are refused */
  readonly readFile?: ((path: string) => Promise<string>) | undefined;
  /** Of every store over HTTP. */
  readonly http?: HttpOptions | undefined;
  /** Makes what sends requests with such settings, in place of `http.fetch`. @default such settings are refused */
  readonly tls?: ((settings: TlsSettings) => Fetch | Promise<Fetch>) | undefined;
}

/** Options of {@linkcode storeFromUrl}. */
export interface StoreFromUrlOptions extends StoreFromOptions {
  /** Which of Litestream's two readings of a URL. @default "url" */
  readonly form?: UrlForm | undefined;
}

/**
 * Makes the store that a URL names. Sends no request.
 *
 * @throws {InvalidArgumentError} for a URL that names no store; {UnsupportedError} for one that is not to be had here.
 *
 * @example
 * ```ts
 * import { storeFromUrl } from "pagestream/transports/store-from-url";
 *
 * const env = { AWS_ACCESS_KEY_ID: "AKEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };
 * const store = await storeFromUrl("s3://backups/app?region=eu-central-1", { env });
 * store.description; // "s3://backups/app"
 * ```
 */
export async function storeFromUrl(
  url: string,
  options: StoreFromUrlOptions = {},
): Promise<ObjectStore> {
  const { form, env } = options;
  return await storeFromSettings(parseReplicaUrl(url, { form, env }), options);
}

/**
 * Makes the store that the keys of a replica name: what Litestream's YAML gives, as an object. Sends no request.
 *
 * @throws {InvalidArgumentError} naming the key that is wrong; {UnsupportedError} for a store that is not to be had here.
 *
 * @example
 * ```ts
 * import { storeFromConfig } from "pagestream/transports/store-from-url";
 *
 * const store = await storeFromConfig({
 *   type: "s3",
 *   bucket: "backups",
 *   path: "app",
 *   endpoint: "minio.example.com",
 *   "access-key-id": "AKEXAMPLE",
 *   "secret-access-key": "secret",
 * });
 * store.type; // "s3"
 * ```
 */
export async function storeFromConfig(
  config: ReplicaConfig,
  options: StoreFromOptions = {},
): Promise<ObjectStore> {
  return await storeFromSettings(parseReplicaConfig(config), options);
}

async function storeFromSettings(
  settings: ReplicaSettings,
  given: StoreFromOptions,
): Promise<ObjectStore> {
  const options = await withTls(settings, given);
  const { schemes = {}, http } = options;
  const factory = schemes[settings.type] as
    | ((settings: ReplicaSettings) => ObjectStore | Promise<ObjectStore>)
    | undefined;
  if (factory !== undefined) return await factory(settings);
  switch (settings.type) {
    case "s3":
      return await s3(settings, options);
    case "gs":
      return await gcs(settings, options);
    case "abs":
      return await azure(settings, options);
    case "webdav": {
      const { webdavStore } = await import("./webdav.ts");
      return webdavStore({ ...http, ...settings });
    }
    case "nats":
      return await nats(settings, options);
    case "oss":
      return await oss(settings, options);
    case "http":
      return await web(settings, options);
    default:
      throw notHere(settings.type);
  }
}

/** The options with requests sent as settings ask for; NATS over TCP sees to its own. */
async function withTls(
  settings: ReplicaSettings,
  options: StoreFromOptions,
): Promise<StoreFromOptions> {
  if (options.schemes?.[settings.type] !== undefined) return options;
  const { skipVerify, rootCas = [], clientCert, clientKey } = settings as TlsSettings;
  if (skipVerify !== true && rootCas.length === 0 && clientCert === undefined) return options;
  if (options.tls === undefined || settings.type === "nats") {
    throw new UnsupportedError({
      operation: "use",
      object: `a replica of type ${settings.type}`,
      what: "skip-verify, root-cas and client certificates cannot be had here, where fetch makes all connections",
      next: "Use storeFromConfig of @pagestream/node, or make the server's authority known to the runtime",
    });
  }
  const fetch = await options.tls({ skipVerify, rootCas, clientCert, clientKey });
  return { ...options, http: { ...options.http, fetch } };
}

async function s3(settings: S3Settings, options: StoreFromOptions): Promise<ObjectStore> {
  const { sseCustomerKeyPath, accessKeyId, secretAccessKey, ...rest } = settings;
  const { env = {}, credentials, http } = options;
  refusePathless(settings, options);
  const { envCredentials, s3Store } = await import("./s3.ts");
  const keyFile =
    sseCustomerKeyPath === undefined
      ? undefined
      : (await readText("sse-customer-key-path", sseCustomerKeyPath, options)).trim();
  const found = keyPair(accessKeyId, secretAccessKey) ?? envCredentials(env) ?? credentials?.s3;
  if (found === undefined)
    throw noCredentials(`s3://${settings.bucket}`, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  return s3Store({
    ...http,
    ...rest,
    sseCustomerKey: settings.sseCustomerKey ?? keyFile,
    credentials: found,
  });
}

async function gcs(settings: GcsSettings, options: StoreFromOptions): Promise<ObjectStore> {
  const { env = {}, http } = options;
  const { gcsStore } = await import("./gcs.ts");
  // What Google's own libraries do with this variable: another address, and nobody signs.
  const emulator = env["STORAGE_EMULATOR_HOST"];
  if (emulator) {
    const endpoint = /^https?:/.test(emulator) ? emulator : `http://${emulator}`;
    return gcsStore({ ...http, ...settings, endpoint });
  }
  const file = env["GOOGLE_APPLICATION_CREDENTIALS"];
  const credentials = file
    ? await readText("GOOGLE_APPLICATION_CREDENTIALS", file, options)
    : undefined;
  const token = options.credentials?.gs;
  if (credentials === undefined && token === undefined) {
    throw noCredentials(`gs://${settings.bucket}`, "GOOGLE_APPLICATION_CREDENTIALS");
  }
  return gcsStore({ ...http, ...settings, credentials, token });
}

async function azure(settings: AzureSettings, options: StoreFromOptions): Promise<ObjectStore> {
  const { env = {}, credentials, http } = options;
  const { azureStore, entraClientCredentials } = await import("./azure.ts");
  const sasToken = settings.sasToken ?? (env["LITESTREAM_AZURE_SAS_TOKEN"] || undefined);
  const accountKey = settings.accountKey ?? (env["LITESTREAM_AZURE_ACCOUNT_KEY"] || undefined);
  const {
    AZURE_TENANT_ID: tenantId,
    AZURE_CLIENT_ID: clientId,
    AZURE_CLIENT_SECRET: clientSecret,
  } = env;
  const token =
    tenantId && clientId && clientSecret
      ? entraClientCredentials({ ...http, tenantId, clientId, clientSecret })
      : credentials?.abs;
  if (sasToken === undefined && accountKey === undefined && token === undefined) {
    const names = "LITESTREAM_AZURE_SAS_TOKEN or LITESTREAM_AZURE_ACCOUNT_KEY";
    throw noCredentials(`abs://${settings.container}`, names);
  }
  return azureStore({ ...http, ...settings, sasToken, accountKey, token });
}

async function oss(settings: OssSettings, options: StoreFromOptions): Promise<ObjectStore> {
  const { accessKeyId, secretAccessKey, ...rest } = settings;
  const { env = {}, credentials, http } = options;
  refusePathless(settings, options);
  const { ossEnvCredentials, ossStore } = await import("./oss.ts");
  const found = keyPair(accessKeyId, secretAccessKey) ?? ossEnvCredentials(env) ?? credentials?.oss;
  if (found === undefined) {
    throw noCredentials(`oss://${settings.bucket}`, "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET");
  }
  return ossStore({ ...http, ...rest, credentials: found });
}

async function web({ url }: HttpSettings, options: StoreFromOptions): Promise<ObjectStore> {
  const { env = {}, http } = options;
  const { httpStore } = await import("./http.ts");
  const file = env["PAGESTREAM_HTTP_TOKEN_FILE"];
  const name = file ? "PAGESTREAM_HTTP_TOKEN_FILE" : "PAGESTREAM_HTTP_TOKEN";
  const text = file ? await readText(name, file, options) : env[name];
  const token = text?.trim();
  if (token === undefined || token === "") return httpStore(url, http);
  const { protocol, hostname, host } = new URL(url);
  const object = `http://${host}`;
  if (protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname)) {
    const what = `the token of ${name} would be readable on its way`;
    throw new InvalidArgumentError({ operation: "use", object, what, next: "Use https" });
  }
  if (!/^[\w.~+/-]+=*$/.test(token)) {
    const what = `the token of ${name} has characters that no token has`;
    throw new InvalidArgumentError({ operation: "use", object: host, what });
  }
  return httpStore(url, { ...http, headers: { authorization: `Bearer ${token}` } });
}

async function nats(settings: NatsSettings, options: StoreFromOptions): Promise<ObjectStore> {
  const { natsStore } = await import("./nats.ts");
  return natsStore({ ...(await natsOptions(settings, options)), servers: settings.server });
}

/** What `natsStore` takes, without servers and `connect`: the files that settings name are read. */
export async function natsOptions(
  settings: NatsSettings,
  options: Pick<StoreFromOptions, "readFile">,
): Promise<{
  readonly bucket: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly jwt: string | undefined;
  readonly seed: string | undefined;
  readonly creds: string | undefined;
  readonly timeoutMs: number | undefined;
}> {
  const { bucket, username, password, token, jwt, timeoutMs } = settings;
  const read = async (key: string, path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : await readText(key, path, options);
  const creds = await read("creds", settings.creds);
  const seed = settings.seed ?? (await read("nkey", settings.nkey))?.trim();
  return { bucket, user: username, password, token, jwt, seed, creds, timeoutMs };
}

function keyPair(
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
): S3Credentials | undefined {
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey };
}

/**
 * Litestream begins the keys of a URL without a path with `./` or `/`. No request by `fetch` can name the former, since
 * dot segments vanish from every URL; so what would be written here Litestream would not find.
 */
function refusePathless(settings: S3Settings | OssSettings, options: StoreFromOptions): void {
  if (settings.path !== "" || options.access === "read") return;
  const { type, bucket } = settings;
  throw new InvalidArgumentError({
    operation: "write to",
    object: `${type}://${bucket}`,
    what: "a path is required: without one Litestream uses keys that begin with ./, which no request can name",
    next: `Write a path behind the bucket, like ${type}://${bucket}/app`,
  });
}

async function readText(
  key: string,
  path: string,
  { readFile }: Pick<StoreFromOptions, "readFile">,
): Promise<string> {
  if (readFile !== undefined) return await readFile(path);
  throw new UnsupportedError({
    operation: "read",
    object: `the file that ${key} names`,
    what: "there are no files here",
    next: "Give the option readFile, or the content itself",
  });
}

function noCredentials(object: string, names: string): InvalidArgumentError {
  return new InvalidArgumentError({
    operation: "use",
    object,
    what: "there are no credentials",
    next: `Set ${names}, or give credentials`,
  });
}

function notHere(type: string): UnsupportedError {
  return new UnsupportedError({
    operation: "use",
    object: `a replica of type ${type}`,
    what: "this runtime has no such store",
    next: "Use storeFromUrl of @pagestream/node, pagestream/deno or pagestream/bun, or give it as one of schemes",
  });
}
