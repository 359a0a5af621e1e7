/**
 * The servers that stores over the web are tried on in every runtime, ready to be used: buckets made, browsers let in.
 *
 * @module
 */
import { presignS3 } from "pagestream/transports/s3";
import { makeContainer } from "../stores/azure-containers.ts";
import { makeBucket, s3Options } from "../stores/s3-kit.ts";
import type { WebAddresses } from "../runtime/web-stores.ts";
import type { ServerAddress } from "./server.ts";
import { startServers } from "./start.ts";

const BUCKET = "everywhere";

/** Which server plays each store. */
const PLAYERS: Readonly<Record<string, string>> = {
  s3: "seaweedfs",
  azure: "azurite",
  webdav: "rclone-webdav",
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
  const { s3 = {}, azure = {} } = addresses;
  await makeBucket(s3Options(s3, BUCKET));
  await allowBrowsersS3(s3);
  await makeContainer(azure, BUCKET);
  addresses["s3"] = { ...s3, bucket: BUCKET };
  addresses["azure"] = { ...azure, container: BUCKET };
  return { addresses, end };
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
