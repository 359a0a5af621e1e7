import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { awsCredentials } from "./aws-credentials.ts";

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-aws-"));
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
  }
  // Nothing of this machine counts, and no metadata of it is asked for.
  env({
    AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials"),
    AWS_CONFIG_FILE: join(folder, "config"),
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_REGION: "eu-west-1",
  });
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

function env(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const EXPIRATION = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_000);

test("awsCredentials() reads the environment", async () => {
  env({ AWS_ACCESS_KEY_ID: "env", AWS_SECRET_ACCESS_KEY: "s", AWS_SESSION_TOKEN: "t" });
  expect(await awsCredentials()()).toMatchObject({
    accessKeyId: "env",
    secretAccessKey: "s",
    sessionToken: "t",
  });
});

test("awsCredentials() reads the shared files, and reads them again", async () => {
  file(
    "credentials",
    "[default]\naws_access_key_id = one\naws_secret_access_key = s\n" +
      "[other]\naws_access_key_id = two\naws_secret_access_key = s\n",
  );
  const credentials = awsCredentials();
  expect((await credentials()).accessKeyId).toBe("one");
  expect((await awsCredentials({ profile: "other" })()).accessKeyId).toBe("two");
  env({ AWS_PROFILE: "other" });
  expect((await credentials()).accessKeyId).toBe("two");
  file("credentials", "[other]\naws_access_key_id = three\naws_secret_access_key = s\n");
  expect((await credentials()).accessKeyId).toBe("three");
});

test("awsCredentials() exchanges the token of a web identity", async () => {
  const asked: string[] = [];
  const sts = await serve((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      asked.push(body);
      response.setHeader("content-type", "text/xml");
      response.end(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>" +
          "<AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>" +
          `<Expiration>${EXPIRATION.toISOString()}</Expiration></Credentials>` +
          "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
      );
    });
  });
  env({
    AWS_ENDPOINT_URL_STS: sts,
    AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/r",
    AWS_WEB_IDENTITY_TOKEN_FILE: file("token", "the-token"),
  });
  expect(await awsCredentials()()).toMatchObject({
    accessKeyId: "web",
    sessionToken: "t",
    expiration: EXPIRATION,
  });
  expect(asked[0]).toContain("the-token");
});

test("awsCredentials() asks the container's endpoint with its token", async () => {
  const container = await serve((request, response) => {
    const allowed = request.url === "/keys" && request.headers.authorization === "pass";
    response.writeHead(allowed ? 200 : 403, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        AccessKeyId: "container",
        SecretAccessKey: "s",
        Token: "t",
        Expiration: EXPIRATION.toISOString(),
      }),
    );
  });
  env({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container}/keys`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: "pass",
  });
  expect(await awsCredentials()()).toMatchObject({
    accessKeyId: "container",
    expiration: EXPIRATION,
  });
});

test("awsCredentials() asks the metadata of the instance, with a token of version 2", async () => {
  const asked: string[] = [];
  const metadata = await serve((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const base = "/latest/meta-data/iam/security-credentials/";
    if (request.method === "PUT") response.end("imds-token");
    else if (request.headers["x-aws-ec2-metadata-token"] !== "imds-token") {
      response.writeHead(401).end();
    } else if (request.url === base) response.end("role");
    else {
      response.end(
        JSON.stringify({
          Code: "Success",
          AccessKeyId: "instance",
          SecretAccessKey: "s",
          Token: "t",
          Expiration: EXPIRATION.toISOString(),
        }),
      );
    }
  });
  env({ AWS_EC2_METADATA_DISABLED: "false", AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata });
  expect((await awsCredentials()()).accessKeyId).toBe("instance");
  expect(asked[0]).toBe("PUT /latest/api/token");
});

test("awsCredentials() tells where nothing is found, and repeats nothing of a server's answer", async () => {
  const nowhere = await awsCredentials()().catch((error: unknown) => error);
  expect(inspect(nowhere)).toContain(
    "Cannot find AWS credentials: no place of AWS's chain has any",
  );
  expect(nowhere).toMatchObject({ code: "STORE", retryable: false });
  const sts = await serve((_, response) => {
    response.writeHead(400, { "content-type": "text/xml" });
    response.end(
      "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad hunter2</Message></Error></ErrorResponse>",
    );
  });
  env({
    AWS_ENDPOINT_URL_STS: sts,
    AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/r",
    AWS_WEB_IDENTITY_TOKEN_FILE: file("token", "hunter2"),
  });
  const refused = await awsCredentials()().catch((error: unknown) => error);
  expect(inspect(refused)).toContain("failed with InvalidIdentityToken");
  expect(inspect(refused, { depth: 9, showHidden: true })).not.toContain("hunter2");
});
