import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { parseReplicaConfig } from "./replica-config.ts";
import type { ReplicaConfig } from "./replica-config-keys.ts";

function parsed(config: ReplicaConfig): object {
  return Object.fromEntries(
    Object.entries(parseReplicaConfig(config)).filter(([, value]) => value !== undefined),
  );
}

function refusal(config: object): string {
  try {
    parseReplicaConfig(config as ReplicaConfig);
  } catch (error) {
    if (isPagestreamError(error, "INVALID_ARGUMENT")) return error.message;
    throw error;
  }
  return "accepted";
}

const ARN = "arn:aws:s3:eu-west-2:123456789012:accesspoint/backups";

describe("parseReplicaConfig()", () => {
  test.each<[ReplicaConfig, object]>([
    [{ path: "/backup" }, { type: "file", path: "/backup" }],
    [{ url: "file:///backup" }, { type: "file", path: "/backup" }],
    [
      { type: "s3", bucket: "b", path: "/db/" },
      { type: "s3", bucket: "b", path: "db" },
    ],
    [
      { type: "s3", bucket: ARN, path: "db" },
      { type: "s3", bucket: ARN, path: "db" },
    ],
    [
      { type: "s3", bucket: `${ARN}/prefix`, path: "db" },
      { type: "s3", bucket: ARN, path: "prefix/db" },
    ],
    [
      { type: "gs", bucket: "b", path: "db" },
      { type: "gs", bucket: "b", path: "db" },
    ],
    [
      { type: "abs", bucket: "c", path: "db", "account-name": "a", "sas-token": "?sv=1" },
      { type: "abs", container: "c", path: "db", accountName: "a", sasToken: "sv=1" },
    ],
    [
      {
        url: "abs://a@c/db",
        "account-name": "other",
        "account-key": "a2V5",
        endpoint: "https://e",
      },
      {
        type: "abs",
        container: "c",
        path: "db",
        accountName: "other",
        accountKey: "a2V5",
        endpoint: "https://e",
      },
    ],
    [
      {
        type: "sftp",
        host: "h:2222",
        user: "u",
        path: "/db",
        "key-path": "/k",
        "host-key": "ssh-ed25519 AA",
      },
      {
        type: "sftp",
        host: "h",
        port: 2222,
        user: "u",
        path: "/db",
        keyPath: "/k",
        hostKey: "ssh-ed25519 AA",
      },
    ],
    [
      { url: "sftp://u@h/db", password: "p", "concurrent-writes": false },
      {
        type: "sftp",
        host: "h",
        port: 22,
        user: "u",
        path: "/db",
        password: "p",
        concurrentWrites: false,
      },
    ],
    [
      {
        type: "webdav",
        "webdav-url": "https://h/area",
        "webdav-username": "u",
        "webdav-password": "p",
        path: "/db",
      },
      { type: "webdav", url: "https://h/area", username: "u", password: "p", path: "/db" },
    ],
    [
      {
        url: "nats://h:4222/app",
        username: "u",
        password: "p",
        timeout: "1m500ms",
        "root-cas": ["/ca"],
      },
      {
        type: "nats",
        server: "nats://h:4222",
        bucket: "app",
        username: "u",
        password: "p",
        timeoutMs: 60_500,
        rootCas: ["/ca"],
      },
    ],
    [
      { type: "nats", host: "h", bucket: "app", jwt: "j", seed: "s" },
      { type: "nats", server: "nats://h", bucket: "app", jwt: "j", seed: "s" },
    ],
    [
      { type: "oss", bucket: "b", path: "db", region: "oss-cn-beijing", concurrency: 3 },
      { type: "oss", bucket: "b", path: "db", region: "cn-beijing", concurrency: 3 },
    ],
  ])("parseReplicaConfig() reads %o", (config, expected) => {
    expect(parsed(config)).toEqual(expected);
  });

  test("parseReplicaConfig() lets keys come before the query of a URL", () => {
    const url =
      "s3://b/db?endpoint=one.example&region=r1&forcePathStyle=false&signPayload=false&concurrency=2&part-size=6000000&storageClass=A";
    const config: ReplicaConfig = {
      url,
      endpoint: "two.example",
      region: "r2",
      "force-path-style": true,
      "sign-payload": true,
      "require-content-md5": false,
      concurrency: 9,
      "part-size": "8MiB",
      "storage-class": "B",
      "access-key-id": "id",
      "secret-access-key": "secret",
    };
    expect(parsed(config)).toEqual({
      type: "s3",
      bucket: "b",
      path: "db",
      endpoint: "https://two.example",
      region: "r2",
      forcePathStyle: true,
      signPayload: true,
      requireContentMD5: false,
      concurrency: 9,
      partSize: 8 * 1024 * 1024,
      storageClass: "B",
      accessKeyId: "id",
      secretAccessKey: "secret",
    });
    expect(parseReplicaConfig({ url, endpoint: "e.example" })).toMatchObject({
      forcePathStyle: false,
    });
  });

  test("parseReplicaConfig() turns path style on for an endpoint, unless told otherwise", () => {
    const place = { type: "s3", bucket: "b", path: "db", endpoint: "localhost:9000" };
    const there = { endpoint: "http://localhost:9000" };
    expect(parseReplicaConfig(place)).toMatchObject({ ...there, forcePathStyle: true });
    const no = { ...place, "force-path-style": false };
    expect(parseReplicaConfig(no)).toMatchObject({ ...there, forcePathStyle: false });
  });

  test.each<[string | number, number]>([
    [5_242_880, 5_242_880],
    ["5242880", 5_242_880],
    ["5MB", 5_000_000],
    ["5 MiB", 5_242_880],
    ["1.5GiB", 1_610_612_736],
    ["6m", 6_000_000],
    ["10kb", 10_000],
  ])("parseReplicaConfig() takes %s for %i bytes", (size, bytes) => {
    const config = { type: "s3", bucket: "b", path: "db", "part-size": size };
    expect(parseReplicaConfig(config)).toMatchObject({ partSize: bytes });
  });

  test.each<[object, RegExp]>([
    [{ url: "s3://b/db", path: "db" }, /key path: cannot specify url & path/],
    [{ url: "s3://b/db", bucket: "b" }, /key bucket: cannot specify url & bucket/],
    [{ url: "abs://b/db", bucket: "b" }, /cannot specify url & bucket/],
    [{ url: "sftp://u@h/db", host: "h" }, /cannot specify url & host/],
    [{ url: "webdav://h/db", "webdav-url": "http://h" }, /cannot specify url & webdav-url/],
    [{ type: "s3", path: "s3://b/db" }, /key path: it is a URL. Give it as url/],
    [{}, /key path: path required for file replica/],
    [{ type: "s3", path: "db" }, /key bucket: bucket required for s3 replica/],
    [{ type: "sftp", host: "h", path: "db" }, /key user: user required for sftp replica/],
    [{ type: "sftp", user: "u", path: "db" }, /key host: host required for sftp replica/],
    [{ type: "webdav", path: "db" }, /webdav-url required for webdav replica/],
    [{ type: "nats", bucket: "b" }, /key host: host required for nats replica/],
    [{ type: "sssh", path: "db" }, /"sssh" is no type of replica/],
    [{ type: "sf3", bucket: "b" }, /Did you mean s3/],
    [{ pth: "/x" }, /key "pth": there is no such key of a replica. Did you mean path/],
    [{ forcePathStyle: true }, /Did you mean force-path-style/],
    [{ qqqqqqqq: 1 }, /no such key of a replica$/],
    [{ toString: 1 }, /no such key of a replica/],
    [{ path: "/x", age: { recipients: ["a"] } }, /key age: Litestream encrypts with age no more/],
    [{ url: "nats://h/b", "client-cert": "/c" }, /key client-key: .*together/],
    [{ url: "nats://h/b", "client-key": "/c" }, /key client-cert: .*together/],
    [{ url: "s3://b/db", "access-key-id": "x" }, /key secret-access-key: .*together/],
    [{ url: "s3://b/db", "skip-verify": "yes" }, /key skip-verify: .*neither true nor false/],
    [{ url: "s3://b/db", concurrency: 0 }, /key concurrency: .*no whole number/],
    [{ url: "s3://b/db", "part-size": "big" }, /key part-size: .*Write it like 5MiB/],
    [{ url: "s3://b/db", "part-size": 0 }, /key part-size/],
    [{ url: "nats://h/b", timeout: "10" }, /key timeout: .*Write it like 10s/],
    [{ url: "nats://h/b", "root-cas": "/ca" }, /key root-cas: .*list/],
    [{ path: 5 }, /key path: its value is no text/],
  ])("parseReplicaConfig() refuses %o", (config, message) => {
    expect(refusal(config)).toMatch(message);
  });

  test("parseReplicaConfig() shows no value of a key", () => {
    const secrets = ["secret-access-key", "account-key", "password", "token", "sse-customer-key"];
    for (const key of secrets) {
      expect(refusal({ url: "s3://b/db", [key]: ["SECRET"] })).toMatch(`key ${key}`);
      expect(refusal({ url: "s3://b/db", [key]: ["SECRET"] })).not.toMatch("SECRET");
    }
    expect(refusal({ url: "sftp://u:SECRET@h:99999/db" })).not.toMatch("SECRET");
  });

  test("parseReplicaConfig() takes the keys of the replication and does not look at them", () => {
    const config: ReplicaConfig = {
      path: "/x",
      name: "old",
      "sync-interval": "1s",
      "max-sync-ltx-files": 0,
      "auto-recover": true,
      "validation-interval": "1h",
      "max-reconnects": -1,
      "reconnect-wait": "2s",
    };
    expect(parsed(config)).toEqual({ type: "file", path: "/x" });
  });
});
