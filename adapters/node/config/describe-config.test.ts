import { stringify } from "yaml";
import { isPagestreamError } from "pagestream";
import { describe, expect, test } from "vitest";
import { canary, leaks } from "../../../test/helpers/canaries.ts";
import { describeConfig } from "./describe-config.ts";
import { parseConfig } from "./load-config.ts";
import { schemaKeys } from "./schema.ts";

/** Keys that hold secrets, each with a replica that takes it. */
const CREDENTIALS: Readonly<Record<string, string>> = {
  "access-key-id": "type: s3, bucket: b, path: x, secret-access-key: y",
  "secret-access-key": "type: s3, bucket: b, path: x, access-key-id: y",
  "sse-customer-key": "type: s3, bucket: b, path: x",
  "account-key": "type: abs, bucket: b, path: x, account-name: a",
  "sas-token": "type: abs, bucket: b, path: x, account-name: a",
  password: "type: sftp, host: h, user: u, path: x",
  "webdav-password": "type: webdav, webdav-url: https://h, path: x",
  jwt: "type: nats, host: h, bucket: b",
  seed: "type: nats, host: h, bucket: b",
  token: "type: nats, host: h, bucket: b",
  nkey: "type: nats, host: h, bucket: b",
};

function parsed(text: string, env: Readonly<Record<string, string>> = {}) {
  return parseConfig(text, { file: "/etc/litestream.yml", env });
}

