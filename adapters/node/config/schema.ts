/**
 * The keys of a configuration and what their values may be. What goes in are texts, whatever YAML would make of them; what
 * comes out has milliseconds, bytes, numbers and flags.
 *
 * @module
 */
import { type KeyKind, REPLICA_KEYS } from "pagestream/transports/store-from-url";
import * as v from "valibot";
import {
  isAddress,
  parseByteSize,
  parseDuration,
  parseFlag,
  parseMode,
  parseWhole,
} from "./values.ts";

/** A value of a replica's key: as `storeFromConfig` takes it. */
export type ReplicaValue = string | number | boolean | readonly string[];

/** The keys of a replica, with those that earlier releases of Litestream had. */
export interface ReplicaSection {
  readonly [key: string]: ReplicaValue | undefined;
}

/** The section `snapshot`. */
export interface SnapshotSection {
  readonly interval?: number | undefined;
  readonly retention?: number | undefined;
}

/** What a database can have of its own under `pagestream`, and all of them at the top level. */
export interface TuningSection {
  readonly group?: number | undefined;
  readonly "group-bytes"?: number | undefined;
  readonly "staging-bytes"?: number | undefined;
  readonly "wal-limit"?: number | undefined;
  readonly lease?: boolean | undefined;
  readonly pointer?: boolean | undefined;
  readonly "on-behind"?: "refuse" | "adopt" | undefined;
}

/** `pagestream` at the top level. */
export interface ProgramSection extends TuningSection {
  readonly "requests-per-hour"?: number | undefined;
  readonly "health-addr"?: string | undefined;
  readonly "health-max-lag"?: number | undefined;
  readonly "state-file"?: string | undefined;
  readonly "encryption-keys"?: readonly string[] | undefined;
  readonly "encryption-context"?: string | undefined;
}

/** An entry of `dbs`. Keys that have no effect here are not among its members. */
export interface DatabaseSection {
  readonly path?: string | undefined;
  readonly dir?: string | undefined;
  readonly pattern?: string | undefined;
  readonly recursive?: boolean | undefined;
  readonly watch?: boolean | undefined;
  readonly "meta-path"?: string | undefined;
  readonly "meta-dir"?: string | undefined;
  readonly snapshot?: SnapshotSection | undefined;
  readonly "restore-if-db-not-exists"?: boolean | undefined;
  readonly replica?: ReplicaSection | undefined;
  readonly replicas?: readonly ReplicaSection[] | undefined;
  readonly pagestream?:
    | (TuningSection & { readonly replicas?: readonly ReplicaSection[] | undefined })
    | undefined;
}

/** A whole configuration as it is written. The keys of a replica that all of them share stand beside those named here. */
export interface ConfigSections {
  readonly addr?: string | undefined;
  readonly socket?:
    | {
        readonly enabled?: boolean | undefined;
        readonly path?: string | undefined;
        readonly permissions?: number | undefined;
      }
    | undefined;
  readonly dbs?: readonly DatabaseSection[] | undefined;
  readonly exec?: string | undefined;
  readonly levels?: readonly { readonly interval?: number | undefined }[] | undefined;
  readonly snapshot?: SnapshotSection | undefined;
  readonly "l0-retention"?: number | undefined;
  readonly "l0-retention-check-interval"?: number | undefined;
  readonly retention?: { readonly enabled?: boolean | undefined } | undefined;
  readonly validation?: { readonly interval?: number | undefined } | undefined;
  readonly "heartbeat-url"?: string | undefined;
  readonly "heartbeat-interval"?: number | undefined;
  readonly "shutdown-sync-timeout"?: number | undefined;
  readonly "shutdown-sync-interval"?: number | undefined;
  readonly logging?:
    | {
        readonly level?: string | undefined;
        readonly type?: string | undefined;
        readonly stderr?: boolean | undefined;
        readonly source?: boolean | undefined;
      }
    | undefined;
  readonly pagestream?: ProgramSection | undefined;
}

/** Something that the schema refuses. */
export interface SchemaIssue {
  /** Keys and indexes that lead to it. */
  readonly path: readonly (string | number)[];
  /** What is wrong; holds no value. */
  readonly message: string;
  /** For a key that does not exist: those that do. */
  readonly known?: readonly string[] | undefined;
}

/** What a text stands for, or why it stands for nothing. */
type Reading<T> = { readonly value: T } | { readonly refused: string };

/** A key that may be left out, and whose value a function reads. What is refused is shown: no secret is read so. */
function read<T>(reading: (text: string) => Reading<T>) {
  return v.optional(
    v.pipe(
      v.string("its value is no single value"),
      v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
        const result = reading(dataset.value);
        if ("value" in result) return result.value;
        addIssue({ message: `${result.refused} (got ${dataset.value.slice(0, 40)})` });
        return NEVER;
      }),
    ),
  );
}

