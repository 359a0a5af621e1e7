/**
 * A configuration as it counts, in Litestream's keys, to be shown: no secret is in it.
 *
 * @module
 */
import type { Config, DatabaseConfig, DatabaseOptions, ReplicaConfig } from "./config.ts";
import { formatDuration } from "./values.ts";

/** Shown in place of a secret. */
const MASK = "***";

/** Keys of a replica that are shown as they are. Whatever is not named here is taken for a secret. */
const SHOWN: ReadonlySet<string> = new Set([
  "type",
  "path",
  "bucket",
  "region",
  "force-path-style",
  "skip-verify",
  "sign-payload",
  "require-content-md5",
  "part-size",
  "concurrency",
  "storage-class",
  "sse-customer-algorithm",
  "sse-customer-key-path",
  "sse-kms-key-id",
  "account-name",
  "host",
  "user",
  "key-path",
  "host-key",
  "concurrent-writes",
  "webdav-username",
  "username",
  "creds",
  "tls",
  "root-cas",
  "client-cert",
  "client-key",
  "timeout",
]);

/** Keys that have no effect, or are shown with the database. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "name",
  "sync-interval",
  "max-sync-ltx-files",
  "auto-recover",
  "validation-interval",
  "max-reconnects",
  "reconnect-wait",
]);

/** Addresses, shown without user info and query. */
const ADDRESSES: ReadonlySet<string> = new Set(["url", "endpoint", "webdav-url"]);

/** A plain object with the keys of a configuration, defaults included. */
export function describeConfig(config: Config): Readonly<Record<string, unknown>> {
  const { socket, heartbeat, shutdown, logging, validationIntervalMs } = config;
  return present({
    addr: config.addr,
    socket: {
      enabled: socket.enabled,
      path: socket.path,
      permissions: `0${socket.permissions.toString(8)}`,
    },
    // The rest of the command line may hold what variables of the environment gave.
    exec: config.exec?.replace(/^(\s*\S+)\s.*$/s, `$1 ${MASK}`),
    validation:
      validationIntervalMs === undefined
        ? undefined
        : { interval: formatDuration(validationIntervalMs) },
    // Its path is what such services know a customer by.
    "heartbeat-url": heartbeat && `${new URL(heartbeat.url).origin}/${MASK}`,
    "heartbeat-interval": heartbeat && formatDuration(heartbeat.intervalMs),
    "shutdown-sync-timeout": formatDuration(shutdown.timeoutMs),
    "shutdown-sync-interval": formatDuration(shutdown.intervalMs),
    logging: present({ ...logging }),
    pagestream: presentOrNone({
      "requests-per-hour": config.requestsPerHour,
      "health-addr": config.healthAddr,
      "health-max-lag": formatDuration(config.healthMaxLagMs),
      "state-file": config.stateFile,
      "encryption-keys": config.database("/", "/").replica.encryptionKeys,
      "encryption-context": config.database("/", "/").replica.encryptionContext,
    }),
    dbs: [
      ...config.databases.map(describeDatabase),
      ...config.directories.map(({ dir, pattern, recursive, watch, ...directory }) => ({
        dir,
        pattern,
        recursive,
        watch,
        members: directory.members().map(describeDatabase),
      })),
    ],
  });
}

function describeDatabase(database: DatabaseConfig): Readonly<Record<string, unknown>> {
  const { options, otherReplicas } = database;
  return present({
    path: database.path,
    "meta-path": database.metaPath,
    "restore-if-db-not-exists": database.restoreIfMissing,
    replica: describeReplica(database.replica),
    ...describeLevels(options),
    pagestream: presentOrNone({
      group: options.groupMs === undefined ? undefined : formatDuration(options.groupMs),
      "group-bytes": options.groupBytes,
      "staging-bytes": options.stagingBytes,
      "wal-limit": database.walLimit,
      lease: options.lease,
      pointer: options.pointer,
      "on-behind": options.onBehind,
      replicas: otherReplicas.length === 0 ? undefined : otherReplicas.map(describeReplica),
    }),
  });
}

function describeLevels(options: DatabaseOptions): Readonly<Record<string, unknown>> {
  const { levels = [], snapshot = {}, l0RetentionMs = 0, l0RetentionCheckMs = 0 } = options;
  return {
    levels: levels.map(({ intervalMs }) => ({ interval: formatDuration(intervalMs) })),
    snapshot: {
      interval: formatDuration(snapshot.intervalMs ?? 0),
      retention: formatDuration(snapshot.retentionMs ?? 0),
    },
    "l0-retention": formatDuration(l0RetentionMs),
    "l0-retention-check-interval": formatDuration(l0RetentionCheckMs),
    retention: { enabled: options.retention?.enabled ?? true },
  };
}

function describeReplica({ type, keys }: ReplicaConfig): Readonly<Record<string, unknown>> {
  if (type === "file") return { type, path: keys.path };
  const shown = Object.entries(keys)
    .filter(([key]) => !LEFT_OUT.has(key))
    .map(([key, value]) => [key, shownValue(key, value)] as const);
  return { type, ...Object.fromEntries(shown) };
}

function shownValue(key: string, value: unknown): unknown {
  if (ADDRESSES.has(key)) return withoutSecrets(String(value));
  if (!SHOWN.has(key)) return MASK;
  return key === "timeout" ? formatDuration(Number.parseFloat(String(value))) : value;
}

/** Parameters that Litestream knows hold no secret; what else is there is masked. */
function withoutSecrets(address: string): string {
  const [, place = "", query = ""] = /^([^?#]*)(?:\?([^#]*))?/s.exec(address) ?? [];
  const known =
    /^(?:endpoint=(?!.*(?:@|%40))[\w.:%/-]*|(?:region|forcePathStyle|skipVerify|sign-?payload|requireContentMD5|part-?size|concurrency|storageClass)=[\w-]*)$/i;
  const parameters = query
    .split("&")
    .map((each) => (known.test(each) ? each : each.replace(/=.*$/s, `=${MASK}`)));
  const shown = place.replace(/^(\w+:\/\/).*@/s, `$1${MASK}@`);
  return query === "" ? shown : `${shown}?${parameters.join("&")}`;
}

/** Undefined where nothing is left. */
function presentOrNone(
  entries: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  const left = present(entries);
  return Object.keys(left).length === 0 ? undefined : left;
}

/** Without what is undefined. */
function present(entries: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));
}
