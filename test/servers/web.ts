/**
 * The servers that stores over the web are tried on in every runtime, ready to be used: buckets made, browsers let in.
 *
 * @module
 */
import { presignS3 } from "pagestream/transports/s3";
import { makeContainer, signedFetch } from "../stores/azure-containers.ts";
import { makeBucket, s3Options } from "../stores/s3-kit.ts";
import type { WebAddresses } from "../runtime/web-stores.ts";
import type { ServerAddress } from "./server.ts";
import { startServers } from "./start.ts";

const BUCKET = "everywhere";

/** Which server plays each store. */
const PLAYERS: Readonly<Record<string, string>> = {
  s3: "seaweedfs",
  azure: "azurite",
  gcs: "fake-gcs",
  webdav: "apache",
  nats: "nats",
};

/** Programs that are missing, or the running servers. */
export type WebServers =
  | { readonly missing: readonly string[] }
  | { readonly addresses: WebAddresses; end(): Promise<void> };

/** Starts them all; without one of them, none. */
export async function startWebServers(): Promise<WebServers> {
  const { servers, end } = await startServers(Object.values(PLAYERS));
  const missing = Object.values(servers).flatMap((state) =>
    "missing" in state ? [state.missing] : [],
  );
  if (missing.length > 0) {
    await end();
    return { missing };
  }
  const addresses: Record<string, ServerAddress> = {};
  for (const [store, server] of Object.entries(PLAYERS)) {
    const state = servers[server];
    if (state !== undefined && "address" in state) addresses[store] = state.address;
  }
  const { s3 = {}, azure = {}, webdav } = addresses;
  if (webdav?.["shared"] !== undefined) addresses["http"] = { endpoint: webdav["shared"] };
  await makeBucket(s3Options(s3, BUCKET));
  await allowBrowsersS3(s3);
  await makeContainer(azure, BUCKET);
  await allowBrowsersAzure(azure);
  addresses["s3"] = { ...s3, bucket: BUCKET };
  addresses["azure"] = { ...azure, container: BUCKET };
  return { addresses, end };
}

/** The rule of `docs/stores/azure.md`. */
const AZURE_CORS =
  "<StorageServiceProperties><Cors><CorsRule><AllowedOrigins>*</AllowedOrigins>" +
  "<AllowedMethods>GET,HEAD,PUT,POST,DELETE,OPTIONS</AllowedMethods>" +
  "<AllowedHeaders>*</AllowedHeaders><ExposedHeaders>*</ExposedHeaders>" +
  "<MaxAgeInSeconds>600</MaxAgeInSeconds></CorsRule></Cors></StorageServiceProperties>";

async function allowBrowsersAzure(address: ServerAddress): Promise<void> {
  const query = "?restype=service&comp=properties";
  const response = await signedFetch(address, { method: "PUT", path: query, body: AZURE_CORS });
  if (!response.ok) throw new Error(await response.text());
}

/** The rule of `docs/stores/s3.md`. */
const S3_CORS =
  "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>" +
  ["GET", "HEAD", "PUT", "POST", "DELETE"]
    .map((method) => `<AllowedMethod>${method}</AllowedMethod>`)
    .join("") +
  "<AllowedHeader>*</AllowedHeader>" +
  ["ETag", "Date", "Content-Range", "x-amz-meta-litestream-timestamp", "x-amz-request-id"]
    .map((header) => `<ExposeHeader>${header}</ExposeHeader>`)
    .join("") +
  "<MaxAgeSeconds>600</MaxAgeSeconds></CORSRule></CORSConfiguration>";

async function allowBrowsersS3(address: ServerAddress): Promise<void> {
  const options = s3Options(address, BUCKET);
  const request = { method: "PUT", query: { cors: "" }, expiresInS: 60 };
  const { url } = await presignS3(options, request);
  const response = await fetch(url, { method: "PUT", body: S3_CORS });
  if (!response.ok) throw new Error(await response.text());
}