function refusal(text: string, env: Readonly<Record<string, string>> = {}): Error {
  try {
    parsed(text, env);
  } catch (error) {
    if (isPagestreamError(error, "CONFIG")) return error;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

describe("describeConfig()", () => {
  test("describeConfig() gives back what was said, in the keys it was said in", () => {
    const text = `
addr: ":9090"
levels:
  - interval: 10s
dbs:
  - path: /data/app.db
    replica:
      url: s3://b/x?endpoint=http://h:9000&region=eu
      timeout: 90s
    pagestream:
      group: 50ms
      wal-limit: 1MiB
`;
    expect(describeConfig(parsed(text))).toMatchObject({
      addr: ":9090",
      socket: { enabled: false, path: "/var/run/litestream.sock", permissions: "0600" },
      "shutdown-sync-timeout": "30s",
      dbs: [
        {
          path: "/data/app.db",
          "meta-path": "/data/.app.db-pagestream",
          levels: [{ interval: "10s" }],
          snapshot: { interval: "24h", retention: "24h" },
          "l0-retention": "5m",
          replica: {
            type: "s3",
            url: "s3://b/x?endpoint=http://h:9000&region=eu",
            timeout: "1m30s",
          },
          pagestream: { group: "50ms", "wal-limit": 1_048_576 },
        },
      ],
    });
  });

  test("describeConfig() gives a text that means the same again", () => {
    const text = `
socket: {enabled: true, permissions: 0660}
snapshot: {interval: 1h}
dbs:
  - path: /data/app.db
    replica: {path: /backup/app}
    pagestream: {lease: false, replicas: [{path: /other}]}
`;
    const first = describeConfig(parsed(text));
    // Levels are shown with each database, where no configuration has them.
    const {
      levels,
      "l0-retention": l0,
      "l0-retention-check-interval": check,
      retention,
      ...db
    } = (first["dbs"] as Record<string, unknown>[])[0] as Record<string, unknown>;
    const common = { levels, "l0-retention": l0, "l0-retention-check-interval": check, retention };
    const { "meta-path": _, ...database } = db;
    const again = parsed(stringify({ ...first, ...common, dbs: [database] }));
    expect(describeConfig(again)).toEqual(first);
  });

  test("describeConfig() shows no secret: masked is every key that is not known to hold none", () => {
    for (const [key, replica] of Object.entries(CREDENTIALS)) {
      const secret = canary(key);
      const text = `dbs: [{path: /a.db, replica: {${replica}, ${key}: $SECRET}}]`;
      const config = parsed(text, { SECRET: JSON.stringify(secret) });
      const shown = describeConfig(config);
      expect([key, leaks(shown, [secret]), leaks(JSON.stringify(shown), [secret])]).toEqual([
        key,
        [],
        [],
      ]);
      expect(stringify(shown)).toContain(`${key}: "***"`);
      expect(leaks(config.databases[0]?.replica.name, [secret])).toEqual([]);
    }
  });

  test("describeConfig() shows no secret of an address or a command line", () => {
    const secret = canary("address");
    const encoded = encodeURIComponent(secret);
    const urls = [
      `sftp://user:${encoded}@h/x`,
      `webdav://user:${encoded}@h/x`,
      `nats://user:${encoded}@h/x`,
      `s3://b/x?endpoint=http://user:${encoded}@h`,
    ];
    for (const url of urls) {
      const config = parsed(`
exec: app --token "${secret}"
heartbeat-url: https://h/${encoded}
dbs: [{path: /a.db, replica: {url: "${url}"}}]`);
      expect([url, leaks(describeConfig(config), [secret])]).toEqual([url, []]);
      expect(leaks(config.databases[0]?.replica.name, [secret])).toEqual([]);
    }
    const dav = `webdav-url: "https://user:${encoded}@h/dav", type: webdav, path: x`;
    const config = parsed(`dbs: [{path: /a.db, replica: {${dav}}}]`);
    expect(leaks([describeConfig(config), config.databases[0]?.replica.name], [secret])).toEqual(
      [],
    );
  });
});

describe("the errors of a configuration", () => {
  test("the errors of a configuration show no secret, wherever it stands and whatever is wrong with it", () => {
    for (const key of Object.keys(CREDENTIALS)) {
      const secret = canary(key);
      const env = { SECRET: JSON.stringify(secret) };
      const bad = [
        `dbs: [{path: /a.db, replica: {type: s3, ${key}: [$SECRET]}}]`,
        `dbs: [{path: /a.db, replica: {type: s3, ${key}: {x: $SECRET}}}]`,
        `dbs: [{path: /a.db, replica: {type: s3, ${key}x: $SECRET}}]`,
        `dbs: [{path: /a.db, replica: {type: none, ${key}: $SECRET}}]`,
        `dbs: [{path: /a.db, ${key}: $SECRET, replica: {path: /b}}]`,
        `${key}: [$SECRET]`,
        `${key}: $SECRET: x`,
        `${key}: $SECRET\n  indented: x`,
        `pagestream: {${key}: $SECRET}`,
      ];
      for (const text of bad) {
        const error = refusal(text, env);
        expect([text, leaks(error, [secret])]).toEqual([text, []]);
      }
    }
  });

  test("the errors of a configuration show no address", () => {
    const secret = canary("url");
    const encoded = encodeURIComponent(secret);
    for (const url of [
      `sftp://user:${encoded}@h:99999/x`,
      `ftp://user:${encoded}@h/x`,
      `s3://user:${encoded}@b/x`,
      `s3://b/x?secret=${encoded}`,
      `https://user:${encoded}@h/x`,
    ]) {
      const error = refusal(`dbs: [{path: /a.db, replica: {url: "${url}"}}]`);
      expect([url, leaks(error, [secret])]).toEqual([url, []]);
    }
    const heartbeat = refusal(`heartbeat-url: "ftp://h/${encoded}"`);
    expect(leaks(heartbeat, [secret])).toEqual([]);
  });

  test("every key of a replica that the schema has is known to be a secret, or shown", () => {
    const keys = schemaKeys().flatMap((key) => /^dbs\[\]\.replica\.([\w-]+)$/.exec(key)?.[1] ?? []);
    const hidden = Object.keys(CREDENTIALS).filter((key) => !keys.includes(key));
    expect(hidden).toEqual([]);
    const suspicious = keys.filter((key) => /secret|password|token|seed|jwt|-key$/.test(key));
    const paths = ["client-key", "host-key"];
    expect(suspicious.filter((key) => !(key in CREDENTIALS) && !paths.includes(key))).toEqual([]);
  });
});