/** A number by one of the parsers, and what is said of one that does not fit. */
function number(
  parse: (text: string) => number | undefined,
  none: string,
  [fits, bound]: readonly [(value: number) => boolean, string] = [() => true, ""],
) {
  return read((text): Reading<number> => {
    const value = parse(text);
    if (value === undefined) return { refused: none };
    return fits(value) ? { value } : { refused: bound };
  });
}

function duration(bound?: readonly [(ms: number) => boolean, string]) {
  return number(parseDuration, "its value is no duration, such as 10s or 1h30m", bound);
}

function above0(name: string) {
  return duration([(ms) => ms > 0, `${name} must be greater than 0`]);
}

function size() {
  const bound = [(bytes: number) => bytes > 0, "its value must be greater than 0"] as const;
  return number(parseByteSize, "its value is no size, such as 64MiB or 1000000", bound);
}

function whole(least: number) {
  const bound = [(value: number) => value >= least, `its value must be ${least} or more`] as const;
  return number(parseWhole, "its value is no whole number", bound);
}

function oneOf<const T extends string>(...words: readonly T[]) {
  return read((text): Reading<T> => {
    const word = words.find((each) => each === text.toLowerCase());
    return word === undefined
      ? { refused: `its value is none of ${words.join(", ")}` }
      : { value: word };
  });
}

/** Not shown where it is wrong: it may hold a secret. */
const TEXT = v.optional(v.string("its value is no text"));
const TEXTS = v.optional(v.array(v.string("an entry is no text"), "its value is no list"));
const FLAG = read((text): Reading<boolean> => {
  const value = parseFlag(text);
  return value === undefined ? { refused: "its value is neither true nor false" } : { value };
});
const ADDRESS = read((text): Reading<string> =>
  isAddress(text) ? { value: text } : { refused: "its value is no host:port, such as :9090" },
);

function section<const T extends v.ObjectEntries>(entries: T) {
  return v.strictObject(entries, "its value is no mapping of keys");
}

const SNAPSHOT = v.optional(
  section({ interval: above0("snapshot interval"), retention: above0("snapshot retention") }),
);

/** Sizes and durations become what `storeFromConfig` takes. */
const OF_KIND: Readonly<Record<KeyKind, v.GenericSchema<unknown, ReplicaValue | undefined>>> = {
  text: TEXT,
  texts: TEXTS,
  flag: FLAG,
  number: whole(0),
  size: size(),
  duration: duration([(ms) => ms >= 0, "its value must not be negative"]),
};

/** Litestream takes the key as long as it holds nothing. */
function isEmptyAge(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).every(
    ([key, list]) =>
      /^(?:identities|recipients)$/.test(key) && Array.isArray(list) && list.length === 0,
  );
}

/** What says where a replica lies, and so is no default for others. */
const PLACE: ReadonlySet<string> = new Set(["url", "type", "path", "name"]);

const REPLICA: Readonly<Record<string, v.GenericSchema<unknown, ReplicaValue | undefined>>> = {
  ...Object.fromEntries(Object.entries(REPLICA_KEYS).map(([key, kind]) => [key, OF_KIND[kind]])),
  "sync-interval": above0("sync interval"),
  "max-reconnects": whole(-1),
  age: v.optional(
    v.pipe(
      v.unknown(),
      v.check(
        isEmptyAge,
        "Litestream 0.5 encrypts with age no more, so the replica would be plain text; leave it out and encrypt in another way",
      ),
      v.transform(() => undefined),
    ),
  ),
  // Of 0.5.17, and of 0.3.
  "sign-accept-encoding": FLAG,
  retention: above0("retention"),
  "retention-check-interval": above0("retention check interval"),
  "snapshot-interval": above0("snapshot interval"),
};

/** What the top level can say for every replica. There, `retention` is a section of its own. */
const SHARED: typeof REPLICA = Object.fromEntries(
  Object.entries(REPLICA).filter(([key]) => !PLACE.has(key) && key !== "retention"),
);

const TUNING = {
  group: above0("group"),
  "group-bytes": size(),
  "staging-bytes": size(),
  "wal-limit": size(),
  lease: FLAG,
  pointer: FLAG,
  "on-behind": oneOf("refuse", "adopt"),
};

const DATABASE = section({
  path: TEXT,
  dir: TEXT,
  pattern: TEXT,
  recursive: FLAG,
  watch: FLAG,
  "meta-path": TEXT,
  "meta-dir": TEXT,
  "monitor-interval": duration(),
  "checkpoint-interval": duration(),
  "busy-timeout": duration([(ms) => ms >= 0, "busy timeout must not be negative"]),
  "min-checkpoint-page-count": whole(-Infinity),
  "max-checkpoint-page-count": whole(-Infinity),
  "truncate-page-n": whole(-Infinity),
  "max-sync-wal-bytes": number(parseByteSize, "its value is no size, such as 64MiB"),
  snapshot: SNAPSHOT,
  "restore-if-db-not-exists": FLAG,
  replica: v.optional(section(REPLICA)),
  replicas: v.optional(v.array(section(REPLICA), "its value is no list of replicas")),
  pagestream: v.optional(
    section({
      ...TUNING,
      replicas: v.optional(v.array(section(REPLICA), "its value is no list of replicas")),
    }),
  ),
});

