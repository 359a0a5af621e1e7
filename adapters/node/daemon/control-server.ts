/**
 * The control API behind a Unix socket.
 *
 * @module
 */
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, unlinkSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { IoError } from "pagestream";

/** How long requests under way may take once the server closes, in milliseconds. */
const CLOSE_MS = 5_000;

/** Options of {@linkcode listenOnSocket}. */
export interface SocketOptions {
  /** Where the socket lies. */
  readonly path: string;
  /** Mode of the file, such as 0o600. */
  readonly permissions: number;
}

/** A server that listens. */
export interface SocketServer {
  /** Takes no further request, gives those under way five seconds, and removes the socket. */
  close(): Promise<void>;
}

/** Listens. A socket that nobody listens at any more is replaced; `IoError` where anything else lies there. */
export async function listenOnSocket(app: Hono, options: SocketOptions): Promise<SocketServer> {
  const { path, permissions } = options;
  await clear(path);
  const server = createServer(getRequestListener(app.fetch));
  // Nobody may connect before the mode is what it should be; the socket is there when the call returns.
  const umask = process.umask(0o177);
  const listening = once(server, "listening");
  server.listen(path);
  process.umask(umask);
  try {
    await listening;
  } catch (error) {
    throw refused(path, (error as Error).message, error);
  }
  chmodSync(path, permissions);
  return {
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

async function clear(path: string): Promise<void> {
  // The error of the system would speak of a permission.
  if (!existsSync(dirname(path))) throw refused(path, "there is no such directory");
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw refused(path, "a file that is no socket lies there");
  if (await isServed(path)) throw refused(path, "another process listens at it");
  unlinkSync(path);
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function refused(path: string, what: string, cause?: unknown): IoError {
  return new IoError({ operation: "listen at", object: path, what, cause });
}
