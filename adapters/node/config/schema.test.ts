import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { schemaKeys } from "./schema.ts";

const page = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8");

/** Keys in the first column of the tables below a heading. */
function documented(heading: string): string[] {
  const [, section = ""] = page.split(`## ${heading}\n`);
  const [table = ""] = section.split("\n## ");
  return [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key as string);
}

/** Keys that hold a value or a list; mappings are known by what is in them. */
const keys = schemaKeys().filter(
  (key, _, all) =>
    !all.some((other) => other.startsWith(`${key}.`) || other.startsWith(`${key}[].`)),
);

describe("docs/configuration.md", () => {
  const ofReplicas = documented("Keys of a replica");

  test("docs/configuration.md has a row for every key of the top level", () => {
    const top = keys.filter((key) => !key.startsWith("dbs[]") && !ofReplicas.includes(key));
    expect(
      documented("Keys of the top level")
        .filter((key) => key !== "dbs[]")
        .sort(),
    ).toEqual(top.sort());
  });

  test("docs/configuration.md has a row for every key of a database", () => {
    const lists = ["replica", "replicas[]", "pagestream.replicas[]"];
    const own = keys
      .filter((key) => key.startsWith("dbs[]."))
      .map((key) => key.slice("dbs[].".length))
      .filter((key) => !lists.some((list) => key.startsWith(`${list}.`)));
    expect(documented("Keys of a database").sort()).toEqual([...own, ...lists].sort());
  });

  test("docs/configuration.md has a row for every key of a replica, wherever one may stand", () => {
    for (const place of ["replica", "replicas[]", "pagestream.replicas[]"]) {
      const prefix = `dbs[].${place}.`;
      const own = keys
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length));
      expect(ofReplicas.toSorted()).toEqual(own.sort());
    }
  });
});

describe("schemaKeys()", () => {
  test("schemaKeys() has every key that Litestream 0.3.13, 0.5.5 or 0.5.17 reads", () => {
    const names = new Set(keys.flatMap((key) => key.replaceAll("[]", "").split(".")));
    expect(LITESTREAM.split(" ").filter((name) => !names.has(name))).toEqual([]);
  });
});

/** The names of the YAML fields in the programs of these releases. Those of `age` are looked at by its own check. */
const LITESTREAM =
  "access-key-id account-key account-name addr age auto-recover bucket busy-timeout checkpoint-interval client-cert " +
  "client-key concurrency concurrent-writes creds dbs dir enabled endpoint exec force-path-style heartbeat-interval " +
  "heartbeat-url host host-key interval jwt key-path l0-retention l0-retention-check-interval level levels logging " +
  "max-checkpoint-page-count max-reconnects max-sync-ltx-files max-sync-wal-bytes mcp-addr meta-dir meta-path " +
  "min-checkpoint-page-count monitor-interval name nkey part-size password path pattern permissions reconnect-wait " +
  "recursive region replica replicas require-content-md5 restore-if-db-not-exists retention retention-check-interval " +
  "root-cas sas-token secret-access-key seed shutdown-sync-interval shutdown-sync-timeout sign-accept-encoding " +
  "sign-payload skip-verify snapshot snapshot-interval socket source sse-customer-algorithm sse-customer-key " +
  "sse-customer-key-path sse-kms-key-id stderr storage-class sync-interval timeout tls token truncate-page-n type url " +
  "user username validation validation-interval verify-compaction watch webdav-password webdav-url webdav-username";
