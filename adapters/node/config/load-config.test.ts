import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isPagestreamError } from "pagestream";
import { afterAll, describe, expect, test } from "vitest";
import type { Config, DatabaseConfig } from "./config.ts";
import type { ConfigError } from "./errors.ts";
import { defaultConfig, loadConfig, parseConfig } from "./load-config.ts";
import { storeOf } from "./store-of.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function config(text: string, env: Readonly<Record<string, string>> = {}): Config {
  return parseConfig(text, { file: "/etc/litestream.yml", env });
}

function refusal(text: string, env: Readonly<Record<string, string>> = {}): string {
  try {
    config(text, env);
  } catch (error) {
    if (isPagestreamError(error, "CONFIG")) return error.message;
    throw error;
  }
  return "accepted";
}

/** A configuration of one database, with more keys of it, of its replica or of the top level. */
function one({
  top = "",
  db = "",
  replica = "path: /backup/app",
}: {
  readonly top?: string;
  readonly db?: string;
  readonly replica?: string;
}): string {
  return `${top}\ndbs: [{path: /data/app.db, ${db === "" ? "" : `${db}, `}replica: {${replica}}}]\n`;
}

function database(parts: Parameters<typeof one>[0]): DatabaseConfig {
  return config(one(parts)).databases[0] as DatabaseConfig;
}

describe("loadConfig()", () => {
  test("loadConfig() reads a file, with the home directory for ~", () => {
    const path = join(folder, "a.yml");
    writeFileSync(path, "addr: $ADDR\ndbs: [{path: ~/x.db, replica: {path: ~/replica}}]\n");
    const read = loadConfig(path, { env: { ADDR: ":9090" } });
    expect(read).toMatchObject({ path, addr: ":9090" });
    expect(read.databases[0]).toMatchObject({
      path: join(homedir(), "x.db"),
      replica: { type: "file", name: join(homedir(), "replica") },
    });
  });

  test("loadConfig() says that a file is missing", () => {
    const path = join(folder, "absent.yml");
    expect(() => loadConfig(path)).toThrow(
      `Cannot use the configuration ${path}: config file not found`,
    );
    expect(() => loadConfig(folder)).toThrow("the file cannot be read (EISDIR)");
  });

  test("loadConfig() leaves variables alone when told so", () => {
    const path = join(folder, "b.yml");
    writeFileSync(path, "exec: run $X $$\n");
    expect(loadConfig(path, { env: {}, expandEnv: false }).exec).toBe("run $X $$");
    expect(loadConfig(path, { env: { X: "x" } }).exec).toBe("run x $");
  });
});

