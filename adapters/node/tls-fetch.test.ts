import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { selfSigned } from "../../test/helpers/certificate.ts";
import { storeFromConfig } from "./store-from-url.ts";
import { tlsFetch } from "./tls-fetch.ts";

const server = selfSigned("server");
const client = selfSigned("client");
const folder = mkdtempSync(join(tmpdir(), "pagestream-tls-"));
const authority = join(folder, "ca.pem");
const clientCert = join(folder, "client.pem");
const clientKey = join(folder, "client.key");

let open: Server;
let strict: Server;
const seen: { method: string; length: string | undefined; body: string; client: boolean }[] = [];

/** Answers every request with its path; `/empty` and `/moved` as they say. */
function serve(options: { readonly requestCert?: boolean }): Promise<Server> {
  const made = createServer({ ...server, ...options, ca: client.cert }, (request, answer) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push({
        method: request.method ?? "",
        length: request.headers["content-length"],
        body: Buffer.concat(chunks).toString(),
        client: (request.socket as TLSSocket).authorized,
      });
      const status = { "/empty": 204, "/moved": 302 }[request.url ?? ""] ?? 200;
      const body = status === 204 ? "" : (request.url ?? "");
      answer.setHeader("content-length", body.length);
      answer.setHeader("location", "https://127.0.0.1:1/");
      answer.setHeader("last-modified", "Sun, 01 Nov 2026 00:00:00 GMT");
      answer.writeHead(status, { "x-two": ["a", "b"] });
      answer.end(body);
    });
  });
  return new Promise((resolve) => made.listen(0, "127.0.0.1", () => resolve(made)));
}

function address(of: Server, path = ""): string {
  return `https://127.0.0.1:${(of.address() as AddressInfo).port}${path}`;
}

beforeAll(async () => {
  writeFileSync(authority, server.cert);
  writeFileSync(clientCert, client.cert);
  writeFileSync(clientKey, client.key);
  open = await serve({});
  strict = await serve({ requestCert: true });
});

afterAll(() => {
  for (const each of [open, strict]) {
    each.closeAllConnections();
    each.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

describe("tlsFetch()", () => {
  test("tlsFetch() refuses a certificate that nobody vouches for", async () => {
    await expect(tlsFetch({})(address(open), {})).rejects.toMatchObject({
      code: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
  });

  test("tlsFetch() goes on without verification, or with the authority named", async () => {
    for (const options of [{ skipVerify: true }, { authorities: [server.cert] }]) {
      const response = await tlsFetch(options)(address(open, "/a"), {});
      expect([response.status, await response.text()]).toEqual([200, "/a"]);
      expect(response.headers.get("x-two")).toBe("a, b");
    }
  });

  test("tlsFetch() shows the client's certificate", async () => {
    const trusting = { authorities: [server.cert] };
    await expect(
      (async () => await (await tlsFetch(trusting)(address(strict), {})).text())(),
    ).rejects.toThrow();
    const response = await tlsFetch({ ...trusting, ...client })(address(strict), {});
    expect(await response.text()).toBe("/");
    expect(seen.at(-1)?.client).toBe(true);
  });

  test("tlsFetch() sends bodies with their length, whatever the method", async () => {
    const fetch = tlsFetch({ skipVerify: true });
    for (const method of ["PUT", "POST", "DELETE", "PROPFIND"]) {
      for (const body of [new TextEncoder().encode("bytes"), "texts", new Blob(["blobs"])]) {
        await (await fetch(address(open), { method, body })).text();
        expect(seen.at(-1)).toMatchObject({ method, length: "5" });
        expect(seen.at(-1)?.body).toMatch(/^(?:bytes|texts|blobs)$/);
      }
    }
    await (await fetch(address(open), { method: "PUT", body: null })).text();
    expect(seen.at(-1)).toMatchObject({ method: "PUT", length: "0", body: "" });
  });

  test("tlsFetch() gives answers without a body as such, and follows no redirect", async () => {
    const fetch = tlsFetch({ skipVerify: true });
    const head = await fetch(address(open, "/a"), { method: "HEAD" });
    expect([head.status, head.body]).toEqual([200, null]);
    expect((await fetch(address(open, "/empty"), {})).status).toBe(204);
    const moved = await fetch(address(open, "/moved"), { redirect: "manual" });
    expect([moved.status, await moved.text()]).toEqual([302, "/moved"]);
  });

  test("tlsFetch() ends with its signal", async () => {
    const signal = AbortSignal.abort();
    await expect(tlsFetch({ skipVerify: true })(address(open), { signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});

describe("storeFromConfig() over TLS", () => {
  const keys = (more: object) => ({
    type: "s3",
    bucket: "bucket",
    path: "app",
    region: "us-east-1",
    "access-key-id": "A",
    "secret-access-key": "B",
    ...more,
  });

  test.each(["skip-verify", "root-cas", "client certificate"])(
    "storeFromConfig() reaches a server with a certificate of its own by %s",
    async (way) => {
      const endpoint = address(way === "client certificate" ? strict : open);
      const named = { "root-cas": [authority] };
      const config = {
        "skip-verify": { "skip-verify": true },
        "root-cas": named,
        "client certificate": { ...named, "client-cert": clientCert, "client-key": clientKey },
      }[way];
      const store = await storeFromConfig(keys({ endpoint, ...config }), { env: {} });
      expect((await store.head("ltx/x")).size).toBeGreaterThanOrEqual(0);
      const dav = { type: "webdav", "webdav-url": endpoint, path: "app", ...config };
      const other = await storeFromConfig(dav, { env: {} });
      await other.head("ltx/x").catch(() => undefined);
      expect(seen.at(-1)?.method).toMatch(/PROPFIND|HEAD/);
    },
  );

  test("storeFromConfig() is refused by such a server otherwise, and says why", async () => {
    const store = await storeFromConfig(keys({ endpoint: address(open) }), { env: {} });
    await expect(store.head("ltx/x")).rejects.toThrow("the server's certificate was refused");
    const missing = keys({ endpoint: address(open), "root-cas": [join(folder, "none.pem")] });
    await expect(storeFromConfig(missing, { env: {} })).rejects.toThrow("ENOENT");
  });
});
