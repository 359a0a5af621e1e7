/**
 * The server in front of the routes: its address, its patience with clients, and its end.
 *
 * @module
 */
import { createServer } from "node:http";
import { type AddressInfo, isIPv4, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { InvalidArgumentError, IoError } from "pagestream";

/** Where to listen. */
export interface ServeAddress {
  /** Name or address of an interface; undefined for all of them. */
  readonly host: string | undefined;
  readonly port: number;
  /** Whether only this machine can reach it. */
  readonly isLoopback: boolean;
}

/** A server that listens. */
export interface ServeServer {
  /** `http://host:port`, with the port that it has. */
  readonly url: string;
  /** Takes no further request, and gives those under way five seconds. */
  close(): Promise<void>;
}

const CLOSE_MS = 5_000;
const IDLE_MS = 50;
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
/** A connection on which nothing moves for so long is a client that has gone. */
const SILENCE_MS = 60_000;
const MAX_CONNECTIONS = 1_024;

/** Parses `host:port`, or `:port` for every interface; `InvalidArgumentError` for any other text. */
export function parseAddress(text: string): ServeAddress {
  const match = /^(\[[\da-f:.]+\]|[^:[\]\s/]*):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    const what = "an address is host:port, or :port";
    throw new InvalidArgumentError({ operation: "listen on", object: text, what });
  }
  const host = match[1]?.replace(/^\[(.*)\]$/, "$1");
  const isLoopback =
    host === "localhost" ||
    host === "::1" ||
    (isIPv4(host ?? "") && host?.startsWith("127.") === true);
  return { host: host === "" ? undefined : host, port, isLoopback };
}

/** Listens; `IoError` where nobody can. */
export async function listen(app: Hono, address: ServeAddress): Promise<ServeServer> {
  const { host, port } = address;
  const limits = { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS };
  const server = createServer(limits, getRequestListener(app.fetch));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(SILENCE_MS);
  // Clients open connections ahead; the server's own notion of idle ones leaves those out, and they would delay its end.
  const waiting = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    waiting.add(socket);
    socket.once("close", () => waiting.delete(socket));
  });
  server.on("request", ({ socket }, response) => {
    waiting.delete(socket);
    response.once("close", () => {
      if (!socket.destroyed) waiting.add(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", (cause) => {
      const object = `${host ?? ""}:${port}`;
      reject(new IoError({ operation: "listen on", object, what: cause.message, cause }));
    });
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  const { address: bound, family, port: given } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${bound}]` : bound}:${given}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const idle = setInterval(() => {
        for (const socket of waiting) socket.destroy();
      }, IDLE_MS);
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
      await closed;
      clearInterval(idle);
      clearTimeout(timer);
    },
  };
}