describe("parseConfig()", () => {
  test("parseConfig() has Litestream's defaults", () => {
    expect(config("")).toMatchObject({
      notices: [],
      addr: undefined,
      healthAddr: undefined,
      healthMaxLagMs: 60_000,
      socket: { enabled: false, path: "/var/run/litestream.sock", permissions: 0o600 },
      exec: undefined,
      validationIntervalMs: undefined,
      heartbeat: undefined,
      shutdown: { timeoutMs: 30_000, intervalMs: 500 },
      logging: { level: "info", type: "text", stderr: undefined, source: false },
      databases: [],
      directories: [],
    });
    expect(config("heartbeat-url: https://x/y").heartbeat).toEqual({
      url: "https://x/y",
      intervalMs: 300_000,
    });
    expect(database({})).toMatchObject({
      path: "/data/app.db",
      metaPath: "/data/.app.db-pagestream",
      restoreIfMissing: false,
      walLimit: undefined,
      otherReplicas: [],
      options: {
        groupMs: undefined,
        levels: [{ intervalMs: 30_000 }, { intervalMs: 300_000 }, { intervalMs: 3_600_000 }],
        snapshot: { intervalMs: 86_400_000, retentionMs: 86_400_000 },
        l0RetentionMs: 300_000,
        l0RetentionCheckMs: 15_000,
        retention: { enabled: true },
      },
    });
    expect(defaultConfig({ env: {} })).toMatchObject({ path: undefined, databases: [] });
  });

  test("parseConfig() reads every key of the top level", () => {
    const read = config(`
addr: ":9090"
socket: {enabled: yes, path: /run/x.sock, permissions: 0660}
exec: "app -x 1"
levels: [{interval: 10s}, {interval: 1m}]
snapshot: {interval: 1h, retention: 72h}
l0-retention: 0s
l0-retention-check-interval: 30s
retention: {enabled: false}
validation: {interval: 6h}
verify-compaction: true
heartbeat-url: http://localhost/ping
heartbeat-interval: 1m
shutdown-sync-timeout: 0s
shutdown-sync-interval: 1s
logging: {level: DEBUG, type: json, stderr: true, source: true}
pagestream: {requests-per-hour: 1000, health-addr: "127.0.0.1:9091", health-max-lag: 5m,
  state-file: /var/lib/x.json}
dbs: [{path: /a.db, replica: {path: /b}}]
`);
    expect(read).toMatchObject({
      addr: ":9090",
      socket: { enabled: true, path: "/run/x.sock", permissions: 0o660 },
      exec: "app -x 1",
      validationIntervalMs: 21_600_000,
      heartbeat: { url: "http://localhost/ping", intervalMs: 60_000 },
      shutdown: { timeoutMs: 0, intervalMs: 1000 },
      logging: { level: "debug", type: "json", stderr: true, source: true },
      requestsPerHour: 1000,
      healthAddr: "127.0.0.1:9091",
      healthMaxLagMs: 300_000,
      stateFile: "/var/lib/x.json",
    });
    expect(read.databases[0]?.options).toMatchObject({
      levels: [{ intervalMs: 10_000 }, { intervalMs: 60_000 }],
      snapshot: { intervalMs: 3_600_000, retentionMs: 259_200_000 },
      l0RetentionMs: 0,
      l0RetentionCheckMs: 30_000,
      retention: { enabled: false },
    });
  });

  test("parseConfig() reads every key of a database", () => {
    const db = `meta-path: ~/meta, restore-if-db-not-exists: true,
      pagestream: {group: 50ms, group-bytes: 1MiB, staging-bytes: 128MiB, wal-limit: 256MiB,
        lease: false, pointer: true, on-behind: adopt, replicas: [{url: s3://other/app}]}`;
    expect(database({ db, top: "sync-interval: 7s" })).toMatchObject({
      metaPath: join(homedir(), "meta", "pagestream"),
      restoreIfMissing: true,
      walLimit: 268_435_456,
      otherReplicas: [{ type: "s3", name: "s3://other/app" }],
      options: {
        groupMs: 50,
        groupBytes: 1_048_576,
        stagingBytes: 134_217_728,
        lease: false,
        pointer: true,
        onBehind: "adopt",
      },
    });
  });

  test("parseConfig() lets pagestream.group go before sync-interval, and what is nearer before what is farther", () => {
    const group = (parts: Parameters<typeof one>[0]) => database(parts).options.groupMs;
    expect(group({})).toBeUndefined();
    expect(group({ top: "sync-interval: 5s" })).toBe(5000);
    const replica = "path: /b, sync-interval: 3s";
    expect(group({ top: "sync-interval: 5s", replica })).toBe(3000);
    expect(group({ top: "pagestream: {group: 2s}", replica })).toBe(2000);
    expect(group({ top: "pagestream: {group: 2s}", db: "pagestream: {group: 1s}" })).toBe(1000);
  });

  test("parseConfig() strips the schemes of SQLite from paths", () => {
    for (const path of ["sqlite:///data/app.db", "sqlite3:///data/app.db", "/data/x/../app.db"]) {
      const text = `dbs: [{path: "${path}", replica: {path: /b}}]`;
      expect(config(text).databases[0]?.path).toBe("/data/app.db");
    }
  });

  test("parseConfig() expands anchors, and passes over keys that begin with x-", () => {
    const text = `
x-defaults: &defaults {type: s3, bucket: b, region: eu}
dbs:
  - path: /a.db
    replica: {<<: *defaults, path: a}
  - path: /b.db
    replica: {<<: *defaults, path: b, region: us}
`;
    const [a, b] = config(text).databases;
    expect(a?.replica).toMatchObject({ name: "s3://b/a", keys: { region: "eu" } });
    expect(b?.replica).toMatchObject({ name: "s3://b/b", keys: { region: "us" } });
  });

  test("parseConfig() takes texts as they are, digits and words of YAML among them", () => {
    const replica =
      "type: s3, bucket: 123, path: 0x10, access-key-id: 0123, secret-access-key: yes";
    expect(database({ replica }).replica).toMatchObject({
      name: "s3://123/0x10",
      keys: { "access-key-id": "0123", "secret-access-key": "yes" },
    });
  });

  test("parseConfig() lets LOG_LEVEL go before the file", () => {
    expect(config("logging: {level: debug}", { LOG_LEVEL: "ERROR" }).logging.level).toBe("error");
    expect(refusal("", { LOG_LEVEL: "loud" })).toContain(
      "LOG_LEVEL: its value is none of trace, debug, info, warn, error (got loud)",
    );
  });
});

