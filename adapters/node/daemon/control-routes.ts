/**
 * The control API: what other processes of this machine may ask the daemon, over HTTP with JSON.
 *
 * TXIDs are decimal numbers, timeouts seconds, and an error is `{"error": text, "details"?: text}`, as Litestream's.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { isPagestreamError } from "pagestream";
import type { Daemon } from "./daemon.ts";
import type { DaemonDatabase } from "./status.ts";

/** The daemon, as far as the control API needs one. */
export type ControlledDaemon = Pick<
  Daemon,
  | "get"
  | "register"
  | "snapshot"
  | "startDatabase"
  | "status"
  | "stopDatabase"
  | "sync"
  | "unregister"
>;

/** Options of {@linkcode controlRoutes}. */
export interface ControlOptions {
  /** Version of the command. */
  readonly version: string;
  /** Milliseconds since the epoch. @default the clock */
  readonly now?: (() => number) | undefined;
}

/** A request body, once it is known to be an object. */
type Body = Readonly<Record<string, unknown>>;

/** An answer that is not 200. */
class Refusal extends Error {
  readonly status: 400 | 404 | 409 | 500;
  readonly details: string | undefined;

  constructor(status: Refusal["status"], message: string, details?: string) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

/** Seconds that are waited where a request does not say. */
const TIMEOUT_S = 30;
const MAX_BODY_BYTES = 1 << 20;

/** Makes the routes. */
export function controlRoutes(daemon: ControlledDaemon, options: ControlOptions): Hono {
  const { version, now = Date.now } = options;
  const app = new Hono();
  const tooLarge = (c: Context): Response => c.json({ error: "request body too large" }, 413);
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge }));

  const post = (route: string, answer: (body: Body, path: string) => Promise<object>): void => {
    app.post(route, async (c) => {
      const body = await bodyOf(c);
      const { path } = body;
      if (path !== undefined && typeof path !== "string") throw badBody("path is no text");
      if (path === undefined || path === "") throw new Refusal(400, "path required");
      return c.json(await answer(body, path));
    });
    app.all(route, (c) => notAllowed(c, "POST"));
  };
  const get = (route: string, answer: (path: string | undefined) => object): void => {
    app.get(route, (c) => c.json(answer(c.req.query("path"))));
    app.all(route, (c) => notAllowed(c, "GET"));
  };
  const known = (path: string, status: 404 | 500): DaemonDatabase => {
    const database = daemon.get(path);
    if (database === undefined) throw new Refusal(status, `database not found: ${path}`);
    return database;
  };

  post("/start", async (body, path) => {
    const seconds = secondsOf(body, 0);
    known(path, 500);
    const start = daemon.startDatabase(path);
    const { ran, txid } = await (seconds === 0 ? start : within(start, seconds));
    return { status: ran ? "already_running" : "started", path, txid: Number(txid) };
  });

  post("/stop", async (body, path) => {
    const deadlineMs = secondsOf(body, TIMEOUT_S) * 1000;
    known(path, 500);
    const { ran, txid } = await daemon.stopDatabase(path, { deadlineMs });
    return { status: ran ? "stopped" : "already_stopped", path, txid: Number(txid) };
  });

  post("/sync", async (body, path) => {
    const wait = body["wait"] === true;
    const signal = wait ? AbortSignal.timeout(secondsOf(body, TIMEOUT_S) * 1000) : undefined;
    known(path, 404);
    const result = await orRefuse(path, daemon.sync(path, { wait, signal }));
    const { status, txid, replicatedTxid } = result;
    return { status, path, txid: Number(txid), replicated_txid: Number(replicatedTxid) };
  });

  post("/snapshot", async (_, path) => {
    known(path, 404);
    const { txid, size } = await orRefuse(path, daemon.snapshot(path));
    return { status: "uploaded", path, txid: Number(txid), size };
  });

  post("/register", async (body, path) => {
    const url = body["replica_url"];
    if (typeof url !== "string" || url === "") throw new Refusal(400, "replica_url required");
    try {
      return { status: daemon.register(path, url), path };
    } catch (error) {
      if (!isPagestreamError(error, "INVALID_ARGUMENT")) throw error;
      throw new Refusal(400, `invalid replica url: ${error.message}`);
    }
  });

  post("/unregister", async (body, path) => {
    const end = await daemon.unregister(path, { deadlineMs: secondsOf(body, TIMEOUT_S) * 1000 });
    if (end?.error !== undefined) throw end.error;
    const status = end === undefined ? "already_unregistered" : "unregistered";
    return { status, path, txid: Number(end?.position?.replicated ?? 0n) };
  });

  get("/txid", (path = "") => {
    if (path === "") throw new Refusal(400, "path required");
    const database = daemon.get(path);
    if (database === undefined) throw new Refusal(404, "database not found");
    return { txid: Number(database.position?.local ?? 0n) };
  });

  get("/list", () => ({ databases: daemon.status().databases.map(toListed) }));

  get("/info", () => {
    const { startedAt, databases } = daemon.status();
    return {
      version,
      pid: process.pid,
      uptime_seconds: Math.floor((now() - startedAt) / 1000),
      started_at: new Date(startedAt).toISOString(),
      database_count: databases.length,
    };
  });

  get("/debug/sync-status", (path = "") => ({
    databases: (path === "" ? daemon.status().databases : [known(path, 404)]).map((each) =>
      toSyncStatus(each, now()),
    ),
  }));

  app.notFound((c) => c.text("404 page not found\n", 404));
  app.onError((error, c) => {
    const { status, details } = error instanceof Refusal ? error : { status: 500 as const };
    return c.json({ error: error.message, ...(details === undefined ? {} : { details }) }, status);
  });
  return app;
}

