/**
 * What the command works with, as its configuration says it: every default filled in, every path absolute, durations in
 * milliseconds and sizes in bytes.
 *
 * @module
 */
import type { FleetDatabaseOptions } from "pagestream";
import type {
  ReplicaConfig as ReplicaKeys,
  ReplicaSettings,
} from "pagestream/transports/store-from-url";

/** Where one replica lies and how it is reached. Holds secrets: print `name`, never the rest. */
export interface ReplicaConfig {
  /** Which kind of store, as Litestream names it: `file`, `s3`, `gs`, … */
  readonly type: ReplicaSettings["type"];
  /** The place as a person may see it: a path, or a URL without user info and query. */
  readonly name: string;
  /** Litestream's keys, with what the top level gives every replica. */
  readonly keys: ReplicaKeys;
  /** Keys of its encryption, each as `ID=PATH`, the last one for new objects; undefined: it is plain. */
  readonly encryptionKeys?: readonly string[] | undefined;
  /** What its writers gave as context of the encryption. */
  readonly encryptionContext?: string | undefined;
}

/** What a database is replicated with. What is undefined is left to the engine. */
export type DatabaseOptions = Pick<
  FleetDatabaseOptions,
  | "groupMs"
  | "groupBytes"
  | "stagingBytes"
  | "lease"
  | "pointer"
  | "onBehind"
  | "levels"
  | "snapshot"
  | "l0RetentionMs"
  | "l0RetentionCheckMs"
  | "retention"
>;

/** One database. */
export interface DatabaseConfig {
  /** The database file; it need not exist. */
  readonly path: string;
  /** Directory of the local state, beside the database unless the configuration says otherwise. */
  readonly metaPath: string;
  /** Where it goes. */
  readonly replica: ReplicaConfig;
  /** Further replicas, which get the same files. */
  readonly otherReplicas: readonly ReplicaConfig[];
  /** Whether it is restored before replication begins, where there is no file. */
  readonly restoreIfMissing: boolean;
  /** Bytes of WAL past which it is cut short; undefined: what the follower takes. */
  readonly walLimit: number | undefined;
  /** Passed on to the engine. */
  readonly options: DatabaseOptions;
}

/** Paths of databases that this process has open. */
export interface OpenPaths {
  /** Whether it has this one. */
  has(path: string): boolean;
}

/** The databases of a directory. */
export interface DirectoryConfig {
  /** The directory. */
  readonly dir: string;
  /** Shell pattern that the last part of a path has to match. */
  readonly pattern: string;
  /** Whether directories below count too. */
  readonly recursive: boolean;
  /** Whether databases that come and go at run time are taken up. */
  readonly watch: boolean;
  /**
   * The SQLite databases that lie there now, sorted by path. Those in `open` are not opened once more to look at them:
   * that would end the locks of a SQLite in this process. `ConfigError` where there is none although `watch` is off.
   */
  members(open?: OpenPaths): readonly DatabaseConfig[];
  /**
   * The database at a path; undefined where the entry has no such member, or the file there is no SQLite database. One in `open`
   * is not looked at, and so need not exist.
   */
  memberAt(path: string, open?: OpenPaths): DatabaseConfig | undefined;
}

/** Something that is accepted and does not do what it says, or does it in another way. */
export interface ConfigNotice {
  /** `warning`: replication is not as the text asks for. `note`: it is, but not by this key. */
  readonly kind: "warning" | "note";
  /** The key with what it lies in: `dbs[0].replica.sync-interval`; empty for the file as a whole. */
  readonly key: string;
  /** Line of the file, from 1; undefined where there is none. */
  readonly line: number | undefined;
  /** What it means, and what to write instead. */
  readonly message: string;
}

/** How logs are written. */
export interface LoggingConfig {
  /** What is less important is left out. */
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  /** Form of a line. */
  readonly type: "text" | "json" | "pretty";
  /** Standard error instead of standard output; undefined: the command decides. */
  readonly stderr: boolean | undefined;
  /** Whether each line names the file that wrote it. */
  readonly source: boolean;
}

/** A whole configuration. */
export interface Config {
  /** The file it was read from; undefined for one made of arguments. */
  readonly path: string | undefined;
  /** What was accepted and has another effect than its user may think. */
  readonly notices: readonly ConfigNotice[];
  /** Address of the metrics, `host:port`. */
  readonly addr: string | undefined;
  /** Address of the health endpoint, `host:port`; undefined: that of the metrics. */
  readonly healthAddr: string | undefined;
  /** How far a replica may lag behind before its database counts as not restorable. */
  readonly healthMaxLagMs: number;
  /** The control socket. */
  readonly socket: {
    readonly enabled: boolean;
    readonly path: string;
    /** Mode of the file, such as 0o600. */
    readonly permissions: number;
  };
  /** Command line of the child. */
  readonly exec: string | undefined;
  /** Pause between two checks that the files of each level follow each other; undefined: never. */
  readonly validationIntervalMs: number | undefined;
  /** Who is told that all is well. */
  readonly heartbeat: { readonly url: string; readonly intervalMs: number } | undefined;
  /** The final upload. */
  readonly shutdown: {
    /** How long it is tried again in all; 0: once. */
    readonly timeoutMs: number;
    /** Pause between two tries. */
    readonly intervalMs: number;
  };
  /** How logs are written. */
  readonly logging: LoggingConfig;
  /** The most requests of all databases together in any hour; undefined: no bound. */
  readonly requestsPerHour: number | undefined;
  /** File that keeps databases registered at run time; undefined: they are forgotten with the process. */
  readonly stateFile: string | undefined;
  /** Databases named one by one. */
  readonly databases: readonly DatabaseConfig[];
  /** Databases named by directory. */
  readonly directories: readonly DirectoryConfig[];
  /**
   * A database that is registered at run time, with the defaults of this configuration.
   *
   * @throws {InvalidArgumentError} for a URL or path that names no replica.
   */
  database(path: string, replica: string): DatabaseConfig;
}

/** Options of `loadConfig`. */
export interface LoadConfigOptions {
  /** Whether `$NAME` and `${NAME}` are replaced. @default true */
  readonly expandEnv?: boolean | undefined;
  /** Where their values come from, and `LOG_LEVEL`. @default the environment of the process */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}