describe("the replicas of a configuration", () => {
  test.each([
    ["path: /backup", "file", "/backup"],
    ["url: file:///backup/x", "file", "/backup/x"],
    ["type: s3, bucket: b, path: app, endpoint: http://h:9000", "s3", "s3://b/app"],
    ["url: 's3://b/app?region=eu'", "s3", "s3://b/app"],
    ["url: s3://b.localhost:9000/app", "s3", "s3://b/app"],
    ["url: s3://b.s3.us-west-000.backblazeb2.com/app", "s3", "s3://b/app"],
    [
      "type: s3, bucket: 'arn:aws:s3:eu-west-2:1:accesspoint/b', path: x",
      "s3",
      "s3://arn:aws:s3:eu-west-2:1:accesspoint/b/x",
    ],
    [
      "type: s3, bucket: 'arn:aws:s3:eu-west-2:1:accesspoint/b/p', path: x",
      "s3",
      "s3://arn:aws:s3:eu-west-2:1:accesspoint/b/p/x",
    ],
    ["url: gs://b/app", "gs", "gs://b/app"],
    ["url: abs://account@c/app", "abs", "abs://c/app"],
    ["url: 'sftp://u:p@h:2222/app'", "sftp", "sftp://h:2222/app"],
    ["url: 'webdavs://u:p@h/app'", "webdav", "https://h/app"],
    ["type: webdav, webdav-url: 'https://u:p@h/dav', path: /app", "webdav", "https://h/dav/app"],
    ["url: 'nats://u:p@h:4222/app'", "nats", "nats://h:4222/app"],
    ["url: oss://b/app", "oss", "oss://b/app"],
  ])("a replica of %s is a %s at %s", (replica, type, name) => {
    expect(database({ replica }).replica).toMatchObject({ type, name });
  });

  test("a replica inherits what the top level says, but for what is its own", () => {
    const top = `
access-key-id: A
secret-access-key: B
region: eu
endpoint: http://h:9000
skip-verify: true
force-path-style: false
sign-payload: false
part-size: 5MiB
concurrency: 3
host-key: ssh-ed25519 AA
webdav-url: https://h
webdav-username: u
webdav-password: p
sync-interval: 2s
timeout: 3s
root-cas: [~/ca.pem]`;
    const { keys } = database({ top, replica: "type: s3, bucket: b, path: x, region: us" }).replica;
    expect(keys).toEqual({
      type: "s3",
      bucket: "b",
      path: "x",
      "access-key-id": "A",
      "secret-access-key": "B",
      region: "us",
      endpoint: "http://h:9000",
      "skip-verify": true,
      "force-path-style": false,
      "sign-payload": false,
      "sync-interval": "2000ms",
      timeout: "3000ms",
      "root-cas": [join(homedir(), "ca.pem")],
    });
  });

  test("a replica that has a URL inherits neither bucket nor host", () => {
    const top = "bucket: other\nhost: other";
    expect(database({ top, replica: "url: s3://b/x" }).replica.name).toBe("s3://b/x");
    expect(database({ top, replica: "type: s3, path: x" }).replica.name).toBe("s3://other/x");
  });

  test("replicas of several kinds share one top level, and TLS of a replica goes first", () => {
    const text = `
root-cas: [/ca.pem]
tls: true
username: all
dbs:
  - {path: /a.db, replica: {url: nats://h/a}}
  - {path: /b.db, replica: {url: nats://h/b, root-cas: [/other.pem], tls: false, username: b}}
  - {path: /c.db, replica: {url: gs://b/c}}
  - {path: /d.db, replica: {path: /backup/d}}
`;
    const keys = config(text).databases.map(({ replica }) => replica.keys);
    expect(keys[0]).toMatchObject({ "root-cas": ["/ca.pem"], tls: true, username: "all" });
    expect(keys[1]).toMatchObject({ "root-cas": ["/other.pem"], tls: false, username: "b" });
  });

  test("replicas, which is deprecated, is taken, with further ones as with pagestream.replicas", () => {
    const text = (list: string) => `dbs: [{path: /a.db, replicas: [${list}]}]`;
    expect(config(text("{path: /b}")).databases[0]).toMatchObject({
      replica: { name: "/b" },
      otherReplicas: [],
    });
    const several = config(text("{path: /b, name: x}, {path: /c}"));
    expect(several.databases[0]?.otherReplicas).toMatchObject([{ name: "/c" }]);
    expect(several.notices.map(({ key }) => key)).toEqual([
      "dbs[/a.db].replicas",
      "dbs[/a.db].replicas[0].name",
    ]);
    expect(refusal(text("{path: /b}, {path: /c, sync-interval: 0s}"))).toContain(
      "dbs[/a.db].replicas[1].sync-interval: sync interval must be greater than 0 (got 0s)",
    );
  });

  test("replicas are encrypted with the keys that pagestream names", async () => {
    const key = join(folder, "key");
    writeFileSync(key, new Uint8Array(32).fill(7));
    const text = (keys: string) =>
      one({
        top: `pagestream: {encryption-keys: ${keys}, encryption-context: app}`,
        replica: `path: ${folder}/enc`,
      });
    const [{ replica }] = config(text(`[2026=${key}]`)).databases as [DatabaseConfig];
    expect(replica).toMatchObject({ encryptionKeys: [`2026=${key}`], encryptionContext: "app" });
    const store = await storeOf(replica);
    await store.put("ltx/0/x", new TextEncoder().encode("plain text"));
    expect(readFileSync(join(folder, "enc/ltx/0/x"), "latin1")).not.toContain("plain text");
    expect(refusal(text("[2026]"))).toContain("pagestream.encryption-keys: an entry is no ID=PATH");
  });

  test("Config.database() gives a database that is registered at run time all defaults", () => {
    const read = config(`
access-key-id: A
secret-access-key: B
sync-interval: 3s
l0-retention: 1m
pagestream: {wal-limit: 1MiB, lease: false}
`);
    expect(read.database("x.db", "s3://b/x?region=eu")).toMatchObject({
      path: join(process.cwd(), "x.db"),
      metaPath: join(process.cwd(), ".x.db-pagestream"),
      replica: { name: "s3://b/x", keys: { "access-key-id": "A" } },
      walLimit: 1_048_576,
      options: { groupMs: 3000, l0RetentionMs: 60_000, lease: false },
    });
    expect(read.database("/x.db", "/backup").replica).toMatchObject({ type: "file" });
    expect(() => read.database("/x.db", "ftp://h/x")).toThrow("ftp:// is no store that is known");
  });
});

