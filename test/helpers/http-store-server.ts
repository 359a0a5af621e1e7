/**
 * A server on 127.0.0.1: of memory stores for `http-store.ts`, and of one folder for a browser.
 *
 * @module
 */
import { open, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { isPagestreamError } from "pagestream";
import { memoryStore } from "pagestream/transports/memory";
import type { ObjectInfo, ObjectStore } from "pagestream/transports/store-kit";
import { LIST_PAGE, type WireObject } from "./http-store.ts";

/** A running server. */
export interface StoreServer {
  /** `http://127.0.0.1:` and the port. */
  readonly origin: string;
  /** URL of a store for `httpStore`; it is empty until somebody writes. */
  storeUrl(name: string): string;
  /** The same store without HTTP. */
  store(name: string): ObjectStore;
  /** Ends every connection. */
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** Without these a page has no SharedArrayBuffer, and sqlite-wasm no VFS named `opfs`. */
const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** Options of {@linkcode startStoreServer}. */
export interface StoreServerOptions {
  /** Folder whose files are served below `/`, by default none; below `/isolated/` with COOP and COEP. */
  readonly folder?: string | undefined;
}

/** Starts a server on a free port. */
export async function startStoreServer(options: StoreServerOptions = {}): Promise<StoreServer> {
  const stores = new Map<string, ObjectStore>();
  const store = (name: string): ObjectStore => {
    const found = stores.get(name) ?? memoryStore();
    stores.set(name, found);
    return found;
  };
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const [, area, name, key] = url.pathname.split("/");
    try {
      if (area !== "store")
        return await serveFile(options.folder, url.pathname, { request, response });
      const call = { request, response, query: url.searchParams };
      await serveObject(store(name ?? ""), decodeURIComponent(key ?? ""), call);
    } catch (error) {
      response.writeHead(statusOf(error)).end();
    }
  };
  const server = createServer((request, response) => void respond(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    storeUrl: (name) => `${origin}/store/${name}`,
    store,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function statusOf(error: unknown): number {
  if (isPagestreamError(error, "NOT_FOUND")) return 404;
  if (isPagestreamError(error, "PRECONDITION_FAILED")) return 412;
  if ((error as { readonly code?: unknown }).code === "ENOENT") return 404;
  return isPagestreamError(error) ? 400 : 500;
}

async function serveFile(
  folder: string | undefined,
  path: string,
  { request, response }: Omit<Call, "query">,
): Promise<void> {
  if (folder === undefined || path.includes("..")) return void response.writeHead(404).end();
  const isolated = path.startsWith("/isolated/");
  const file = join(folder, isolated ? path.slice("/isolated".length) : path);
  const { mtime, mtimeMs, size } = await stat(file);
  const headers = {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "last-modified": mtime.toUTCString(),
    etag: `"${mtimeMs}-${size}"`,
    ...(isolated ? ISOLATION : {}),
  };
  const range = /^bytes=(\d+)-(\d*)$/.exec(headerOf(request, "range") ?? "");
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(Number(range?.[2] || Infinity) + 1, size);
  if (range !== null && start >= end) return void response.writeHead(416).end();
  const part = { "content-range": `bytes ${start}-${end - 1}/${size}` };
  const handle = await open(file);
  try {
    const bytes = Buffer.alloc(end - start);
    await handle.read(bytes, 0, bytes.length, start);
    response.writeHead(
      range === null ? 200 : 206,
      range === null ? headers : { ...headers, ...part },
    );
    response.end(bytes);
  } finally {
    await handle.close();
  }
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

async function serveObject(store: ObjectStore, key: string, call: Call): Promise<void> {
  const { request, response, query } = call;
  const ifMatch = headerOf(request, "if-match");
  if (request.method === "PUT") {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    await store.put(key, Buffer.concat(chunks), {
      ifNoneMatch: headerOf(request, "if-none-match") as "*" | undefined,
      ifMatch,
      metadata: JSON.parse(decodeURIComponent(headerOf(request, "x-metadata") ?? "{}")) as Record<
        string,
        string
      >,
    });
    response.writeHead(200, describe(await store.head(key))).end();
  } else if (request.method === "DELETE") {
    await store.deleteOne(key, { ifMatch });
    response.writeHead(204).end();
  } else if (request.method === "HEAD") {
    response.writeHead(200, describe(await store.head(key))).end();
  } else if (key === "") {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(await listPage(store, query)));
  } else {
    const number = (name: string): number | undefined =>
      query.has(name) ? Number(query.get(name)) : undefined;
    const range = { offset: number("offset"), length: number("length") };
    const { body, ...info } = await store.get(key, { ...range, ifMatch });
    response.writeHead(200, describe({ key, ...info }));
    for await (const chunk of body) response.write(chunk);
    response.end();
  }
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" ? value : undefined;
}

function describe(info: ObjectInfo): Record<string, string> {
  return {
    "x-object": encodeURIComponent(JSON.stringify(wireOf(info))),
    "cache-control": "no-store",
  };
}

function wireOf(info: ObjectInfo): WireObject {
  const { key, size, etag, lastModified, metadata = {} } = info;
  return { key, size, etag, lastModified: lastModified.getTime(), metadata };
}

async function listPage(store: ObjectStore, query: URLSearchParams): Promise<WireObject[]> {
  const page: WireObject[] = [];
  const prefix = query.get("prefix") ?? "";
  const startAfter = query.get("startAfter") ?? undefined;
  for await (const info of store.list({ prefix, startAfter })) {
    page.push(wireOf(info));
    if (page.length === LIST_PAGE) break;
  }
  return page;
}