const CONFIG = section({
  ...SHARED,
  addr: ADDRESS,
  socket: v.optional(
    section({
      enabled: FLAG,
      path: TEXT,
      permissions: number(parseMode, "its value is no mode in octal digits, such as 0600"),
    }),
  ),
  "mcp-addr": v.optional(
    v.pipe(
      v.unknown(),
      v.check(
        () => false,
        "there is no MCP server: it would let anybody who reaches the port restore and reset databases; use socket and the command",
      ),
    ),
  ),
  dbs: v.optional(v.array(DATABASE, "its value is no list of databases")),
  exec: TEXT,
  levels: v.optional(
    v.array(section({ interval: above0("compaction interval") }), "its value is no list of levels"),
  ),
  snapshot: SNAPSHOT,
  "l0-retention": duration([(ms) => ms >= 0, "l0 retention must not be negative"]),
  "l0-retention-check-interval": above0("l0 retention check interval"),
  retention: v.optional(section({ enabled: FLAG })),
  validation: v.optional(section({ interval: above0("validation interval") })),
  "verify-compaction": FLAG,
  "heartbeat-url": v.optional(
    v.pipe(
      v.string("its value is no text"),
      v.check(
        (url) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol),
        "heartbeat URL must be a valid HTTP or HTTPS URL",
      ),
    ),
  ),
  "heartbeat-interval": duration([
    (ms) => ms >= 60_000,
    "heartbeat interval must be at least 1 minute",
  ]),
  "shutdown-sync-timeout": duration([(ms) => ms >= 0, "shutdown-sync-timeout must be >= 0"]),
  "shutdown-sync-interval": above0("shutdown sync interval"),
  logging: v.optional(
    section({
      level: oneOf("trace", "debug", "info", "warn", "error"),
      type: oneOf("text", "json", "pretty"),
      stderr: FLAG,
      source: FLAG,
    }),
  ),
  pagestream: v.optional(
    section({
      ...TUNING,
      "requests-per-hour": whole(60),
      "health-addr": ADDRESS,
      "health-max-lag": above0("health max lag"),
      "state-file": TEXT,
      "encryption-keys": TEXTS,
      "encryption-context": TEXT,
    }),
  ),
});

/** A configuration that the schema accepts. */
export interface CheckedSections {
  readonly sections: ConfigSections;
  /** What the top level says for every replica. */
  readonly shared: ReplicaSection;
}

/** Checks a configuration of texts, lists and mappings. Texts that are empty must have been left out. */
export function checkSections(
  data: unknown,
): CheckedSections | { readonly issues: readonly SchemaIssue[] } {
  const result = v.safeParse(CONFIG, data);
  if (!result.success) return { issues: result.issues.map(issueOf) };
  const { output } = result;
  const shared = Object.entries(output).filter(([key]) => Object.hasOwn(SHARED, key));
  return { sections: output, shared: Object.fromEntries(shared) as ReplicaSection };
}

function issueOf(issue: v.BaseIssue<unknown>): SchemaIssue {
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  if (issue.type !== "strict_object" || issue.expected !== "never") {
    return { path, message: issue.message };
  }
  const known = Object.keys(entriesAt(path.slice(0, -1)) ?? {});
  return { path, message: "there is no such key here", known };
}

/** Every key, with what it lies in: `dbs[].replica.url`. */
export function schemaKeys(): string[] {
  return keysOf(CONFIG, "");
}

/** As much of a schema as tells what lies in it. */
interface SchemaNode {
  readonly type: string;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly item?: SchemaNode;
  readonly wrapped?: SchemaNode;
}

function keysOf(schema: SchemaNode, prefix: string): string[] {
  const { entries, item, wrapped } = schema;
  if (wrapped !== undefined) return keysOf(wrapped, prefix);
  if (item !== undefined) return keysOf(item, `${prefix}[]`);
  return Object.entries(entries ?? {}).flatMap(([key, value]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    return [name, ...keysOf(value, name)];
  });
}

function entriesAt(
  path: readonly (string | number)[],
): Readonly<Record<string, SchemaNode>> | undefined {
  let node: SchemaNode | undefined = unwrapped(CONFIG);
  for (const key of path) {
    node = unwrapped(typeof key === "number" ? node?.item : node?.entries?.[key]);
  }
  return node?.entries;
}

function unwrapped(schema: SchemaNode | undefined): SchemaNode | undefined {
  return schema?.wrapped === undefined ? schema : unwrapped(schema.wrapped);
}
