/**
 * The folder of a replica as a bucket of S3, read-only, in a process of its own: with a delay before each answer, and counted.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What was asked of a server. */
export interface Traffic {
  readonly requests: number;
  /** Bytes of the bodies that were sent. */
  readonly bytes: number;
  /** Milliseconds since the Unix epoch of the last request. */
  readonly lastAt: number;
}

/** A running server. */
export interface BucketServer {
  /** `http://127.0.0.1:<port>`; the replica is at the path `db` of the bucket `bucket`. */
  readonly origin: string;
  traffic(): Promise<Traffic>;
  close(): Promise<void>;
}

/** Serves `folder` with a delay of so many milliseconds. */
export async function startBucketServer(folder: string, delayMs: number): Promise<BucketServer> {
  const child = fork(fileURLToPath(import.meta.url), [folder, String(delayMs)]);
  const [origin] = (await once(child, "message")) as [string];
  return {
    origin,
    async traffic() {
      child.send("traffic");
      const [traffic] = (await once(child, "message")) as [Traffic];
      return traffic;
    },
    async close() {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

function serve(self: ChildProcess | NodeJS.Process, folder: string, delayMs: number): void {
  let traffic = { requests: 0, bytes: 0, lastAt: 0 };
  const count = (bytes: number): void => {
    traffic = { ...traffic, bytes: traffic.bytes + bytes };
  };
  const server = createServer((request, response) => {
    traffic = { ...traffic, requests: traffic.requests + 1, lastAt: Date.now() };
    setTimeout(() => answer(folder, { request, response, count }), delayMs);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => {
    self.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  self.on("message", () => self.send?.(traffic));
  self.on("disconnect", () => process.exit());
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly count: (bytes: number) => void;
}

function answer(folder: string, { request, response, count }: Call): void {
  const url = new URL(request.url ?? "/", "http://127.0.0.1");
  const key = decodeURIComponent(url.pathname).replace(/^\/bucket\/?/, "");
  if (key === "") {
    const body = listing(folder, url.searchParams);
    count(body.length);
    response.writeHead(200, { "content-type": "application/xml" }).end(body);
    return;
  }
  const [, level = "", name = ""] = /^db\/000([0-9])\/([0-9a-f-]+\.ltx)$/.exec(key) ?? [];
  const path = join(folder, "ltx", level, name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || name === "") {
    const body = "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>";
    response.writeHead(404, { "content-type": "application/xml" }).end(body);
    return;
  }
  const headers = {
    etag: etagOf(stat),
    "last-modified": stat.mtime.toUTCString(),
    "accept-ranges": "bytes",
  };
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const start = first === "" ? (last === "" ? 0 : stat.size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? stat.size - 1 : Math.min(Number(last), stat.size - 1);
  const length = end - start + 1;
  const range = `bytes ${start}-${end}/${stat.size}`;
  const isPart = request.headers.range !== undefined;
  response.writeHead(isPart ? 206 : 200, {
    ...headers,
    "content-length": length,
    ...(isPart ? { "content-range": range } : {}),
  });
  if (request.method === "HEAD") return void response.end();
  count(length);
  createReadStream(path, { start, end, highWaterMark: 1 << 20 }).pipe(response);
}

function listing(folder: string, query: URLSearchParams): string {
  const prefix = query.get("prefix") ?? "";
  const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
  const keys = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ltx"))
    .map((name) => name.replace(/^ltx\//, "db/000"))
    .filter((key) => key.startsWith(prefix) && key > after)
    .sort();
  const page = keys.slice(0, Number(query.get("max-keys") ?? 1000));
  const contents = page.map((key) => {
    const stat = statSync(join(folder, key.replace("db/000", "ltx/")));
    const etag = etagOf(stat).replaceAll('"', "&quot;");
    const time = stat.mtime.toISOString();
    return `<Contents><Key>${key}</Key><LastModified>${time}</LastModified><ETag>${etag}</ETag><Size>${stat.size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
  });
  const isCut = page.length < keys.length;
  const next = isCut ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
  return (
    `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
    `<Name>bucket</Name><Prefix>${prefix}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>1000</MaxKeys>` +
    `<IsTruncated>${isCut}</IsTruncated>${contents.join("")}${next}</ListBucketResult>`
  );
}

function etagOf({ mtimeMs, size }: { readonly mtimeMs: number; readonly size: number }): string {
  return `"${Math.floor(mtimeMs).toString(16)}-${size.toString(16)}"`;
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  serve(process, process.argv[2] as string, Number(process.argv[3]));
}
