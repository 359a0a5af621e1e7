import { storeFromConfig, storeFromUrl } from "@pagestream/node";
import { describe, expect, test } from "vitest";
import { canary, leaks } from "../helpers/canaries.ts";
import { freePorts } from "../servers/server.ts";
import { pagestream } from "./command.ts";

const secret = canary("url");
const encoded = encodeURIComponent(secret);

/** What an environment holds for Litestream and the vendors. */
const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: canary("env-id"),
  AWS_SECRET_ACCESS_KEY: canary("env-secret"),
  AWS_SESSION_TOKEN: canary("env-session"),
  LITESTREAM_AZURE_ACCOUNT_KEY: Buffer.from(canary("env-azure")).toString("base64"),
  OSS_ACCESS_KEY_ID: canary("env-oss-id"),
  OSS_ACCESS_KEY_SECRET: canary("env-oss"),
};

/** Addresses where nobody answers, with secrets wherever one can be put, right or wrong. */
function urls(host: string): string[] {
  return [
    `s3://bucket/app?endpoint=http://${host}&region=us-east-1`,
    `s3://user:${encoded}@bucket/app`,
    `s3://bucket/app?endpoint=http://${host}&secret=${encoded}`,
    `s3://bucket/app?endpoint=http://${host}&sse-customer-key=${encoded}`,
    `s3://bucket/app?endpoint=http://user:${encoded}@${host}`,
    `s3://bucket/app?concurrency=${encoded}`,
    `sftp://user:${encoded}@${host}/app`,
    `sftp://user:${encoded}@host:99999/app`,
    `nats://user:${encoded}@${host}/bucket`,
    `nats://user:${encoded}@${host}/bucket/path`,
    `webdav://user:${encoded}@${host}/app`,
    `webdav://user:${encoded}@/app`,
    `abs://account:${encoded}@container/app`,
    `gcs://user:${encoded}@bucket/app`,
    `http://user:${encoded}@${host}/app`,
    `unknown://user:${encoded}@${host}/app?token=${encoded}`,
  ];
}

const SECRETS = [secret, ...Object.values(ENVIRONMENT)];

describe("a secret in a URL or in the environment", () => {
  test("is in no error and no store of storeFromUrl() and storeFromConfig()", async () => {
    const [port] = await freePorts(1);
    for (const url of urls(`127.0.0.1:${port}`)) {
      for (const form of ["config", "url"] as const) {
        const made = await storeFromUrl(url, { form, env: ENVIRONMENT }).catch((error) => error);
        expect([url, leaks(made, SECRETS)]).toEqual([url, []]);
      }
    }
    const wrong = [
      { type: "s3", bucket: "b", "secret-access-key": secret },
      { type: "s3", bucket: "b", "access-key-id": "a", "secret-access-key": secret, typo: secret },
      { type: "s3", bucket: "b", "sse-customer-key": secret },
      { type: "abs", bucket: "b", "account-name": "a", "account-key": secret },
      { type: "sftp", host: "h", user: "u", password: secret, "host-key": secret },
      { type: "nats", host: "h", bucket: "b", seed: secret },
      { type: "nats", host: "h", bucket: "b", creds: `/absent/${secret}` },
      { type: "webdav", "webdav-url": `https://user:${encoded}@h`, "webdav-password": secret },
      { url: `webdav://user:${encoded}@h/app`, "webdav-url": "https://h" },
    ];
    for (const config of wrong) {
      const made = await storeFromConfig(config as never, { env: {} }).catch((error) => error);
      // A path is no secret.
      if (!("creds" in config)) expect([config, leaks(made, SECRETS)]).toEqual([config, []]);
    }
  });

  test("is not printed by the command, whatever fails", async () => {
    // Those that are refused at once; what a store says of a server that does not answer is held elsewhere.
    const host = "pagestream-test.invalid";
    const refused = urls(host).filter((url) =>
      /^(s3:..user|s3.*(secret|sse|concurrency)|gcs|unknown|sftp.*99999|webdav.*@\/)/.test(url),
    );
    expect(refused.length).toBe(9);
    const runs = refused.map((url) => ["restore", "-o", "/nowhere/out.db", url]);
    const queue = [...runs];
    const worker = async (): Promise<void> => {
      for (let args = queue.shift(); args !== undefined; args = queue.shift()) {
        const { code, stdout, stderr } = await pagestream(args, { env: ENVIRONMENT });
        expect([args, code === 0]).toEqual([args, false]);
        expect([args, leaks(stdout + stderr, SECRETS)]).toEqual([args, []]);
      }
    };
    await Promise.all([worker(), worker()]);
  });
});
