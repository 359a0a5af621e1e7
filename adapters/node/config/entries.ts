/**
 * Single entries of a configuration: what they may hold together, and the database that comes of one.
 *
 * @module
 */
import { isPagestreamError, stateDirectory } from "pagestream";
import type { ReplicaConfig as ReplicaKeys } from "pagestream/transports/store-from-url";
import type { DatabaseConfig, DatabaseOptions, ReplicaConfig } from "./config.ts";
import type { KeyPath } from "./document.ts";
import type { DatabaseSection, ReplicaValue, TuningSection } from "./schema.ts";

/** An entry of `dbs`, before its replicas are looked at. */
export interface Entry {
  readonly section: DatabaseSection;
  /** The replicas with what they inherit, and where they stand. */
  readonly replicas: readonly { readonly keys: ReplicaKeys; readonly at: KeyPath }[];
  readonly options: DatabaseOptions;
  readonly walLimit: number | undefined;
}

/** Which keys of an entry do not go together, and why, in Litestream's words. */
export function entryFaults(section: DatabaseSection): (readonly [KeyPath, string])[] {
  const { path, dir, pattern, watch, recursive, replica, replicas = [] } = section;
  const [metaPath, metaDir] = [section["meta-path"], section["meta-dir"]];
  const faults: (readonly [KeyPath, string])[] = [];
  const tell = (isWrong: boolean, fault: string, ...key: KeyPath): void => {
    if (isWrong) faults.push([key, fault]);
  };
  const isPath = dir === undefined;
  tell(path !== undefined && !isPath, "cannot specify both 'path' and 'dir'", "dir");
  tell(path === undefined && isPath, "must specify either 'path' or 'dir'");
  tell(!isPath && pattern === undefined, "'pattern' is required when using 'dir'", "dir");
  tell(isPath && watch === true, "'watch' can only be enabled with a directory", "watch");
  tell(
    isPath && recursive === true,
    "'recursive' can only be enabled with a directory",
    "recursive",
  );
  tell(isPath && metaDir !== undefined, "'meta-dir' can only be used with a directory", "meta-dir");
  tell(
    metaPath !== undefined && metaDir !== undefined,
    "cannot specify both 'meta-path' and 'meta-dir'",
    "meta-dir",
  );
  const isBoth = replica !== undefined && replicas.length > 0;
  tell(isBoth, "cannot specify 'replica' and 'replicas' on a database", "replicas");
  tell(replica === undefined && replicas.length === 0, "must specify replica for database");
  return faults;
}

/** The database of an entry; `metaPath` undefined: its state lies beside it. */
export function databaseOf(
  { section, options, walLimit }: Entry,
  place: {
    readonly path: string;
    readonly metaPath: string | undefined;
    readonly replica: ReplicaConfig;
    readonly otherReplicas: readonly ReplicaConfig[];
  },
): DatabaseConfig {
  return {
    ...place,
    metaPath: place.metaPath ?? stateDirectory(place.path),
    restoreIfMissing: section["restore-if-db-not-exists"] ?? false,
    walLimit,
    options,
  };
}

/** What `pagestream` says, of which the first section goes first; `sync-interval` is its `group` by Litestream's name. */
export function tuningOf(
  sections: readonly (TuningSection | undefined)[],
  syncInterval: ReplicaValue | undefined,
): { readonly options: DatabaseOptions; readonly walLimit: number | undefined } {
  const find = <K extends keyof TuningSection>(key: K): TuningSection[K] =>
    sections.find((section) => section?.[key] !== undefined)?.[key];
  return {
    options: {
      groupMs: find("group") ?? (syncInterval as number | undefined),
      groupBytes: find("group-bytes"),
      stagingBytes: find("staging-bytes"),
      lease: find("lease"),
      pointer: find("pointer"),
      onBehind: find("on-behind"),
    },
    walLimit: find("wal-limit"),
  };
}

/** What the keys of a replica are refused for, if they are: the key that is wrong, and why. */
export function problemOf(
  make: () => unknown,
): { readonly key: string; readonly message: string } | undefined {
  try {
    make();
    return undefined;
  } catch (error) {
    if (!isPagestreamError(error)) throw error;
    const { object, message } = error;
    const what = message.slice(message.indexOf(`${object}: `) + object.length + 2);
    const key = /^the key ([\w-]+)$/.exec(object)?.[1];
    return key === undefined
      ? { key: "url", message: `${object}: ${what}` }
      : { key, message: what };
  }
}
