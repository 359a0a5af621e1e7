/**
 * Metrics and health over HTTP.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { InvalidArgumentError } from "pagestream";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";

/** What is served, and where. */
export interface TelemetryOptions {
  /** Address of `/metrics`, and of `/health` too unless that has one of its own: `host:port`, or `:port` for every interface. */
  readonly addr?: string | undefined;
  /** Address of `/health`. @default that of `/metrics` */
  readonly healthAddr?: string | undefined;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  /** Looked at with each request. */
  readonly health: () => Health;
}

/** Servers that listen. */
export interface TelemetryServer extends AsyncDisposable {
  /** The addresses, `host:port`, in the order of the options. */
  readonly addresses: readonly string[];
  /** Ends what is under way, and frees the addresses. */
  close(): Promise<void>;
}

type Route = (response: ServerResponse) => void | Promise<void>;

/**
 * Listens where an address is given. Rejects with `InvalidArgumentError` for an address that is none, and with the
 * system's error where nobody can listen there.
 */
export async function serveTelemetry(options: TelemetryOptions): Promise<TelemetryServer> {
  const { addr, healthAddr = addr, metrics, health } = options;
  const byAddress = new Map<string, Record<string, Route>>();
  const route = (address: string | undefined, path: string, answer: Route): void => {
    if (address !== undefined) {
      byAddress.set(address, { ...byAddress.get(address), [path]: answer });
    }
  };
  route(addr, "/metrics", async (response) => {
    const text = await metrics.text();
    response.writeHead(200, { "content-type": metrics.contentType }).end(text);
  });
  route(healthAddr, "/health", (response) => {
    const report = health();
    response.writeHead(report.status === "ok" ? 200 : 503, { "content-type": "application/json" });
    response.end(`${JSON.stringify(report)}\n`);
  });
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(closeServer));
  };
  try {
    for (const [address, routes] of byAddress) servers.push(await listen(address, routes));
  } catch (error) {
    await close();
    throw error;
  }
  return { addresses: servers.map(addressOf), close, [Symbol.asyncDispose]: close };
}

async function listen(address: string, routes: Readonly<Record<string, Route>>): Promise<Server> {
  const match = /^(.*):(\d{1,5})$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new InvalidArgumentError({
      operation: "listen on",
      object: address,
      what: "an address is host:port, or :port",
    });
  }
  const server = createServer((request, response) => void answer(request, response, routes));
  const host = match[1]?.replace(/^\[(.*)\]$/, "$1");
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host ? { host } : {}) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: Readonly<Record<string, Route>>,
): Promise<void> {
  const [path = ""] = (request.url ?? "").split("?");
  const found = Object.hasOwn(routes, path) ? routes[path] : undefined;
  try {
    if (found === undefined) plain(response, 404, "not found");
    else if (request.method !== "GET" && request.method !== "HEAD") {
      plain(response.setHeader("allow", "GET, HEAD"), 405, "method not allowed");
    } else await found(response);
  } catch {
    if (!response.headersSent) plain(response, 500, "failed");
  }
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain" }).end(`${text}\n`);
}

function addressOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
