import { describe, expect, test } from "vitest";
import { parseConfig } from "./load-config.ts";
import { migrateConfig } from "./migrate-config.ts";

const OLD = `# Of Litestream 0.3
access-key-id: $KEY
secret-access-key: "$SECRET"
mcp-addr: :3001

dbs:
  # the first
  - path: /data/app.db
    max-checkpoint-page-count: 10000
    replicas:
      - name: near # by name
        path: /backup/app
        retention: 72h
        snapshot-interval: 12h
        retention-check-interval: 1h
        validation-interval: 6h
      - url: s3://bucket/app
        retention: 24h
  - path: /data/b.db
    monitor-interval: 1s
    replica:
      path: /backup/b
      retention: 72h
`;

const NEW = `# Of Litestream 0.3
access-key-id: $KEY
secret-access-key: "$SECRET"
validation:
  interval: 6h
snapshot:
  retention: 72h

dbs:
  # the first
  - path: /data/app.db
    replica:
      path: /backup/app
      snapshot-interval: 12h
    pagestream:
      replicas:
        - url: s3://bucket/app
  - path: /data/b.db
    monitor-interval: 1s
    replica:
      path: /backup/b
`;

describe("migrateConfig()", () => {
  test("migrateConfig() replaces what is old, and leaves the rest with its comments and variables", () => {
    const { text, changes } = migrateConfig(OLD);
    expect(text).toBe(NEW);
    expect(changes).toEqual([
      "mcp-addr removed: there is no MCP server here; socket and the command do what it did",
      "dbs[0].max-checkpoint-page-count removed: of Litestream 0.3; pagestream.wal-limit bounds the WAL",
      "dbs[0].replicas became replica",
      "1 further of them became pagestream.replicas, which Litestream passes over",
      "dbs[0].replica.name removed: replicas have no names since Litestream 0.5",
      "dbs[0].replica.retention-check-interval removed: of Litestream 0.3",
      "dbs[0].replica.validation-interval became validation.interval",
      "dbs[0].pagestream.replicas[0].retention removed: what the first replica says counts for all of a database",
      "retention of the replicas became snapshot.retention",
    ]);
  });

  test("migrateConfig() gives what means the same", () => {
    const read = (text: string) =>
      parseConfig(text.replace(/^mcp-addr.*$/m, ""), {
        file: "/x",
        env: { KEY: "k", SECRET: "s" },
      });
    const [before, after] = [read(OLD), read(migrateConfig(OLD).text)];
    expect(after.databases).toEqual(
      before.databases.map((database) => ({
        ...database,
        replica: { ...database.replica, keys: withoutOld(database.replica.keys) },
      })),
    );
    expect(after.notices.map(({ key }) => key)).toEqual([
      "dbs[/data/app.db].replica.snapshot-interval",
      "dbs[/data/b.db].monitor-interval",
    ]);
  });

  test("migrateConfig() changes nothing the second time, and nothing of what is new", () => {
    const once = migrateConfig(OLD).text;
    expect(migrateConfig(once)).toEqual({ text: once, changes: [] });
    const modern = "dbs: [ {path: /a.db,   replica: {path: /b}} ]  # as it was\n";
    expect(migrateConfig(modern)).toEqual({ text: modern, changes: [] });
  });

  test("migrateConfig() leaves what is no configuration to whoever reads it", () => {
    for (const text of ["", "a: b: c\n", "- x\n", "text\n"]) {
      expect(migrateConfig(text)).toEqual({ text, changes: [] });
    }
  });
});

function withoutOld(keys: object): object {
  const old = ["name", "validation-interval"];
  return Object.fromEntries(Object.entries(keys).filter(([key]) => !old.includes(key)));
}
