/**
 * Rewrites a configuration of any Litestream so that nothing in it is refused or of an old release. What it holds besides,
 * comments included, stays, and Litestream 0.5 can still read it.
 *
 * @module
 */
import { type Document, isMap, isScalar, isSeq, type Node, parseDocument, YAMLMap } from "yaml";
import type { KeyPath } from "./document.ts";

/** What became of a configuration. */
export interface MigratedConfig {
  /** The new text; the old one where nothing had to change. */
  readonly text: string;
  /** What was changed and why, in words for a person. */
  readonly changes: readonly string[];
}

/** Rewrites a text that is YAML; the text of one that is none stays as it is. */
export function migrateConfig(source: string): MigratedConfig {
  const document = parseDocument(source, {
    schema: "failsafe",
    customTags: ["null", "merge"],
    merge: true,
  });
  if (document.errors.length > 0 || !isMap(document.contents)) return { text: source, changes: [] };
  const changes: string[] = [];
  const remove = (path: KeyPath, why: string): void => {
    if (!document.hasIn(path)) return;
    document.deleteIn(path);
    changes.push(`${nameOf(path)} removed: ${why}`);
  };
  remove(["mcp-addr"], "there is no MCP server here; socket and the command do what it did");
  remove(["retention-check-interval"], "of Litestream 0.3");
  moveValidation(document, ["validation-interval"], changes);
  for (const i of indexes(document, ["dbs"])) {
    const at: KeyPath = ["dbs", i];
    remove(
      [...at, "max-checkpoint-page-count"],
      "of Litestream 0.3; pagestream.wal-limit bounds the WAL",
    );
    splitReplicas(document, at, changes);
    const replicas = [
      [...at, "replica"],
      ...indexes(document, [...at, "pagestream", "replicas"]).map((j) => [
        ...at,
        "pagestream",
        "replicas",
        j,
      ]),
    ];
    for (const replica of replicas) {
      remove([...replica, "name"], "replicas have no names since Litestream 0.5");
      remove([...replica, "retention-check-interval"], "of Litestream 0.3");
      if (!replica.includes("replica")) {
        for (const [old] of OLD_SNAPSHOT_KEYS) {
          remove([...replica, old], "what the first replica says counts for all of a database");
        }
      }
      moveValidation(document, [...replica, "validation-interval"], changes);
    }
  }
  moveSnapshots(document, changes);
  if (changes.length === 0) return { text: source, changes };
  return { text: document.toString({ lineWidth: 0 }), changes };
}

/** One replica, and the others where only Pagestream looks. */
function splitReplicas(document: Document, at: KeyPath, changes: string[]): void {
  const list = document.getIn([...at, "replicas"]);
  if (!isSeq(list) || list.items.length === 0 || document.hasIn([...at, "replica"])) return;
  const [first, ...others] = list.items as Node[];
  replaceKey(document, at, { from: "replicas", to: "replica", value: first as Node });
  changes.push(`${nameOf([...at, "replicas"])} became replica`);
  if (others.length === 0) return;
  list.items = others;
  document.setIn([...at, "pagestream", "replicas"], list);
  changes.push(
    `${others.length} further of them became pagestream.replicas, which Litestream passes over`,
  );
}

/** In place, so that the order of the keys and the comments before them stay. */
function replaceKey(
  document: Document,
  at: KeyPath,
  { from, to, value }: { readonly from: string; readonly to: string; readonly value: Node },
): void {
  const map = document.getIn(at);
  const pair = isMap(map)
    ? map.items.find(({ key }) => isScalar(key) && key.value === from)
    : undefined;
  if (pair === undefined || !isScalar(pair.key)) return;
  pair.key.value = to;
  pair.value = value;
}

/** Litestream 0.5 reads the key and does nothing with it. */
function moveValidation(document: Document, path: KeyPath, changes: string[]): void {
  const value = document.getIn(path, true);
  if (value === undefined) return;
  document.deleteIn(path);
  if (document.hasIn(["validation", "interval"])) {
    changes.push(`${nameOf(path)} removed: validation.interval is there`);
    return;
  }
  setIn(document, ["validation", "interval"], value);
  changes.push(`${nameOf(path)} became validation.interval`);
}

const OLD_SNAPSHOT_KEYS = [
  ["snapshot-interval", "interval"],
  ["retention", "retention"],
] as const;

/** Litestream 0.3 had them with each replica, 0.5 has them once; so they move where all databases agree. */
function moveSnapshots(document: Document, changes: string[]): void {
  const databases = indexes(document, ["dbs"]);
  for (const [old, name] of OLD_SNAPSHOT_KEYS) {
    const paths: KeyPath[] = databases.map((i) => ["dbs", i, "replica", old]);
    const values = paths.map((path) => document.getIn(path));
    const [first] = values;
    if (typeof first !== "string" || values.some((value) => value !== first)) continue;
    const isSaid =
      document.hasIn(["snapshot", name]) ||
      databases.some((i) => document.hasIn(["dbs", i, "snapshot", name]));
    for (const path of paths) document.deleteIn(path);
    if (!isSaid) setIn(document, ["snapshot", name], first);
    changes.push(
      isSaid
        ? `${old} of the replicas removed: snapshot.${name} goes before it`
        : `${old} of the replicas became snapshot.${name}`,
    );
  }
}

/** Before `dbs`, where people look for what counts for all of them. */
function setIn(
  document: Document,
  [section, key]: readonly [string, string],
  value: unknown,
): void {
  const { contents } = document;
  if (!isMap(contents)) return;
  if (!contents.has(section)) {
    const at = contents.items.findIndex(({ key: each }) => isScalar(each) && each.value === "dbs");
    const pair = document.createPair(section, new YAMLMap());
    contents.items.splice(at < 0 ? contents.items.length : at, 0, pair);
  }
  document.setIn([section, key], value);
}

function indexes(document: Document, path: KeyPath): number[] {
  const list = document.getIn(path);
  return isSeq(list) ? [...list.items.keys()] : [];
}

function nameOf(path: KeyPath): string {
  return path
    .map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`))
    .join("");
}
