/**
 * Containers on the emulator, and signatures for them.
 *
 * @module
 */
import { createHmac } from "node:crypto";
import { sharedKeySigner } from "../../src/transports/azure-signing.ts";
import { part, type ServerAddress } from "../servers/server.ts";

/** What `azureStore` needs of an address. */
export function azureAccount(address: ServerAddress): {
  readonly endpoint: string;
  readonly accountName: string;
  readonly accountKey: string;
} {
  return {
    endpoint: part(address, "endpoint"),
    accountName: part(address, "accountName"),
    accountKey: part(address, "accountKey"),
  };
}

/** Makes a container. */
export async function makeContainer(address: ServerAddress, container: string): Promise<void> {
  const path = `/${container}?restype=container`;
  const response = await signedFetch(address, { method: "PUT", path });
  if (response.status !== 201) throw new Error(`${container}: ${await response.text()}`);
}

/** The headers of a blob as the server has them. */
export async function rawHead(address: ServerAddress, path: string): Promise<Headers> {
  return (await signedFetch(address, { method: "HEAD", path: `/${path}` })).headers;
}

/** A request that no store makes. */
export async function signedFetch(
  address: ServerAddress,
  request: { readonly method: string; readonly path: string; readonly body?: string },
): Promise<Response> {
  const { endpoint, accountName, accountKey } = azureAccount(address);
  const { method, path, body } = request;
  const url = `${endpoint}${path}`;
  const headers: Record<string, string> = {
    "x-ms-date": new Date().toUTCString(),
    "x-ms-version": "2021-12-02",
    ...(body === undefined ? {} : { "content-type": "application/xml" }),
  };
  const contentLength = body?.length ?? 0;
  const authorization = await sharedKeySigner(
    accountName,
    accountKey,
  )({
    method,
    url,
    headers,
    contentLength,
  });
  return await fetch(url, { method, headers: { ...headers, authorization }, body: body ?? null });
}

/** A shared access signature for a container. */
export function containerSas(
  address: ServerAddress,
  container: string,
  permissions = "racwdl",
): string {
  const { accountName, accountKey } = azureAccount(address);
  const expiry = "2099-01-01T00:00:00Z";
  const version = "2021-12-02";
  const resource = `/blob/${accountName}/${container}`;
  const lines = [permissions, "", expiry, resource, "", "", "", version, "c"];
  const text = [...lines, "", "", "", "", "", "", ""].join("\n");
  const sig = createHmac("sha256", Buffer.from(accountKey, "base64")).update(text).digest("base64");
  return `?${new URLSearchParams({ sp: permissions, se: expiry, sv: version, sr: "c", sig })}`;
}
