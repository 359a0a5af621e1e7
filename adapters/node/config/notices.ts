/**
 * Keys that are accepted and do something else here than in the Litestream they come from, and what to write instead.
 *
 * @module
 */
import type { ConfigNotice } from "./config.ts";
import type { ConfigDocument, KeyPath } from "./document.ts";

type Rule = Pick<ConfigNotice, "kind" | "message">;

const NOTHING_POLLS =
  "without effect: nothing polls, every commit is noticed as it happens; pagestream.group spaces uploads";
const NO_CHECKPOINTS =
  "without effect: checkpoints are left to SQLite and the application; pagestream.wal-limit bounds the WAL";

/** By the name of a key, of a replica or of the top level. */
const OF_REPLICAS: Readonly<Record<string, Rule>> = {
  name: { kind: "note", message: "without effect, as in Litestream 0.5: replicas have no names" },
  "max-sync-ltx-files": {
    kind: "note",
    message: "without effect: whatever is ready is uploaded, bounded by pagestream.staging-bytes",
  },
  "auto-recover": {
    kind: "note",
    message:
      "without effect: local state that is lost or damaged is always rebuilt from the replica",
  },
  "validation-interval": {
    kind: "warning",
    message:
      "without effect, as in Litestream 0.5; write validation: {interval: …} at the top level",
  },
  "max-reconnects": { kind: "note", message: "without effect: connecting again never ends" },
  "reconnect-wait": { kind: "note", message: "without effect: pauses grow by themselves" },
  "sign-accept-encoding": {
    kind: "note",
    message: "without effect: the header is neither sent nor signed",
  },
  "retention-check-interval": {
    kind: "warning",
    message:
      "of Litestream 0.3, without effect: snapshots are removed right before the next is taken",
  },
  "snapshot-interval": {
    kind: "warning",
    message:
      "of Litestream 0.3, used for this database; write snapshot: {interval: …} at the top level",
  },
};

/** By the name of a key of the top level that no replica has. */
const OF_TOP: Readonly<Record<string, Rule>> = {
  "verify-compaction": {
    kind: "note",
    message: "without effect: what a compaction reads and writes is always checked",
  },
};

/** By the name of a key of a database. */
const OF_DATABASES: Readonly<Record<string, Rule>> = {
  "busy-timeout": {
    kind: "note",
    message: "without effect: nothing waits for a lock of SQLite, nor makes the application wait",
  },
  "monitor-interval": { kind: "note", message: NOTHING_POLLS },
  "checkpoint-interval": { kind: "note", message: NO_CHECKPOINTS },
  "min-checkpoint-page-count": { kind: "note", message: NO_CHECKPOINTS },
  "max-checkpoint-page-count": { kind: "note", message: `of Litestream 0.3, ${NO_CHECKPOINTS}` },
  "truncate-page-n": {
    kind: "note",
    message: "without effect: pagestream.wal-limit bounds the WAL, in bytes",
  },
  "max-sync-wal-bytes": {
    kind: "note",
    message: "without effect: a step ends with a commit; pagestream.group-bytes bounds a file",
  },
};

/** Of a replica only: at the top level it is a section of Litestream 0.5. */
const RETENTION: Rule = {
  kind: "warning",
  message:
    "of Litestream 0.3, used for this database; write snapshot: {retention: …} at the top level",
};

const OF_OTHERS: Rule = {
  kind: "warning",
  message:
    "of Litestream 0.3, without effect: what the first replica says counts for all of a database",
};

const REPLICAS: Rule = {
  kind: "note",
  message:
    "deprecated in Litestream; write replica, and further ones as pagestream: {replicas: […]}",
};

const SEVERAL: Rule = {
  kind: "warning",
  message: "Litestream 0.5 takes one replica; here all of them get the same files",
};

const UNSET: Rule = {
  kind: "warning",
  message: "a variable that is not set became empty text; write $$ for a dollar that is meant",
};

/** What is to be said of a configuration, in the order of its keys. `nameOf` names a place for people. */
export function noticesOf(
  document: ConfigDocument,
  nameOf: (path: KeyPath) => string,
): ConfigNotice[] {
  const notices: ConfigNotice[] = document.unsetLines.map((line) => ({ ...UNSET, key: "", line }));
  const tell = (rule: Rule | undefined, path: KeyPath): void => {
    if (rule === undefined) return;
    notices.push({ ...rule, key: nameOf(path), line: document.lineOf(path) });
  };
  const { data } = document;
  for (const key of keysOf(data)) {
    tell(ruleOf(OF_TOP, key) ?? ruleOf(OF_REPLICAS, key), [key]);
  }
  for (const [i, database] of listOf(data["dbs"]).entries()) {
    const at: KeyPath = ["dbs", i];
    for (const key of keysOf(database)) tell(ruleOf(OF_DATABASES, key), [...at, key]);
    const several = listOf(database["replicas"]);
    if (several.length > 0) tell(several.length > 1 ? SEVERAL : REPLICAS, [...at, "replicas"]);
    const further = listOf(recordOf(database["pagestream"])["replicas"]);
    const replicas: readonly (readonly [Readonly<Record<string, unknown>>, KeyPath])[] = [
      [recordOf(database["replica"]), [...at, "replica"]],
      ...several.map((replica, j) => [replica, [...at, "replicas", j]] as const),
      ...further.map((replica, j) => [replica, [...at, "pagestream", "replicas", j]] as const),
    ];
    for (const [replica, path] of replicas) {
      for (const key of keysOf(replica)) {
        tell(ruleOfReplica(key, path), [...path, key]);
      }
    }
  }
  return notices;
}

function ruleOfReplica(key: string, path: KeyPath): Rule | undefined {
  const isSnapshot = key === "retention" || key === "snapshot-interval";
  const isFirst = path.at(-1) === "replica" || (path.at(-1) === 0 && !path.includes("pagestream"));
  if (isSnapshot && !isFirst) return OF_OTHERS;
  return key === "retention" ? RETENTION : ruleOf(OF_REPLICAS, key);
}

function ruleOf(rules: Readonly<Record<string, Rule>>, key: string): Rule | undefined {
  return Object.hasOwn(rules, key) ? rules[key] : undefined;
}

/** Keys that have a value. */
function keysOf(record: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(record).filter((key) => record[key] !== undefined);
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}
