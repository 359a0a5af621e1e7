/**
 * The routes on a real server, and clients that keep to no rules.
 *
 * @module
 */
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";

/** A server that listens on this machine. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/** Serves an application. */
export async function startServer(app: Hono): Promise<TestServer> {
  const server = createServer({ headersTimeout: 2000 }, getRequestListener(app.fetch));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a server says to bytes that are sent as they are. */
export interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

/** Opens a connection and sends `request`; the connection is the caller's. */
export function sendRaw(port: number, request: string): Socket {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  // What a server does to a client that misbehaves is looked at in what it answers.
  socket.on("error", () => undefined);
  socket.write(request, "latin1");
  return socket;
}

/** The answer to `request`, up to the end of the connection. */
export async function askRaw(port: number, request: string): Promise<RawAnswer> {
  const socket = sendRaw(port, request);
  let text = "";
  try {
    for await (const chunk of socket) text += chunk as string;
  } catch {
    // Whatever came before the connection broke is the answer.
  }
  return { status: Number(text.slice(9, 12)), text };
}

/** A request for a path that nobody normalizes. */
export function getRaw(port: number, path: string, headers = ""): Promise<RawAnswer> {
  return askRaw(
    port,
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n`,
  );
}
