import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { failure } from "../../src/testing/test-kit.ts";
import { googleCredentials } from "./google-credentials.ts";

let folder: string;
let server: Server;
let origin: string;
let asked: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pagestream-google-"));
  asked = [];
  server = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url} ${await bodyOf(request)}`);
    const ok = request.method === "POST" || request.headers["metadata-flavor"] === "Google";
    response.writeHead(ok ? 200 : 403).end(`{"access_token":"t${asked.length}","expires_in":3600}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  server.closeAllConnections();
  server.close();
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}

function user(path: string, refreshToken: string): string {
  const credentials = {
    type: "authorized_user",
    client_id: "id",
    client_secret: "cs",
    refresh_token: refreshToken,
    token_uri: `http://${origin}/token`,
  };
  writeFileSync(path, JSON.stringify(credentials));
  return path;
}

test("googleCredentials() looks in a named file, in gcloud's, and asks the metadata server", async () => {
  const named = user(join(folder, "named.json"), "from-named");
  const gcloud = join(folder, ".config", "gcloud");
  mkdirSync(gcloud, { recursive: true });
  user(join(gcloud, "application_default_credentials.json"), "from-gcloud");
  const other = join(folder, "other");
  mkdirSync(other);
  user(join(other, "application_default_credentials.json"), "from-other");

  const base = { HOME: folder, GCE_METADATA_HOST: origin };
  const environments = [
    { ...base, GOOGLE_APPLICATION_CREDENTIALS: named },
    base,
    { ...base, CLOUDSDK_CONFIG: other },
    { ...base, HOME: join(folder, "nobody") },
  ];
  for (const env of environments) await googleCredentials({ env })();
  expect(asked).toEqual([
    "POST /token grant_type=refresh_token&client_id=id&client_secret=cs&refresh_token=from-named",
    "POST /token grant_type=refresh_token&client_id=id&client_secret=cs&refresh_token=from-gcloud",
    "POST /token grant_type=refresh_token&client_id=id&client_secret=cs&refresh_token=from-other",
    "GET /computeMetadata/v1/instance/service-accounts/default/token ",
  ]);
});

test("googleCredentials() reads a file anew each time", async () => {
  const path = user(join(folder, "named.json"), "one");
  const token = googleCredentials({ env: { GOOGLE_APPLICATION_CREDENTIALS: path } });
  expect((await token()).token).toBe("t1");
  user(path, "two");
  await token();
  expect(asked.map((line) => line.slice(line.lastIndexOf("=") + 1))).toEqual(["one", "two"]);
});

test("googleCredentials() says where it has looked", async () => {
  const missing = { GOOGLE_APPLICATION_CREDENTIALS: join(folder, "missing.json") };
  await expect(googleCredentials({ env: missing })()).rejects.toThrow(
    /^Cannot find Google credentials: the file .*missing.json cannot be read. Set GOOGLE_/,
  );
  server.removeAllListeners("request");
  server.on("request", (_, response) => void response.writeHead(404).end());
  const env = { HOME: folder, GCE_METADATA_HOST: origin };
  await expect(googleCredentials({ env })()).rejects.toThrow(
    "Cannot find Google credentials: no file names any, and the metadata server gives none",
  );
  writeFileSync(join(folder, "bad.json"), "{}");
  const bad = { GOOGLE_APPLICATION_CREDENTIALS: join(folder, "bad.json") };
  expect(await failure(() => googleCredentials({ env: bad })())).toBe("INVALID_ARGUMENT");
});
