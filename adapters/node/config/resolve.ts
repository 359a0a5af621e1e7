/**
 * From the sections of a configuration to what the command works with.
 *
 * @module
 */
import { join } from "node:path";
import { isReplicaUrl } from "pagestream/transports/store-from-url";
import { similarName } from "pagestream/transports/store-kit";
import type {
  Config,
  DatabaseConfig,
  DatabaseOptions,
  DirectoryConfig,
  LoggingConfig,
  ReplicaConfig,
} from "./config.ts";
import { databasesIn, isDatabase, memberState } from "./directory.ts";
import type { ConfigDocument, KeyPath } from "./document.ts";
import { databaseOf, type Entry, entryFaults, problemOf, tuningOf } from "./entries.ts";
import { ConfigError, type ConfigProblem } from "./errors.ts";
import type { Variables } from "./expand.ts";
import { noticesOf } from "./notices.ts";
import { patternExpression } from "./pattern.ts";
import {
  absolutePath,
  encryptionOf,
  inheritKeys,
  keysBelow,
  placeOf,
  replicaOf,
} from "./replicas.ts";
import {
  type CheckedSections,
  checkSections,
  type DatabaseSection,
  type ReplicaSection,
  type SnapshotSection,
} from "./schema.ts";
import { formatDuration } from "./values.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Litestream's levels. */
const LEVELS = [{ intervalMs: 30_000 }, { intervalMs: 300_000 }, { intervalMs: HOUR }] as const;
/** Level 9 holds the snapshots. */
const MAX_LEVELS = 8;
const SOCKET = "/var/run/litestream.sock";
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

/**
 * Makes a configuration of a document.
 *
 * @throws {ConfigError} with everything that is wrong.
 */
export function resolveConfig(document: ConfigDocument, env: Variables): Config {
  const checked = checkSections(document.data);
  if (!("issues" in checked)) return new Resolver(document, checked).config(env);
  const problems = checked.issues.map(({ path, message, known }): ConfigProblem => {
    const similar = known === undefined ? undefined : similarName(String(path.at(-1)), known);
    return {
      key: nameOf(document, path),
      line: document.lineOf(path),
      message,
      suggestion: similar === undefined ? undefined : `Did you mean ${similar}`,
    };
  });
  throw new ConfigError(document.file, inOrder(problems));
}

/** Collects what is wrong, so that all of it is told at once. */
class Resolver {
  readonly #document: ConfigDocument;
  readonly #checked: CheckedSections;
  readonly #encryption: ReturnType<typeof encryptionOf>;
  readonly #problems: ConfigProblem[] = [];

  constructor(document: ConfigDocument, checked: CheckedSections) {
    this.#document = document;
    this.#checked = checked;
    this.#encryption = encryptionOf(checked.sections.pagestream);
  }

