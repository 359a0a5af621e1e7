/**
 * One replica over HTTP, for reading: the routes of `pagestream/http` behind a token.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import type { ObjectStore } from "pagestream";
import { replicaRoutes, type ReplicaRoutesOptions } from "pagestream/http";

/** Options of {@linkcode serveApp}. */
export interface ServeOptions extends Pick<
  ReplicaRoutesOptions,
  "corsOrigins" | "limits" | "onFailure" | "platform" | "sqlite3"
> {
  /** What every request must bring as bearer token. @default anyone may read */
  readonly token?: string | undefined;
  /** Whether only this machine can reach the server: then requests must name it by an address or as `localhost`. @default false */
  readonly isLoopback?: boolean | undefined;
}

/** The routes, and what they hold open. */
export interface ServedApp {
  /** For the server. */
  readonly app: Hono;
  /** Closes what was opened for requests. */
  close(): Promise<void>;
}

/** Makes the routes over a store, whose layout may be any. */
export function serveApp(store: ObjectStore, options: ServeOptions = {}): ServedApp {
  const { token, isLoopback = false, ...rest } = options;
  const authorize = token === undefined ? "public" : (c: Context): boolean => bears(c, token);
  const routes = replicaRoutes({ ...rest, replica: () => store, authorize });
  const app = new Hono();
  if (isLoopback) {
    app.use(async (c, next) => {
      if (isOwnName(c.req.header("host") ?? "")) return await next();
      const message = "the header Host names another machine than this one";
      return c.json({ error: { code: "BAD_REQUEST", message } }, 421);
    });
  }
  app.route("/", routes);
  return { app, close: () => routes.close() };
}

/** A page of elsewhere reaches a server of this machine by a name of its own that it lets point here: such names are refused. */
function isOwnName(host: string): boolean {
  const name = host.replace(/:\d{1,5}$/, "").toLowerCase();
  return name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Whether a request brings the token; takes the same time whatever it brings. */
function bears(c: Context, token: string): boolean {
  const [, given = ""] = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "") ?? [];
  const [a, b] = [given, token].map((each) => createHash("sha256").update(each).digest());
  return timingSafeEqual(a as Buffer, b as Buffer);
}