describe("the directories of a configuration", () => {
  const dir = join(folder, "tenants");
  const file = (path: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), "SQLite format 3\0 and more");
  };
  for (const path of ["a.db", "eu/a.db", "eu/b c#ü.db"]) file(path);

  const members = (replica: string, more = ""): DatabaseConfig[] => {
    const text = `dbs: [{dir: "${dir}", pattern: "*.db", recursive: true, ${more} replica: {${replica}}}]`;
    return [...(config(text).directories[0]?.members() ?? [])];
  };
  const names = (replica: string): string[] => members(replica).map((each) => each.replica.name);

  test("the directories of a configuration give every member a replica of its own", () => {
    expect(names("path: /backup")).toEqual([
      "/backup/a.db",
      "/backup/eu/a.db",
      "/backup/eu/b c#ü.db",
    ]);
    const inS3 = ["s3://b/x/a.db", "s3://b/x/eu/a.db", "s3://b/x/eu/b c#ü.db"];
    expect(names("url: 's3://b/x?region=eu'")).toEqual(inS3);
    expect(names("url: s3://b/x/")).toEqual(inS3);
    expect(names("type: s3, bucket: b, path: x/")).toEqual(inS3);
    expect(names("type: s3, bucket: b")[0]).toBe("s3://b/a.db");
    expect(names("url: s3://b")[0]).toBe("s3://b/a.db");
    expect(names("url: file:///backup")[1]).toBe("/backup/eu/a.db");
    const { keys } = members("url: 's3://b/x?region=eu'")[2]?.replica ?? {};
    expect(keys?.url).toBe("s3://b/x/eu/b%20c%23%C3%BC.db?region=eu");
  });

  test("the directories of a configuration extend all replicas of a list", () => {
    const text = `dbs: [{dir: "${dir}", pattern: a.db, replicas: [{path: /x}, {url: gs://b/y}]}]`;
    expect(config(text).directories[0]?.members()).toMatchObject([
      { replica: { name: "/x/a.db" }, otherReplicas: [{ name: "gs://b/y/a.db" }] },
    ]);
  });

  test("the directories of a configuration keep the states of members apart", () => {
    const states = (more: string) => members("path: /b", more).map(({ metaPath }) => metaPath);
    expect(states("")[1]).toBe(join(dir, "eu", ".a.db-pagestream"));
    expect(states("meta-path: /meta,")).toEqual([
      "/meta/.a.db-pagestream",
      "/meta/eu/.a.db-pagestream",
      "/meta/eu/.b c#ü.db-pagestream",
    ]);
    expect(states("meta-dir: ~/meta,")[1]).toBe(join(homedir(), "meta/eu/a.db-pagestream"));
  });

  test("the directories of a configuration may be empty only where they are watched", () => {
    const text = (more: string) =>
      config(`dbs: [{dir: "${dir}", pattern: "*.none", ${more} replica: {path: /b}}]`);
    expect(() => text("").directories[0]?.members()).toThrow(
      `no SQLite databases found in directory ${dir} with pattern *.none. Set watch: true to wait for some`,
    );
    expect(text("watch: true,").directories[0]).toMatchObject({ watch: true, recursive: false });
    expect(text("watch: true,").directories[0]?.members()).toEqual([]);
    const absent = `dbs: [{dir: "${dir}/none", pattern: x, replica: {path: /b}}]`;
    expect(() => config(absent).directories[0]?.members()).toThrow("(ENOENT)");
  });

  test("the directories of a configuration know a member by its path", () => {
    const text = `dbs: [{dir: "${dir}", pattern: "*.db", watch: true, replica: {path: /b}}]`;
    const [directory] = config(text).directories;
    expect(directory?.memberAt(join(dir, "a.db"))?.replica.name).toBe("/b/a.db");
    for (const path of ["eu/a.db", "a.db-wal", "none.db"]) {
      expect(directory?.memberAt(join(dir, path))).toBeUndefined();
    }
  });

  test("the directories of a configuration are refused with a bucket of NATS, which holds one database", () => {
    const text = `dbs: [{dir: "${dir}", pattern: "*.db", replica: {url: nats://h/b}}]`;
    expect(refusal(text)).toContain("a bucket of NATS holds one database at its root");
  });
});

