/**
 * `pagestream serve`: a replica over HTTP, for readers without the credentials of its store.
 *
 * @module
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { isPagestreamError, type ObjectStore, replicaStatus } from "pagestream";
import { serveApp } from "../serve/serve-app.ts";
import { listen, parseAddress, type ServeAddress } from "../serve/serve-server.ts";
import { createLogger, LOG_LEVELS, type LogLevel } from "../telemetry/logger.ts";
import type { ConfigFlags } from "./configuration.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";
import { type NamedTarget, openTarget } from "./location.ts";
import { loadSqliteWasm } from "./sqlite-wasm.ts";

/** Flags of `pagestream serve`. */
export interface ServeFlags extends ConfigFlags {
  readonly addr: string;
  readonly tokenFile?: string;
  readonly corsOrigin?: readonly string[];
  readonly query?: boolean;
  readonly logLevel?: string;
}

const TOKEN_VARIABLE = "PAGESTREAM_SERVE_TOKEN";
const HEAP_BYTES = 256 * 1024 * 1024;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Serves until a signal ends it. */
export async function runServe(text: string | undefined, flags: ServeFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("replica path or URL required", "pagestream serve file:///path/to/replica");
  }
  const address = parseAddress(flags.addr);
  const token = readToken(flags);
  const corsOrigins = (flags.corsOrigin ?? []).map(checkOrigin);
  const level = checkLevel(flags.logLevel ?? "info");
  if (token === undefined && !address.isLoopback) throw unprotected(flags.addr);
  const sqlite3 = flags.query === true ? await loadForStrangers() : undefined;
  const target = await openTarget(text, flags);
  try {
    return await serve(target, { address, token, corsOrigins, level, sqlite3 });
  } finally {
    await target.store.close?.();
  }
}

/** An SQLite that takes no more memory than it is given, whatever it is told to sort. */
async function loadForStrangers(): Promise<Sqlite3Static> {
  const sqlite3 = await loadSqliteWasm("serve --query");
  const db = new sqlite3.oo1.DB(":memory:");
  db.exec(`PRAGMA hard_heap_limit = ${HEAP_BYTES}`);
  db.close();
  return sqlite3;
}

async function serve(
  { store, text }: NamedTarget,
  options: {
    readonly address: ServeAddress;
    readonly token: string | undefined;
    readonly corsOrigins: readonly string[];
    readonly level: LogLevel;
    readonly sqlite3: Sqlite3Static | undefined;
  },
): Promise<number> {
  const { address, token, corsOrigins, level, sqlite3 } = options;
  const logger = createLogger({ level });
  const ending = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    logger.log("info", "signal received, pagestream shutting down", { signal });
    ending.abort();
  };
  // A second one ends the process at once.
  for (const signal of SIGNALS) process.once(signal, onSignal);
  try {
    const files = await servedAs(store, { text, signal: ending.signal });
    const onFailure = (error: unknown, path: string): void =>
      logger.log("warn", "cannot serve", { path, error });
    const { isLoopback } = address;
    const served = serveApp(store, { token, corsOrigins, isLoopback, onFailure, sqlite3 });
    const server = await listen(served.app, address);
    const { url } = server;
    logger.log("info", "serving", { url, replica: text, files, protected: token !== undefined });
    if (!ending.signal.aborted) await once(ending.signal, "abort");
    await server.close();
    await served.close();
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
  return EXIT.ok;
}

/**
 * What readers get: `plain`, `decrypted`, or `encrypted`, for which they need the key themselves. `CommandError` where the
 * key would not help them.
 */
export async function servedAs(
  store: ObjectStore,
  { text, signal }: { readonly text: string; readonly signal: AbortSignal },
): Promise<string> {
  if (store.encrypted === true) return "decrypted";
  try {
    const { encrypted } = await replicaStatus(store, { signal });
    if (!encrypted) return "plain";
  } catch (error) {
    if (isPagestreamError(error, "NO_BACKUP")) return "none yet";
    throw error;
  }
  if (store.layout !== "hex") return "encrypted";
  // An encrypted file opens under its own name only, and readers see another one.
  throw new CommandError(`Cannot serve ${text}: it is encrypted and its key is not given`, {
    code: "UNSUPPORTED",
    exitCode: EXIT.failure,
    hint: "pagestream serve --encryption-key ID=PATH REPLICA_URL",
  });
}

/** The token of the file, or else of the environment: an argument could be seen by every user of the machine. */
function readToken({ tokenFile }: ServeFlags): string | undefined {
  const where = tokenFile === undefined ? `$${TOKEN_VARIABLE}` : tokenFile;
  const text = tokenFile === undefined ? process.env[TOKEN_VARIABLE] : readFile(tokenFile);
  if (text === undefined) return undefined;
  const token = text.trim();
  if (/^[\w.~+/-]{16,}=*$/.test(token)) return token;
  throw usageError(
    `the token of ${where} cannot be used: 16 or more letters, digits and -._~+/ are needed`,
    "openssl rand -hex 32",
  );
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw usageError(`cannot read the token: ${error instanceof Error ? error.message : ""}`);
  }
}

function checkOrigin(origin: string): string {
  if (origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin)) return origin;
  throw usageError(
    `invalid value ${JSON.stringify(origin)} for flag -cors-origin: an origin, or *`,
    "-cors-origin https://app.example.com",
  );
}

function checkLevel(level: string): LogLevel {
  const found = LOG_LEVELS.find((each) => each === level);
  if (found !== undefined) return found;
  throw usageError(
    `invalid value ${JSON.stringify(level)} for flag -log-level: one of ${LOG_LEVELS.join(", ")}`,
  );
}

function unprotected(addr: string): CommandError {
  return usageError(
    `cannot listen on ${addr} without a token: others than this machine could read the database`,
    `${TOKEN_VARIABLE}=$(openssl rand -hex 32) pagestream serve -addr ${addr} REPLICA_URL`,
  );
}
