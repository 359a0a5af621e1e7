/**
 * The command against stores that are named by URLs, of a server in this process.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { s3Store } from "../../src/transports/s3.ts";
import { S3Fake } from "../helpers/s3-fake.ts";
import { type Fixture, fixtures, unpackFixture } from "../interop/fixtures.ts";
import { makeScratch, type Outcome, pagestream } from "./command.ts";

const scratch = makeScratch();
let aheadMs = 0;
const fake = new S3Fake({ bucket: "backups", now: () => Date.now() + aheadMs });
const { accessKeyId, secretAccessKey } = S3Fake.credentials;
let server: Server;
let origin = "";

beforeAll(async () => {
  server = createServer((request, response) => {
    void answer();
    async function answer(): Promise<void> {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { method = "GET", url = "/" } = request;
      const body = Buffer.concat(chunks);
      const answered = await fake.fetch(origin + url, {
        method,
        headers: request.headers as Record<string, string>,
        ...(method === "GET" || method === "HEAD" ? {} : { body }),
      });
      response.writeHead(answered.status, Object.fromEntries(answered.headers));
      response.end(method === "HEAD" ? undefined : Buffer.from(await answered.arrayBuffer()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.close();
  scratch.remove();
});

/** Makes a process wait a hundredth of what it would between its tries. */
const HURRIED =
  "--import=data:text/javascript," +
  "globalThis.setTimeout=((wait)=>(run,ms,...rest)=>wait(run,ms/100,...rest))(setTimeout)";

const url = (path: string): string => `s3://backups/${path}?endpoint=${origin}`;

function run(...args: string[]): Promise<Outcome> {
  const env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  return pagestream(args, { env: { ...env, AWS_CA_BUNDLE: undefined } });
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function makeDatabase(): string {
  const path = scratch.next();
  const db = new DatabaseSync(path);
  db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(9000))");
  db.close();
  return path;
}

describe("pagestream with a replica URL", () => {
  test("snapshot, ltx and restore speak to a bucket", async () => {
    const [path, output] = [makeDatabase(), scratch.next()];
    const sent = await run("snapshot", path, url("app"));
    expect(sent).toMatchObject({ code: 0, stderr: "" });
    expect(sent.stdout).toContain(`Snapshot of ${path} in s3://backups/app\n`);
    const name = "0000000000000001-0000000000000001.ltx";
    const written = [...fake.objects.keys()].filter((key) => key.endsWith(".ltx"));
    expect(written.sort()).toEqual([`app/0000/${name}`, `app/0009/${name}`]);

    const listed = await run("ltx", "-level", "all", "-json", url("app"));
    expect(JSON.parse(listed.stdout)).toMatchObject([{ level: 0 }, { level: 9 }]);
    const shown = await run("ltx", "show", url(`app/0009/${name}`));
    expect(shown.stdout).toMatch(new RegExp(`^file +s3://backups/app/0009/${name}$`, "m"));
    const verified = await run("ltx", "verify", url("app"), url(`app/0000/${name}`));
    expect(verified).toMatchObject({ code: 0, stderr: "" });
    expect(verified.stdout).toContain("3 files");

    const restored = await run("restore", "-o", output, url("app"));
    expect(restored).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(output)).toBe(sha256(path));
  });

  test("restore takes what Litestream 0.3 left in a bucket", async () => {
    const older = unpackFixture("legacy-v0.3.13");
    const { files, restore } = fixtures["legacy-v0.3.13"] as Fixture;
    const credentials = S3Fake.credentials;
    const options = { bucket: "backups", endpoint: origin, credentials, fetch: fake.fetch };
    const store = s3Store({ ...options, path: "older" });
    // A bucket dates what it receives, to the second; here too, what is newest comes last.
    for (const { path } of [...files].sort((a, b) => a.mtime_ms - b.mtime_ms)) {
      aheadMs += 1000;
      await store.put(path, readFileSync(join(older.path, path)));
    }
    older.remove();
    const output = scratch.next();
    expect(await run("restore", "-o", output, url("older"))).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(output)).toBe(restore.find((r) => r.kind === "latest")?.sha256);
  });

  test("ltx verify names a damaged object", async () => {
    const path = makeDatabase();
    await run("snapshot", path, url("damaged"));
    const key = "damaged/0000/0000000000000001-0000000000000001.ltx";
    const object = fake.objects.get(key) as { readonly bytes: Uint8Array };
    object.bytes[200]! ^= 1;
    const { code, stdout } = await run("ltx", "verify", url("damaged"));
    expect(code).toBe(6);
    expect(stdout).toContain(`${key.replace("damaged/", "")} in s3://backups/damaged`);
  });

  test("what is not there, not allowed or not named is told as for a directory", async () => {
    const output = scratch.next();
    expect(await run("restore", "-o", output, url("nothing"))).toMatchObject({ code: 4 });
    const skipped = await run("restore", "-if-replica-exists", "-o", output, url("nothing"));
    expect(skipped.code).toBe(0);
    const denied = await pagestream(["restore", "-o", output, url("app")], {
      env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: "CANARY" },
    });
    expect(denied.code).toBe(1);
    expect(denied.stderr).not.toContain("CANARY");
    const pathless = await run("snapshot", makeDatabase(), "s3://backups");
    expect(pathless).toMatchObject({ code: 2 });
    expect(pathless.stderr).toContain("Write a path behind the bucket, like s3://backups/app");
  });

  test("no message shows the password of a URL", async () => {
    const args = ["restore", "-o", scratch.next()];
    for (const text of ["sftp://me:CANARY@host:99999/x", "nats://me:CANARY@host/x"]) {
      const { code, stdout, stderr } = await pagestream([...args, text], {
        env: { PAGESTREAM_DEBUG: "1", NODE_OPTIONS: HURRIED },
      });
      expect(code).not.toBe(0);
      expect(stdout + stderr).not.toContain("CANARY");
    }
    const needs = await pagestream(["restore", "webdav://me:CANARY@127.0.0.1:1/x"]);
    expect(needs).toMatchObject({ code: 2 });
    expect(needs.stderr).not.toContain("CANARY");
  });
});