describe("snapshot keys", () => {
  const text = (...dbs: string[]): string =>
    `dbs: [${dbs.map((db, i) => `{path: /${i}.db, ${db}, replica: {path: /b${i}}}`).join(", ")}]`;
  const snapshot = (yaml: string) => config(yaml).databases.map(({ options }) => options.snapshot);

  test("snapshot keys of a database count for all databases", () => {
    const [a, b] = snapshot(text("snapshot: {interval: 1h}", "snapshot: {retention: 2h}"));
    expect(a).toEqual({ intervalMs: 3_600_000, retentionMs: 7_200_000 });
    expect(b).toEqual(a);
  });

  test("snapshot keys of the top level go first", () => {
    const yaml = `snapshot: {interval: 5h}\n${text("snapshot: {interval: 1h, retention: 2h}", "snapshot: {interval: 2h}")}`;
    expect(snapshot(yaml)[0]).toEqual({ intervalMs: 18_000_000, retentionMs: 7_200_000 });
  });

  test("snapshot keys that are empty or absent leave the defaults", () => {
    for (const top of ["snapshot:", "snapshot: {}", "snapshot: {interval: }"]) {
      expect(snapshot(`${top}\n${text("busy-timeout: 1s")}`)).toEqual([
        { intervalMs: 86_400_000, retentionMs: 86_400_000 },
      ]);
    }
  });

  test("snapshot keys of two databases have to agree", () => {
    expect(refusal(text("snapshot: {interval: 1h}", "snapshot: {interval: 2h}"))).toContain(
      "dbs[/1.db].snapshot.interval: conflicting database snapshot intervals: /0.db has 1h, /1.db has 2h",
    );
    expect(snapshot(text("snapshot: {interval: 1h}", "snapshot: {interval: 60m}"))).toHaveLength(2);
  });

  test("snapshot keys of Litestream 0.3 count for their database, unless those of 0.5 are there", () => {
    const old = "retention: 48h, snapshot-interval: 12h";
    const yaml = `dbs: [{path: /a.db, replicas: [{path: /b, ${old}}]}, {path: /c.db, replica: {path: /d}}]`;
    expect(snapshot(yaml)).toEqual([
      { intervalMs: 43_200_000, retentionMs: 172_800_000 },
      { intervalMs: 86_400_000, retentionMs: 86_400_000 },
    ]);
    expect(snapshot(`snapshot: {retention: 24h}\n${yaml}`)[0]).toEqual({
      intervalMs: 43_200_000,
      retentionMs: 86_400_000,
    });
  });
});