async function bodyOf(c: Context): Promise<Body> {
  let body: unknown;
  try {
    body = await c.req.json();
  } catch (error) {
    throw badBody((error as Error).message);
  }
  if (typeof body !== "object" || body === null) throw badBody("it is no object");
  return body as Body;
}

function badBody(details: string): Refusal {
  return new Refusal(400, "invalid request body", details);
}

function notAllowed(c: Context, method: string): Response {
  return c.text("Method Not Allowed\n", 405, { allow: method });
}

function secondsOf(body: Body, otherwise: number): number {
  const { timeout } = body;
  if (timeout === undefined || timeout === null || timeout === 0) return otherwise;
  if (typeof timeout !== "number" || !(timeout > 0))
    throw badBody("timeout is no number of seconds");
  return timeout;
}

/** A database that is not open is no failure of the daemon. */
async function orRefuse<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isPagestreamError(error, "CLOSED")) throw error;
    throw new Refusal(409, `database not open: ${path}`);
  }
}

async function within<T>(work: Promise<T>, seconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timeout after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function toListed({ path, state, syncedAt, error }: DaemonDatabase): object {
  return {
    path,
    status: LISTED[state],
    ...(syncedAt === undefined ? {} : { last_sync_at: new Date(syncedAt).toISOString() }),
    ...(error === undefined ? {} : { error: error.message }),
  };
}

/** Litestream's words, and one for a database that cannot be opened yet. */
const LISTED: Readonly<Record<DaemonDatabase["state"], string>> = {
  starting: "open",
  replicating: "replicating",
  resting: "replicating",
  stalled: "replicating",
  closing: "open",
  waiting: "waiting",
  conflict: "stopped",
  stopped: "stopped",
};

/** What there is to tell, without zeros. */
function toSyncStatus(database: DaemonDatabase, now: number): object {
  const { path, state, position, stats, walBytes, error, snapshotting, updatedAt } = database;
  const active =
    snapshotting ||
    state === "starting" ||
    state === "closing" ||
    position?.local !== position?.replicated;
  return {
    path,
    active,
    ...(active ? { operation: snapshotting ? "snapshot" : "sync", phase: state } : {}),
    // A sync begins with the oldest commit that the replica lacks.
    ...(stats === undefined || stats.lagMs === 0
      ? {}
      : {
          started_at: new Date(now - stats.lagMs).toISOString(),
          elapsed_seconds: stats.lagMs / 1000,
        }),
    ...(updatedAt === undefined ? {} : { updated_at: new Date(updatedAt).toISOString() }),
    ...(snapshotting ? { snapshotting } : {}),
    ...(position === undefined ? {} : { txid: Number(position.local) }),
    ...(stats === undefined
      ? {}
      : { lag_seconds: stats.lagMs / 1000, pending_bytes: stats.pendingBytes }),
    ...(walBytes === 0 ? {} : { wal_size: walBytes, last_synced_wal_offset: walBytes }),
    ...(error === undefined ? {} : { error: error.message }),
  };
}
