/** @module */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseConfig } from "../../adapters/node/config/load-config.ts";
import { describeWithLitestream, litestreamIn } from "../helpers/litestream.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-interop-config-"));
const VARIABLES = { PLACE: "/backup/app", BUCKET: "123" };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function one(db: string): string {
  return `dbs: [{path: /data/app.db, ${db}}]`;
}

let count = 0;

/** What the two say: the kind of each replica, or what is wrong, without the place that ours names. */
async function asked(text: string): Promise<{ readonly theirs: string; readonly ours: string }> {
  const file = join(folder, `${++count}.yml`);
  writeFileSync(file, text);
  const { code, stdout, stderr } = await litestreamIn(VARIABLES, "databases", "-config", file);
  const rows = stdout.trim().split("\n").slice(1);
  const theirs =
    code === 0
      ? rows.map((row) => row.split(/\s+/).join(" ")).join("\n")
      : stderr.replace(/^Error: /, "").trim();
  let ours: string;
  try {
    const { databases } = parseConfig(text, { file, env: VARIABLES });
    ours = databases.map(({ path, replica }) => `${path} ${replica.type}`).join("\n");
  } catch (error) {
    ours = (error as Error).message;
  }
  return { theirs, ours };
}

describeWithLitestream("a configuration", () => {
  test.each([
    one("replica: {path: $PLACE}"),
    one(
      "replica: {type: s3, bucket: ${BUCKET}, path: 0123, access-key-id: 12, secret-access-key: yes}",
    ),
    one("replicas: [{url: gs://b/x, name: old}]"),
    one("replica: {url: 's3://b/x?endpoint=localhost:9000', age: {}}"),
    one("replica: {url: abs://a@c/x, account-key: a2V5}"),
    one("replica: {url: sftp://u:p@h/x, concurrent-writes: off}"),
    one("replica: {type: webdav, webdav-url: https://h, path: x}"),
    one("replica: {url: nats://h:4222/b, tls: on, max-reconnects: -1}"),
    one("replica: {url: oss://b/x}"),
    one(
      "monitor-interval: 2s, truncate-page-n: 0, max-sync-wal-bytes: 1048576, replica: {path: /b}",
    ),
    "dbs:\nsnapshot:\nlevels:\nsocket: {permissions: 0600}\nlogging: {level: debug}\n",
    `x: &x {path: /b}\n${one("replica: {<<: *x}")}`.replace("x: &x", "x-a: &x"),
    "sync-interval: 2s\npart-size: 5MiB\nl0-retention: 0s\ndbs: [{path: sqlite:///data/app.db, replica: {path: /b}}]",
  ])("is read as Litestream reads it: %s", async (text) => {
    const { theirs, ours } = await asked(text);
    expect(ours).toBe(theirs);
  });

  test.each([
    "levels: [{interval: 0s}]",
    "snapshot: {interval: 0s}",
    "snapshot: {retention: -1s}",
    "l0-retention: -1s",
    "l0-retention-check-interval: 0s",
    "heartbeat-interval: 1s",
    "shutdown-sync-timeout: -1s",
    "shutdown-sync-interval: 0s",
    one("replica: {path: /b, sync-interval: 0s}"),
    "dbs: [{path: /a.db, dir: /d}]",
    "dbs: [{pattern: x}]",
    "dbs: [{dir: /d}]",
    one("watch: true"),
    one("meta-dir: /m"),
    "dbs: [{dir: /d, pattern: x, meta-dir: /m, meta-path: /n}]",
    one("restore-if-db-not-exists: true"),
    one("replica: {path: /b}, replicas: [{path: /c}]"),
    "dbs: [{path: /x, snapshot: {interval: 1h}, replica: {path: /b}}, {path: /y, snapshot: {interval: 2h}, replica: {path: /c}}]",
    one("replica: {type: s3, path: x}"),
    one("replica: {type: sftp, host: h, path: x}"),
  ])("is refused in Litestream's words: %s", async (text) => {
    const { theirs, ours } = await asked(text);
    const said = theirs.replace(/1h0m0s/g, "1h").replace(/2h0m0s/g, "2h");
    expect(ours).toContain(said);
  });
});