describe("what a configuration is refused for", () => {
  test.each([
    [
      "levels: [{interval: 0s}]",
      "line 1: levels[0].interval: compaction interval must be greater than 0 (got 0s)",
    ],
    [
      "levels: [{interval: 1s}, {interval: -1s}]",
      "levels[1].interval: compaction interval must be greater than 0 (got -1s)",
    ],
    ["levels: [{}]", "levels[0].interval: compaction interval must be greater than 0 (got 0s)"],
    [`levels: [${"{interval: 1s}, ".repeat(9)}]`, "levels: there are 9 levels, and 8 are the most"],
    [
      "snapshot: {interval: 0s}",
      "snapshot.interval: snapshot interval must be greater than 0 (got 0s)",
    ],
    [
      "snapshot: {retention: 0s}",
      "snapshot.retention: snapshot retention must be greater than 0 (got 0s)",
    ],
    ["snapshot: {retention: -1s}", "snapshot retention must be greater than 0 (got -1s)"],
    [
      one({ db: "snapshot: {interval: 0s}" }),
      "dbs[/data/app.db].snapshot.interval: snapshot interval must be greater than 0 (got 0s)",
    ],
    ["l0-retention: -1s", "l0-retention: l0 retention must not be negative (got -1s)"],
    [
      "l0-retention-check-interval: 0s",
      "l0-retention-check-interval: l0 retention check interval must be greater than 0 (got 0s)",
    ],
    [
      "validation: {interval: 0s}",
      "validation.interval: validation interval must be greater than 0 (got 0s)",
    ],
    ["heartbeat-url: ftp://x", "heartbeat-url: heartbeat URL must be a valid HTTP or HTTPS URL"],
    [
      "heartbeat-interval: 59s",
      "heartbeat-interval: heartbeat interval must be at least 1 minute (got 59s)",
    ],
    [
      "shutdown-sync-timeout: -1s",
      "shutdown-sync-timeout: shutdown-sync-timeout must be >= 0 (got -1s)",
    ],
    [
      "shutdown-sync-interval: 0s",
      "shutdown-sync-interval: shutdown sync interval must be greater than 0 (got 0s)",
    ],
    [
      one({ replica: "path: /b, sync-interval: 0s" }),
      "dbs[/data/app.db].replica.sync-interval: sync interval must be greater than 0 (got 0s)",
    ],
    [
      one({ replica: "path: /b, sync-interval: -1s" }),
      "sync interval must be greater than 0 (got -1s)",
    ],
    [
      "sync-interval: ten",
      "line 1: sync-interval: its value is no duration, such as 10s or 1h30m (got ten)",
    ],
    ["sync-interval: 10", "sync-interval: its value is no duration, such as 10s or 1h30m (got 10)"],
    ["max-sync-ltx-files: -1", "max-sync-ltx-files: its value must be 0 or more (got -1)"],
    ["logging: {type: xml}", "logging.type: its value is none of text, json, pretty (got xml)"],
    [
      "logging: {level: loud}",
      "logging.level: its value is none of trace, debug, info, warn, error (got loud)",
    ],
    [
      "socket: {permissions: 600}",
      "socket.permissions: its value is no mode in octal digits, such as 0600 (got 600)",
    ],
    ["addr: 9090", "addr: its value is no host:port, such as :9090 (got 9090)"],
    [
      "verify-compaction: maybe",
      "verify-compaction: its value is neither true nor false (got maybe)",
    ],
    ["mcp-addr: ':3001'", "mcp-addr: there is no MCP server"],
    [
      "pagestream: {requests-per-hour: 5}",
      "pagestream.requests-per-hour: its value must be 60 or more (got 5)",
    ],
    [
      "pagestream: {on-behind: catchup}",
      "pagestream.on-behind: its value is none of refuse, adopt (got catchup)",
    ],
    [
      "pagestream: {staging-bytes: 0}",
      "pagestream.staging-bytes: its value must be greater than 0 (got 0)",
    ],
    ["dbs: [{path: /a.db, dir: /a}]", "database config #1: cannot specify both 'path' and 'dir'"],
    ["dbs: [{pattern: x}]", "database config #1: must specify either 'path' or 'dir'"],
    [
      "dbs: [{dir: /a, replica: {path: /b}}]",
      "database config #1: 'pattern' is required when using 'dir'",
    ],
    [
      one({ db: "watch: true" }),
      "database config #1: 'watch' can only be enabled with a directory",
    ],
    [
      one({ db: "recursive: true" }),
      "database config #1: 'recursive' can only be enabled with a directory",
    ],
    [
      one({ db: "meta-dir: /m" }),
      "database config #1: 'meta-dir' can only be used with a directory",
    ],
    [
      "dbs: [{dir: /a, pattern: x, meta-dir: /m, meta-path: /n}]",
      "cannot specify both 'meta-path' and 'meta-dir'",
    ],
    [
      "dbs: [{dir: /a, pattern: '[', replica: {path: /b}}]",
      "dbs[/a].pattern: syntax error in pattern",
    ],
    ["dbs: [{path: /a.db}]", "database config #1: must specify replica for database"],
    [
      one({ db: "replicas: [{path: /c}]" }),
      "cannot specify 'replica' and 'replicas' on a database",
    ],
    ["dbs: {path: /a.db}", "dbs: its value is no list of databases"],
    ["dbs: [text]", "dbs[0]: its value is no mapping of keys"],
    ["- a\n- b", "line 1: it is no mapping of keys"],
    [
      one({ replica: "path: s3://b/x" }),
      "dbs[/data/app.db].replica.path: it is a URL. Give it as url",
    ],
    [
      one({ replica: "url: s3://b/x, path: y" }),
      "replica.path: cannot specify url & path for a replica",
    ],
    [
      one({ replica: "url: s3://b/x, bucket: y" }),
      "replica.bucket: cannot specify url & bucket for a replica",
    ],
    [one({ replica: "url: sftp://u@h/x, host: y" }), "replica.host: cannot specify url & host"],
    [
      one({ replica: "url: webdav://h/x, webdav-url: http://h" }),
      "replica.webdav-url: cannot specify url & webdav-url",
    ],
    [one({ replica: "type: s3, path: x" }), "replica.bucket: bucket required for s3 replica"],
    [
      one({ replica: "type: sftp, user: u, path: x" }),
      "replica.host: host required for sftp replica",
    ],
    [
      one({ replica: "type: s4, bucket: b" }),
      'replica.type: "s4" is no type of replica. Did you mean s3',
    ],
    [one({ replica: "url: https://h/x" }), "replica.url: a web server takes no files"],
    [
      one({ replica: "url: gcs://b/x" }),
      "gcs:// is no store that is known. Write gs:// instead of gcs://",
    ],
    [
      one({ replica: "url: nats://h/x, client-cert: /c" }),
      "replica.client-key: client-cert and client-key must be given together",
    ],
    [
      one({ replica: "type: s3, bucket: b, path: x, concurrency: 0" }),
      "replica.concurrency: its value is no whole number that fits",
    ],
    [
      one({ replica: "type: s3, bucket: b, path: x, part-size: 5XB" }),
      "replica.part-size: its value is no size, such as 64MiB or 1000000 (got 5XB)",
    ],
    [
      one({ replica: "path: /b, age: {identities: [x]}" }),
      "replica.age: Litestream 0.5 encrypts with age no more",
    ],
    [
      one({ replica: "path: /b, age: {recipients: [x]}" }),
      "replica.age: Litestream 0.5 encrypts with age no more",
    ],
    [one({ replica: "path: /b, age: {identities: [x], recipients: [y]}" }), "replica.age:"],
    [one({ replica: "path: /b, age: yes" }), "replica.age:"],
    ["age: {recipients: [x]}", "line 1: age:"],
    [`${one({})}addr: x\n`, "line 3: addr:"],
  ])("%j is refused: %s", (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  test("age that holds nothing is accepted", () => {
    for (const age of ["age:", "age: {}", "age: {identities: []}"]) {
      expect(database({ replica: `path: /b, ${age}` }).replica.name).toBe("/b");
    }
  });

  test("two databases may share neither file, nor state, nor replica", () => {
    const pair = (a: string, b: string) => refusal(`dbs: [{${a}}, {${b}}]`);
    expect(
      pair("path: /a.db, replica: {path: /b}", "path: /x/../a.db, replica: {path: /c}"),
    ).toContain("dbs[/x/../a.db]: the database is there twice: /a.db");
    expect(
      pair(
        "path: /a.db, meta-path: /m, replica: {path: /b}",
        "path: /c.db, meta-path: /m, replica: {path: /d}",
      ),
    ).toContain("meta-path collision: it shares its state with /a.db");
    expect(pair("path: /a.db, replica: {path: /b}", "path: /c.db, replica: {path: /b/}")).toContain(
      "dbs[/c.db]: it shares a replica with /a.db",
    );
    const other = "pagestream: {replicas: [{path: /b}]}";
    expect(refusal(one({ db: other, replica: "path: /b" }))).toContain(
      "two of its replicas are the same",
    );
  });

  test.each([
    ["addr: a: b", 1],
    ["dbs:\n\t- path: x", 2],
    ["exec: 'open\n", 2],
    ["addr: ':1'\naddr: ':2'", 2],
    ["dbs: [{path: a", 1],
  ])("text that is no YAML is refused without showing it: %j", (text, line) => {
    const message = refusal(text);
    expect(message).toContain(`Cannot use the configuration /etc/litestream.yml: `);
    expect(message).toContain(`line ${line}`);
  });

  test("aliases that lead nowhere, or to gigabytes, are refused", () => {
    const bomb = `x-a: &a [x, x, x, x, x, x, x, x, x]\n${"bcdefghi"
      .split("")
      .map((name, i) => `x-${name}: &${name} [${`*${"abcdefgh"[i]}, `.repeat(9)}]\n`)
      .join("")}`;
    for (const text of ["exec: *none", bomb]) {
      expect(refusal(text)).toContain("an alias names no anchor, or there are too many aliases");
    }
  });

  test("everything that is wrong is told at once, in the order of the file", () => {
    try {
      config("addr: x\nmonitor: 1\nlevels: [{interval: 0s}]\n");
      expect.unreachable();
    } catch (error) {
      const { problems } = error as ConfigError;
      expect(problems.map(({ line, key }) => [line, key])).toEqual([
        [1, "addr"],
        [2, "monitor"],
        [3, "levels[0].interval"],
      ]);
    }
  });

  test("lines are those of the file, whatever variables became", () => {
    const text = "exec: $LINES\nheartbeat-interval: 1s\n";
    expect(refusal(text, { LINES: '"a\n\n\n  b"' })).toContain("line 2: heartbeat-interval");
  });
});

describe("keys that do not exist", () => {
  test.each([
    ["adr: ':1'", "adr: there is no such key here. Did you mean addr"],
    [
      "heartbeat_url: https://x",
      "heartbeat_url: there is no such key here. Did you mean heartbeat-url",
    ],
    ["logging: {lvl: info}", "logging.lvl: there is no such key here. Did you mean level"],
    [
      one({ db: "busytimeout: 1s" }),
      "dbs[/data/app.db].busytimeout: there is no such key here. Did you mean busy-timeout",
    ],
    [
      one({ replica: "path: /b, sync-intervall: 1s" }),
      "replica.sync-intervall: there is no such key here. Did you mean sync-interval",
    ],
    [one({ db: "repilcas:" }), "repilcas: there is no such key here. Did you mean replicas"],
    ["pagestream: {grop: 1s}", "pagestream.grop: there is no such key here. Did you mean group"],
    ["qqqqqqqqqq: 1", "qqqqqqqqqq: there is no such key here"],
    ["path: /a.db", "path: there is no such key here"],
  ])("%j is refused: %s", (text, message) => {
    expect(refusal(text)).toContain(message);
  });
});

describe("the notices of a configuration", () => {
  test.each([
    [one({ db: "monitor-interval: 1s" }), "dbs[/data/app.db].monitor-interval", /nothing polls/],
    [one({ db: "checkpoint-interval: 1m" }), "dbs[/data/app.db].checkpoint-interval", /wal-limit/],
    [
      one({ db: "min-checkpoint-page-count: 10" }),
      "dbs[/data/app.db].min-checkpoint-page-count",
      /wal-limit/,
    ],
    [
      one({ db: "max-checkpoint-page-count: 10" }),
      "dbs[/data/app.db].max-checkpoint-page-count",
      /0\.3.*wal-limit/,
    ],
    [one({ db: "truncate-page-n: 0" }), "dbs[/data/app.db].truncate-page-n", /wal-limit/],
    [
      one({ db: "max-sync-wal-bytes: 1MiB" }),
      "dbs[/data/app.db].max-sync-wal-bytes",
      /group-bytes/,
    ],
    [one({ replica: "path: /b, name: x" }), "dbs[/data/app.db].replica.name", /no names/],
    [
      one({ replica: "path: /b, retention: 1h" }),
      "dbs[/data/app.db].replica.retention",
      /snapshot: \{retention/,
    ],
    [
      one({ replica: "path: /b, snapshot-interval: 1h" }),
      "dbs[/data/app.db].replica.snapshot-interval",
      /snapshot: \{interval/,
    ],
    [
      one({ replica: "path: /b, retention-check-interval: 1h" }),
      "dbs[/data/app.db].replica.retention-check-interval",
      /0\.3/,
    ],
    [
      one({ replica: "path: /b, validation-interval: 1h" }),
      "dbs[/data/app.db].replica.validation-interval",
      /validation: \{interval/,
    ],
    [
      one({ db: "pagestream: {replicas: [{path: /c, auto-recover: true}]}" }),
      "dbs[/data/app.db].pagestream.replicas[0].auto-recover",
      /rebuilt/,
    ],
    [
      one({ db: "pagestream: {replicas: [{path: /c, retention: 1h}]}" }),
      "dbs[/data/app.db].pagestream.replicas[0].retention",
      /first replica/,
    ],
    ["max-sync-ltx-files: 0", "max-sync-ltx-files", /staging-bytes/],
    ["verify-compaction: true", "verify-compaction", /always/],
    [one({ db: "busy-timeout: 1s" }), "dbs[/data/app.db].busy-timeout", /waits for a lock/],
    ["max-reconnects: -1", "max-reconnects", /never ends/],
    ["reconnect-wait: 1s", "reconnect-wait", /pauses/],
    ["sign-accept-encoding: true", "sign-accept-encoding", /header/],
  ])("%j has a notice at %s", (text, key, message) => {
    const { notices } = config(text);
    expect(notices).toMatchObject([{ key, message: expect.stringMatching(message) }]);
    expect(notices[0]?.line).toBeGreaterThan(0);
  });

  test("a variable that is not set is told, by its line alone, and not in a comment", () => {
    const text = "# $COMMENT\nexec: a$1 # and $THIS\naddr: ':1' # $THAT\n";
    expect(config(text).notices).toMatchObject([{ kind: "warning", key: "", line: 2 }]);
    expect(config(text).notices[0]?.message).not.toContain("1");
  });
});
