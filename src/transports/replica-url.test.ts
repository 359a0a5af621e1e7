import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import type { ReplicaSettings } from "./replica-settings.ts";
import { isReplicaUrl, parseReplicaUrl, type ParseReplicaUrlOptions } from "./replica-url.ts";

/** What a URL says, without what it does not. */
function parsed(url: string, options?: ParseReplicaUrlOptions): object {
  return Object.fromEntries(
    Object.entries(parseReplicaUrl(url, options)).filter(([, value]) => value !== undefined),
  );
}

function refusal(url: string, options?: ParseReplicaUrlOptions): string {
  try {
    parseReplicaUrl(url, options);
  } catch (error) {
    if (isPagestreamError(error, "INVALID_ARGUMENT")) return error.message;
    throw error;
  }
  return "accepted";
}

const config = { form: "config" } as const;
const S3 = { type: "s3", path: "db" };
const ARN = "arn:aws:s3:eu-west-2:123456789012:accesspoint/backups";

describe("parseReplicaUrl()", () => {
  test.each<[string, object]>([
    ["s3://backups/db", { ...S3, bucket: "backups" }],
    ["s3://backups.s3.amazonaws.com/db", { ...S3, bucket: "backups" }],
    [
      "s3://backups.s3.eu-west-1.amazonaws.com/db",
      { ...S3, bucket: "backups", region: "eu-west-1" },
    ],
    [
      "s3://with.dots.s3.eu-west-1.amazonaws.com/db",
      { ...S3, bucket: "with.dots", region: "eu-west-1" },
    ],
    [
      "s3://backups.localhost:9000/db",
      {
        ...S3,
        bucket: "backups",
        region: "us-east-1",
        endpoint: "http://localhost:9000",
        forcePathStyle: true,
      },
    ],
    [
      "s3://backups.minio.example.org:9000/db",
      {
        ...S3,
        bucket: "backups",
        region: "us-east-1",
        endpoint: "http://minio.example.org:9000",
        forcePathStyle: true,
      },
    ],
    [
      "s3://backups.nyc3.digitaloceanspaces.com/db",
      {
        ...S3,
        bucket: "backups",
        region: "nyc3",
        endpoint: "https://nyc3.digitaloceanspaces.com",
        forcePathStyle: false,
      },
    ],
    [
      "s3://backups.s3.us-west-002.backblazeb2.com/db",
      {
        ...S3,
        bucket: "backups",
        region: "us-west-002",
        endpoint: "https://s3.us-west-002.backblazeb2.com",
        forcePathStyle: true,
      },
    ],
    [
      "s3://backups.s3.filebase.com/db",
      { ...S3, bucket: "backups", endpoint: "https://s3.filebase.com", forcePathStyle: true },
    ],
    [
      "s3://filebase.com/backups/db",
      { ...S3, bucket: "backups", endpoint: "https://s3.filebase.com", forcePathStyle: true },
    ],
    [
      "s3://backups.s3.fr-par.scw.cloud/db",
      {
        ...S3,
        bucket: "backups",
        region: "fr-par",
        endpoint: "https://s3.fr-par.scw.cloud",
        forcePathStyle: false,
      },
    ],
    [`s3://${ARN}/db`, { ...S3, bucket: ARN, region: "eu-west-2" }],
    [`s3://${ARN}/db?region=us-east-2`, { ...S3, bucket: ARN, region: "us-east-2" }],
    [
      `S3://${ARN.replace("arn", "ARN")}`,
      { type: "s3", bucket: ARN.replace("arn", "ARN"), path: "", region: "eu-west-2" },
    ],
    ["s3://some.other.host/db", { ...S3, bucket: "some.other.host" }],
    ["gs://backups/a/b", { type: "gs", bucket: "backups", path: "a/b" }],
    [
      "abs://account@backups/db",
      { type: "abs", accountName: "account", container: "backups", path: "db" },
    ],
    ["abs://backups/db", { type: "abs", container: "backups", path: "db" }],
    ["oss://backups/db", { type: "oss", bucket: "backups", path: "db", region: "cn-hangzhou" }],
    [
      "oss://backups.oss-eu-central-1.aliyuncs.com/db",
      { type: "oss", bucket: "backups", path: "db", region: "eu-central-1" },
    ],
    [
      "oss://backups.oss-cn-beijing-internal.aliyuncs.com/db",
      {
        type: "oss",
        bucket: "backups",
        path: "db",
        region: "cn-beijing",
        endpoint: "https://oss-cn-beijing-internal.aliyuncs.com",
      },
    ],
    ["file:///var/backup/db", { type: "file", path: "/var/backup/db" }],
    ["file:///a%20b//c/../d/.", { type: "file", path: "/a b/d" }],
    ["file://host/db?x=1", { type: "file", path: "/db" }],
    ["file://", { type: "file", path: "." }],
    ["https://static.example.com/app", { type: "http", url: "https://static.example.com/app" }],
  ])("parseReplicaUrl() reads %s alike in both forms", (url, expected) => {
    expect(parsed(url)).toEqual(expected);
    expect(parsed(url, config)).toEqual(expected);
  });

  test.each<[string, object, object]>([
    [
      "sftp://me:pa%40ss@host/dir/db",
      { type: "sftp", host: "host", port: 22, user: "me", password: "pa@ss", path: "dir/db" },
      { path: "/dir/db" },
    ],
    [
      "sftp://me@host:2222/dir",
      { type: "sftp", host: "host", port: 2222, user: "me", path: "dir" },
      { path: "/dir" },
    ],
    [
      "webdav://me:secret@host:8080/dir",
      { type: "webdav", url: "http://host:8080", path: "dir", username: "me", password: "secret" },
      { path: "/dir" },
    ],
    ["webdavs://host/dir", { type: "webdav", url: "https://host", path: "dir" }, { path: "/dir" }],
    ["nats://host:4222/app/", { type: "nats", server: "nats://host:4222", bucket: "app" }, {}],
  ])("parseReplicaUrl() keeps the path of %s absolute in a configuration alone", (url, a, b) => {
    expect(parsed(url)).toEqual(a);
    expect(parsed(url, config)).toEqual({ ...a, ...b });
  });

  test.each<[string, string]>([
    ["s3://b//x/./y/../db", "x/db"],
    ["s3://b/../../db", "db"],
    ["s3://b/db/", "db"],
    ["s3://b/db#part", "db"],
    ["s3://b/a%2Bb%20c", "a+b c"],
    ["s3://b/Kölle", "Kölle"],
    ["s3://b", ""],
    ["s3://b/", ""],
  ])("parseReplicaUrl() cleans the path of %s", (url, path) => {
    expect(parseReplicaUrl(url)).toMatchObject({ bucket: "b", path });
  });

  test.each<[string, boolean]>(
    ["true", "1", "t", "yes", "TRUE", "Yes"]
      .map((text): [string, boolean] => [text, true])
      .concat(["false", "0", "f", "no", "off", "2", "ja"].map((text) => [text, false])),
  )("parseReplicaUrl() takes %s for %s", (text, value) => {
    const url = `s3://b/db?forcePathStyle=${text}&skipVerify=${text}&signPayload=${text}&requireContentMD5=${text}`;
    const all = { forcePathStyle: value, skipVerify: value, signPayload: value };
    expect(parseReplicaUrl(url)).toMatchObject({ ...all, requireContentMD5: value });
  });

  test("parseReplicaUrl() takes the first alias, and leaves out an empty value", () => {
    expect(parsed("s3://b/db?sign-payload=true&signPayload=false&region=")).toEqual({
      ...S3,
      bucket: "b",
      signPayload: false,
    });
    const url =
      "s3://b/db?part-size=6000000&concurrency=3&storage-class=COLD&require-content-md5=0";
    const expected = { partSize: 6_000_000, concurrency: 3, storageClass: "COLD" };
    for (const form of ["url", "config"] as const) {
      expect(parseReplicaUrl(url, { form })).toMatchObject({
        ...expected,
        requireContentMD5: false,
      });
    }
  });

  test.each(["0", "-1", "1.5", "5MB", "x", "1e3", "99999999999999999999"])(
    "parseReplicaUrl() refuses the integer %s",
    (text) => {
      for (const name of ["partSize", "part-size", "concurrency"]) {
        expect(refusal(`s3://b/db?${name}=${text}`)).toMatch(
          /must be a whole number of at least 1/,
        );
      }
    },
  );

  test.each<[string, string, boolean]>([
    ["storage.example.com", "https://storage.example.com", true],
    ["http://storage.example.com", "http://storage.example.com", true],
    ["localhost:9000", "http://localhost:9000", true],
    ["127.0.0.1:9000", "http://127.0.0.1:9000", true],
    ["10.1.2.3", "http://10.1.2.3", true],
    ["192.168.0.9:1", "http://192.168.0.9:1", true],
    ["172.16.0.1", "http://172.16.0.1", true],
    ["172.31.0.1", "http://172.31.0.1", true],
    ["172.32.0.1", "https://172.32.0.1", true],
    // Litestream speaks plain HTTP to this public address.
    ["172.200.0.1", "https://172.200.0.1", true],
    ["minio.local", "http://minio.local", true],
    ["app.localhost:9000", "http://app.localhost:9000", true],
    ["10.example.com", "https://10.example.com", true],
  ])("parseReplicaUrl() completes the endpoint %s to %s", (given, endpoint, forcePathStyle) => {
    const url = `s3://b/db?endpoint=${encodeURIComponent(given)}`;
    expect(parseReplicaUrl(url)).toMatchObject({ endpoint, forcePathStyle });
    expect(parseReplicaUrl(`${url}&forcePathStyle=false`)).toMatchObject({ forcePathStyle: false });
  });

  test("parseReplicaUrl() reads LITESTREAM_S3_ENDPOINT in the form url, where no other is given", () => {
    const env = { LITESTREAM_S3_ENDPOINT: "localhost:9000" };
    const place = { ...S3, bucket: "b" };
    const there = { ...place, endpoint: "http://localhost:9000", forcePathStyle: true };
    expect(parsed("s3://b/db", { env })).toEqual(there);
    expect(parsed("s3://b/db?forcePathStyle=no", { env })).toEqual({
      ...there,
      forcePathStyle: false,
    });
    expect(parsed("s3://b/db", { env, form: "config" })).toEqual(place);
    expect(parseReplicaUrl("s3://b/db?endpoint=other.example", { env })).toMatchObject({
      endpoint: "https://other.example",
    });
    expect(parseReplicaUrl("s3://b.s3.fr-par.scw.cloud/db", { env })).toMatchObject({
      endpoint: "https://s3.fr-par.scw.cloud",
    });
  });

  test("parseReplicaUrl() reads hyphens in both forms, and encryption in the form url alone", () => {
    const hyphens = "s3://b/db?force-path-style=1&skip-verify=1";
    expect(parseReplicaUrl(hyphens)).toMatchObject({ forcePathStyle: true, skipVerify: true });
    expect(parseReplicaUrl(hyphens, config)).toMatchObject({
      forcePathStyle: true,
      skipVerify: true,
    });
    const names = { sseCustomerKey: "a2V5", sseCustomerAlgorithm: "AES256", sseKmsKeyId: "k" };
    for (const [name, value] of Object.entries(names)) {
      const url = `s3://b/db?${name}=${value}`;
      expect(parseReplicaUrl(url)).toMatchObject({ [name]: value });
      expect(refusal(url, config)).toMatch(/Give it as a key of the configuration/);
    }
  });

  test("parseReplicaUrl() reads user info of NATS in both forms", () => {
    const url = "nats://me:secret@host/app";
    for (const options of [undefined, config]) {
      expect(parseReplicaUrl(url, options)).toMatchObject({
        type: "nats",
        server: "nats://host",
        bucket: "app",
        username: "me",
        password: "secret",
      });
    }
  });

  test.each<[string, RegExp]>([
    ["s3://localhost:9000/db", /bucket required for s3 replica/],
    ["s3:///db", /bucket required for s3 replica/],
    ["s3://filebase.com", /bucket required/],
    ["gs:///db", /bucket required for gs replica/],
    ["abs:///db", /container required for abs replica/],
    ["sftp://me@/db", /host required for sftp replica/],
    ["sftp://host/db", /user required for sftp replica/],
    ["sftp://me@host:99999/db", /99999 is no port/],
    ["nats://host", /bucket required for nats replica/],
    ["nats://host/app/db", /one database at its root/],
    ["webdav:///db", /host required for webdav replica/],
    ["gcs://b/db", /Write gs:\/\/ instead/],
    ["ftp://b/db", /ftp:\/\/ is no store that is known. Use one of file:\/\//],
    ["b/db", /does not begin with a scheme/],
    ["s3://b/%zz", /percent sign/],
    ["s3://b/db?regoin=x", /"regoin" is not known here. Did you mean region$/],
    ["gs://b/db?endpoint=x", /"endpoint" is not known here$/],
    ["s3://KEY:SECRET@b/db", /user or a key/],
    ["abs://account:SECRET@b/db", /holds a password/],
  ])("parseReplicaUrl() refuses %s", (url, message) => {
    expect(refusal(url)).toMatch(message);
    expect(refusal(url)).not.toContain("SECRET");
  });

  test.each([
    "sftp://me:SECRET@host:99999/db",
    "sftp://me:SEC/SECRET@host/db",
    "sftp://me:SEC?SECRET@host/db",
    "ftp://me:SECRET@host/db?token=SECRET",
    "s3://b/db?sseCustomerKey=SECRET&concurrency=none",
    "s3://b/db?partSize=SECRET",
  ])("parseReplicaUrl() shows no secret of %s", (url) => {
    expect(refusal(url)).not.toMatch(/SEC/);
    expect(refusal(url)).not.toBe("accepted");
  });

  test("isReplicaUrl() tells a URL from a path", () => {
    expect(["s3://b", "file://"].map(isReplicaUrl)).toEqual([true, true]);
    expect(["/a/b", "a:b", "C:\\x", "./s3://b"].map(isReplicaUrl)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  test("parseReplicaUrl() gives settings that name their type", () => {
    const settings: ReplicaSettings = parseReplicaUrl("webdavs://host/x");
    expect(settings.type === "webdav" && settings.url).toBe("https://host");
  });
});