  config(env: Variables): Config {
    const { sections } = this.#checked;
    const common = this.#commonOptions();
    const databases: DatabaseConfig[] = [];
    const directories: DirectoryConfig[] = [];
    for (const [i, section] of (sections.dbs ?? []).entries()) {
      const entry = this.#entry(section, i, common);
      if (entry === undefined) continue;
      if (section.dir === undefined) databases.push(...this.#database(entry, i));
      else directories.push(...this.#directory(entry, i));
    }
    this.#refuseShared(databases);
    if (this.#encryption.encryptionKeys?.some((each) => !/^[^=]+=./.test(each)) === true) {
      this.#tell(["pagestream", "encryption-keys"], "an entry is no ID=PATH");
    }
    const { socket = {}, pagestream = {}, validation } = sections;
    const heartbeatUrl = sections["heartbeat-url"];
    const config: Config = {
      path: this.#document.file,
      notices: noticesOf(this.#document, (path) => nameOf(this.#document, path)),
      addr: sections.addr,
      healthAddr: pagestream["health-addr"],
      healthMaxLagMs: pagestream["health-max-lag"] ?? 60_000,
      socket: {
        enabled: socket.enabled ?? false,
        path: absolutePath(socket.path ?? SOCKET),
        permissions: socket.permissions ?? 0o600,
      },
      exec: sections.exec,
      validationIntervalMs: validation?.interval,
      heartbeat:
        heartbeatUrl === undefined
          ? undefined
          : { url: heartbeatUrl, intervalMs: sections["heartbeat-interval"] ?? 300_000 },
      shutdown: {
        timeoutMs: sections["shutdown-sync-timeout"] ?? 30_000,
        intervalMs: sections["shutdown-sync-interval"] ?? 500,
      },
      logging: this.#logging(env),
      requestsPerHour: pagestream["requests-per-hour"],
      stateFile:
        pagestream["state-file"] === undefined ? undefined : absolutePath(pagestream["state-file"]),
      databases,
      directories,
      database: (path, replica) => this.#registered(path, replica, common),
    };
    if (this.#problems.length > 0) {
      throw new ConfigError(this.#document.file, inOrder(this.#problems));
    }
    return config;
  }

  #registered(path: string, replica: string, common: DatabaseOptions): DatabaseConfig {
    const { shared, sections } = this.#checked;
    const keys = inheritKeys(isReplicaUrl(replica) ? { url: replica } : { path: replica }, shared);
    const tuning = tuningOf([sections.pagestream], shared["sync-interval"]);
    const options = { ...common, ...tuning.options };
    const entry = { section: {}, replicas: [], options, walLimit: tuning.walLimit };
    const place = { path: absolutePath(path), metaPath: undefined, otherReplicas: [] };
    return databaseOf(entry, { ...place, replica: replicaOf(keys, this.#encryption) });
  }

  #tell(path: KeyPath, message: string, suggestion?: string): void {
    const key = nameOf(this.#document, path);
    this.#problems.push({ key, line: this.#document.lineOf(path), message, suggestion });
  }

  /** What all databases share, with Litestream's defaults. */
  #commonOptions(): DatabaseOptions {
    const { sections } = this.#checked;
    const levels = sections.levels?.map(({ interval }, i) => {
      if (interval !== undefined) return { intervalMs: interval };
      this.#tell(["levels", i, "interval"], "compaction interval must be greater than 0 (got 0s)");
      return { intervalMs: 1 };
    });
    if (levels !== undefined && levels.length > MAX_LEVELS) {
      this.#tell(["levels"], `there are ${levels.length} levels, and ${MAX_LEVELS} are the most`);
    }
    return {
      levels: levels ?? LEVELS,
      snapshot: {
        intervalMs: sections.snapshot?.interval ?? this.#promoted("interval") ?? DAY,
        retentionMs: sections.snapshot?.retention ?? this.#promoted("retention") ?? DAY,
      },
      l0RetentionMs: sections["l0-retention"] ?? 300_000,
      l0RetentionCheckMs: sections["l0-retention-check-interval"] ?? 15_000,
      retention: { enabled: sections.retention?.enabled ?? true },
    };
  }

  /** What databases say of snapshots counts for all of them, so they have to agree. */
  #promoted(key: keyof SnapshotSection): number | undefined {
    const { dbs = [], snapshot } = this.#checked.sections;
    if (snapshot?.[key] !== undefined) return undefined;
    let first: { readonly value: number; readonly name: string } | undefined;
    for (const [i, { path, dir, snapshot: own }] of dbs.entries()) {
      const value = own?.[key];
      if (value === undefined) continue;
      const name = path ?? dir ?? `#${i + 1}`;
      if (first !== undefined && first.value !== value) {
        const [one, other] = [first.value, value].map(formatDuration);
        const what = `conflicting database snapshot ${key}s: ${first.name} has ${one}, ${name} has ${other}`;
        this.#tell(["dbs", i, "snapshot", key], what, "Write it once, at the top level");
      }
      first ??= { value, name };
    }
    return first?.value;
  }

  #entry(section: DatabaseSection, i: number, common: DatabaseOptions): Entry | undefined {
    const number = `database config #${i + 1}`;
    const at: KeyPath = ["dbs", i];
    const faults = entryFaults(section);
    for (const [key, fault] of faults) this.#tell([...at, ...key], `${number}: ${fault}`);
    const { replica, replicas = [], pagestream = {} } = section;
    const named: (readonly [ReplicaSection, KeyPath])[] = [
      ...(replica === undefined ? [] : [[replica, [...at, "replica"]] as const]),
      ...replicas.map((each, j) => [each, [...at, "replicas", j]] as const),
      ...(pagestream.replicas ?? []).map(
        (each, j) => [each, [...at, "pagestream", "replicas", j]] as const,
      ),
    ];
    if (faults.length > 0) return undefined;
    const { shared, sections } = this.#checked;
    const [first] = named;
    const syncInterval = first?.[0]["sync-interval"] ?? shared["sync-interval"];
    const tuning = tuningOf([pagestream, sections.pagestream], syncInterval);
    return {
      section,
      replicas: named.map(([own, place]) => ({ keys: inheritKeys(own, shared), at: place })),
      options: {
        ...common,
        snapshot: this.#snapshotOf(first?.[0] ?? {}, common),
        ...tuning.options,
      },
      walLimit: tuning.walLimit,
    };
  }

  /** Litestream 0.3 had the keys of snapshots with the replica. Those of 0.5 go first, wherever they stand. */
  #snapshotOf(replica: ReplicaSection, { snapshot }: DatabaseOptions): DatabaseOptions["snapshot"] {
    const { dbs = [], snapshot: common } = this.#checked.sections;
    const isSaid = (key: keyof SnapshotSection): boolean =>
      common?.[key] !== undefined || dbs.some((each) => each.snapshot?.[key] !== undefined);
    const [interval, retention] = [replica["snapshot-interval"], replica["retention"]];
    return {
      ...snapshot,
      ...(typeof interval === "number" && !isSaid("interval") ? { intervalMs: interval } : {}),
      ...(typeof retention === "number" && !isSaid("retention") ? { retentionMs: retention } : {}),
    };
  }

  #database(entry: Entry, i: number): DatabaseConfig[] {
    const path = absolutePath(entry.section.path ?? "");
    const metaPath = entry.section["meta-path"];
    const replicas = this.#replicas(entry);
    const [replica, ...otherReplicas] = replicas ?? [];
    if (replica === undefined) return [];
    const repeated = otherReplicas.find((other) => placeOf(other) === placeOf(replica));
    if (repeated !== undefined) this.#tell(["dbs", i], "two of its replicas are the same");
    return [
      databaseOf(entry, {
        path,
        metaPath: metaPath === undefined ? undefined : join(absolutePath(metaPath), "pagestream"),
        replica,
        otherReplicas,
      }),
    ];
  }

  #replicas({ replicas }: Entry): ReplicaConfig[] | undefined {
    const made: ReplicaConfig[] = [];
    for (const { keys, at } of replicas) {
      const problem = problemOf(() => made.push(replicaOf(keys, this.#encryption)));
      if (problem === undefined) continue;
      this.#tell([...at, problem.key], problem.message);
    }
    const readOnly = made.findIndex(({ type }) => type === "http");
    if (readOnly >= 0) {
      const { at } = replicas[readOnly] as Entry["replicas"][number];
      this.#tell([...at, "url"], "a web server takes no files", "Use webdav:// or another store");
    }
    return made.length === replicas.length ? made : undefined;
  }

  #directory(entry: Entry, i: number): DirectoryConfig[] {
    const { section } = entry;
    const { pattern = "", recursive = false, watch = false } = section;
    const expression = patternExpression(pattern);
    if (expression === undefined) {
      this.#tell(["dbs", i, "pattern"], "syntax error in pattern");
      return [];
    }
    // What is wrong with the replica is wrong for each member.
    const probe = entry.replicas.map(({ keys, at }) => ({ keys: keysBelow(keys, "a"), at }));
    if (this.#replicas({ ...entry, replicas: probe }) === undefined) return [];
    const dir = absolutePath(section.dir ?? "");
    const [metaPath, metaDir] = [section["meta-path"], section["meta-dir"]].map((path) =>
      path === undefined ? undefined : absolutePath(path),
    );
    const rule = { dir, expression, recursive };
    const memberOf = (path: string): DatabaseConfig => {
      const below = path.slice(dir.length).replace(/^[/\\]+/, "");
      const replicas = entry.replicas.map(({ keys }) =>
        replicaOf(keysBelow(keys, below), this.#encryption),
      );
      const [replica, ...otherReplicas] = replicas as [ReplicaConfig, ...ReplicaConfig[]];
      const state = memberState(path, { dir, metaPath, metaDir });
      return databaseOf(entry, { path, metaPath: state, replica, otherReplicas });
    };
    const { file } = this.#document;
    const place = {
      key: nameOf(this.#document, ["dbs", i]),
      line: this.#document.lineOf(["dbs", i]),
    };
    return [
      {
        dir,
        pattern,
        recursive,
        watch,
        members(open = new Set()) {
          const paths = scanned(() => databasesIn(rule, open), file, place);
          if (paths.length > 0 || watch) return paths.map(memberOf);
          const message = `no SQLite databases found in directory ${dir} with pattern ${pattern}`;
          throw new ConfigError(file, [
            { ...place, message, suggestion: "Set watch: true to wait for some" },
          ]);
        },
        memberAt: (path, open = new Set()) =>
          isDatabase(path, rule, open) ? memberOf(path) : undefined,
      },
    ];
  }

  /** Two databases in one place would write over each other. */
  #refuseShared(databases: readonly DatabaseConfig[]): void {
    const seen = new Map<string, string>();
    const indexOf = (path: string): number =>
      (this.#checked.sections.dbs ?? []).findLastIndex(
        (each) => each.path !== undefined && absolutePath(each.path) === path,
      );
    const once = (place: string, path: string, what: string): void => {
      const other = seen.get(place);
      if (other !== undefined) this.#tell(["dbs", indexOf(path)], `${what} ${other}`);
      else seen.set(place, path);
    };
    for (const { path, metaPath, replica, otherReplicas } of databases) {
      once(`database ${path}`, path, "the database is there twice:");
      once(`state ${metaPath}`, path, "meta-path collision: it shares its state with");
      for (const each of [replica, ...otherReplicas]) {
        once(`replica ${placeOf(each)}`, path, "it shares a replica with");
      }
    }
  }

  #logging(env: Variables): LoggingConfig {
    const { logging = {} } = this.#checked.sections;
    const asked = (env["LOG_LEVEL"] || logging.level || "info").toLowerCase();
    const level = LOG_LEVELS.find((each) => each === asked);
    if (level === undefined) {
      const message = `its value is none of ${LOG_LEVELS.join(", ")} (got ${asked.slice(0, 40)})`;
      this.#problems.push({ key: "LOG_LEVEL", line: undefined, message });
    }
    return {
      level: level ?? "info",
      type: (logging.type ?? "text") as LoggingConfig["type"],
      stderr: logging.stderr,
      source: logging.source ?? false,
    };
  }
}

/** The paths of a scan; a directory that cannot be read is an error of the configuration. */
function scanned(
  scan: () => string[],
  file: string,
  place: Pick<ConfigProblem, "key" | "line">,
): string[] {
  try {
    return scan();
  } catch (error) {
    const message = `failed to scan the directory (${(error as NodeJS.ErrnoException).code})`;
    throw new ConfigError(file, [{ ...place, message }]);
  }
}

/** As Litestream names a place: a database by its path. */
function nameOf({ data }: ConfigDocument, path: KeyPath): string {
  const [first, index] = path;
  const list = first === "dbs" && Array.isArray(data["dbs"]) ? (data["dbs"] as unknown[]) : [];
  const entry = list[index as number] as Readonly<Record<string, unknown>> | undefined;
  const place = entry?.["path"] ?? entry?.["dir"];
  return path
    .map((step, i) => {
      if (typeof step !== "number") return i === 0 ? step : `.${step}`;
      return `[${i === 1 && typeof place === "string" ? place : step}]`;
    })
    .join("");
}

function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
}
