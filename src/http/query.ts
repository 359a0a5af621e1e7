/**
 * `POST /query`: SQL that only reads, on any state.
 *
 * @module
 */
import type { Context } from "hono";
import {
  openReplicaDatabase,
  type ReplicaDatabase,
  type SqlParameter,
} from "../api/open-replica-database.ts";
import { sqlValueToJson } from "../api/sql-json.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid } from "../ltx/file-name.ts";
import type { ReplicaView } from "../replica/reader-options.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";
import { receiveSmall } from "./ingest-body.ts";
import { boundFunctions } from "./query-functions.ts";
import type { Mounts } from "./mounted.ts";
import type { Attached, OpenReader } from "./open-reader.ts";
import type { Json } from "./openapi.ts";
import {
  atPosition,
  type Look,
  POSITION_PARAMETER,
  POSITION_TOLD,
  type PositionWait,
  targetOf,
} from "./position.ts";
import { fromJson, VALUE_SCHEMA } from "./query-values.ts";
import { Refusal } from "./refusal.ts";
import type { Route } from "./route.ts";
import type { Slots } from "./slots.ts";

/** Bounds of queries. A client may ask for less, never for more. */
export interface QueryLimits {
  /** Most rows of a result. @default 10000 */
  readonly rows?: number | undefined;
  /** Most bytes of all values of a result. @default 8388608 (8 MiB) */
  readonly bytes?: number | undefined;
  /** Milliseconds that a query may take, waits for the store included. @default 5000 */
  readonly ms?: number | undefined;
  /** Bytes of a request. @default 1048576 (1 MiB) */
  readonly bodyBytes?: number | undefined;
  /** Milliseconds in which the body of a request must begin. @default 10000 */
  readonly bodyMs?: number | undefined;
}

/** What the route needs. */
export interface QueryContext extends PositionWait {
  /** The replicas. */
  readonly mounts: Mounts;
  /** Queries at a time, those that wait for others included. */
  readonly slots: Slots;
  /** Loads sqlite-wasm; undefined where queries are not wanted. */
  readonly sqlite3: (() => Promise<Sqlite3>) | undefined;
  /** Bounds. */
  readonly limits: QueryLimits;
  /** Time and timers. */
  readonly platform: Platform;
}

/** What a client sends. */
interface Query {
  readonly sql: string;
  readonly params: readonly SqlParameter[] | Readonly<Record<string, SqlParameter>>;
  readonly txid: string | undefined;
  readonly timestamp: string | undefined;
  readonly maxRows: number;
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

const JSON_TYPE = "application/json";
const KEYS = ["sql", "params", "txid", "timestamp", "max_rows", "max_bytes", "timeout_ms"];

/** The route. */
export function queryRoute(context: QueryContext): Route {
  const text = (description: string): Json => ({ type: "string", description });
  const count = (description: string): Json => ({ type: "integer", minimum: 1, description });
  const properties: Json = {
    sql: text("One statement"),
    params: {
      description: "Values of its parameters: an array, or an object by their names",
      anyOf: [
        { type: "array", items: VALUE_SCHEMA },
        { type: "object", additionalProperties: VALUE_SCHEMA },
      ],
    },
    txid: text("Ask the state at this TXID"),
    timestamp: text("Ask the state at this time, RFC 3339 or like `5 minutes ago`"),
    max_rows: count("Refuse more rows"),
    max_bytes: count("Refuse more bytes of values"),
    timeout_ms: count("Give up after so many milliseconds"),
  };
  const result: Json = {
    type: "object",
    required: ["txid", "time", "columns", "rows", "stats"],
    properties: {
      txid: { type: "string" },
      time: { type: "string", format: "date-time" },
      columns: { type: "array", items: { type: "string" } },
      rows: { type: "array", items: { type: "array", items: VALUE_SCHEMA } },
      stats: { type: "object", description: "`requests`, `bytes` and `pages` it has cost" },
    },
  };
  return {
    method: "POST",
    path: "/query",
    operation: {
      operationId: "query",
      summary: "The rows of an SQL statement that only reads",
      description: [
        'A BLOB is `{"base64": "…"}`, and an INTEGER that JSON numbers do not hold exactly is `{"integer": "…"}`, both ways.',
        "Infinite numbers are answered as `Inf` and `-Inf`.",
        "What writes, attaches, loads or changes a setting is refused.",
      ].join(" "),
      parameters: [POSITION_PARAMETER],
      body: {
        description: "The statement and what it is asked of",
        type: JSON_TYPE,
        schema: { type: "object", required: ["sql"], additionalProperties: false, properties },
      },
      answers: {
        200: { description: "The rows", type: JSON_TYPE, schema: result, headers: POSITION_TOLD },
      },
      refusals: [
        "BAD_REQUEST",
        "NOT_FOUND",
        "BODY_TIMEOUT",
        "TOO_LARGE",
        "UNSUPPORTED_TYPE",
        "SQL",
        "QUERY_TIMEOUT",
        "NOT_ENABLED",
        "REPLICA_BEHIND",
      ],
    },
    handle: (c) => answer(c, context),
  };
}

async function answer(c: Context, context: QueryContext): Promise<Response> {
  const { mounts, slots, sqlite3, limits, platform } = context;
  c.header("cache-control", "no-store");
  if (sqlite3 === undefined) {
    throw new Refusal("NOT_ENABLED", "this server was set up without SQLite");
  }
  const place = slots.take();
  try {
    const query = await receiveQuery(c, limits, platform);
    const target = targetOf(query, platform);
    const mounted = await mounts.of(c);
    const { signal } = c.req.raw;
    return await mounted.withReader(async (opened) => {
      const look: Look<ReplicaView> = (state, isUrgent) => opened.view(state, { signal, isUrgent });
      const { txid } = await atPosition(c, look, { ...context, target });
      const isPast = query.txid !== undefined || query.timestamp !== undefined;
      const desk = await opened.attach("query", () => QueryDesk.open(sqlite3, opened));
      const { state, columns, rows, stats } = await desk.run(query, {
        target: isPast ? txid : undefined,
        signal,
        platform,
      });
      const id = formatTxid(state.txid);
      c.header("pagestream-position", id);
      const values = rows.map((row) => row.map(sqlValueToJson));
      return c.json({ txid: id, time: state.time, columns, rows: values, stats });
    });
  } finally {
    place.leave();
  }
}

/** One database for all queries of a replica. They run one after another, each with what it says of the state it ran on. */
class QueryDesk implements Attached {
  readonly #database: ReplicaDatabase;
  readonly #capi: Sqlite3["capi"];
  readonly #forget: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #isPast = false;

  private constructor(database: ReplicaDatabase, sqlite3: Sqlite3) {
    const { capi } = sqlite3;
    this.#database = database;
    this.#capi = capi;
    this.#forget = boundFunctions(sqlite3, database.db.pointer ?? 0);
  }

  static async open(
    load: () => Promise<Sqlite3>,
    { reader: replica, isShared }: OpenReader,
  ): Promise<QueryDesk> {
    const sqlite3 = await load();
    // A stack that one request has suspended would keep all others from their turn, and SQLite is one for all of them.
    const driver = isShared ? "auto" : "retry";
    return new QueryDesk(await openReplicaDatabase({ sqlite3, replica, driver }), sqlite3);
  }

  run(
    query: Query,
    options: {
      readonly target: bigint | undefined;
      readonly signal: AbortSignal;
      readonly platform: Platform;
    },
  ): Promise<Answered> {
    const { clock } = options.platform;
    const begun = clock.monotonic();
    const running = this.#last.then(() => {
      const leftMs = query.timeoutMs - (clock.monotonic() - begun);
      if (leftMs <= 0) throw new Refusal("BUSY", "other queries take long", { "retry-after": "1" });
      return this.#run({ ...query, timeoutMs: leftMs }, options);
    });
    this.#last = running.catch(() => undefined);
    return running;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#database.close();
    this.#forget();
  }

  async #run(
    { sql, params, maxRows, maxBytes, timeoutMs }: Query,
    { target, signal }: { readonly target: bigint | undefined; readonly signal: AbortSignal },
  ): Promise<Answered> {
    const database = this.#database;
    try {
      if (target !== undefined || this.#isPast) {
        await database.setTime(target === undefined ? undefined : { txid: target }, { signal });
        this.#isPast = target !== undefined;
      }
      const limits = { maxRows, maxBytes, timeoutMs, signal };
      const result = await database.execute(sql, params, limits);
      if (this.#capi.sqlite3_get_autocommit(database.db.pointer ?? 0) === 0) {
        // What one client began would hold the state that all others see.
        await database.execute("ROLLBACK");
        throw new Refusal("SQL", "a query is one statement by itself, without a transaction");
      }
      return { ...result, state: { txid: database.txid, time: database.time } };
    } catch (error) {
      if (isPagestreamError(error, "TIMEOUT")) {
        throw new Refusal("QUERY_TIMEOUT", "the query took longer than it may");
      }
      if (!isPagestreamError(error, "UNSUPPORTED")) throw error;
      throw new Refusal("SQL", "the state of a query is chosen by txid or timestamp");
    }
  }
}

/** Rows, and the state that they are of. */
type Answered = Awaited<ReturnType<ReplicaDatabase["execute"]>> & {
  readonly state: Pick<ReplicaDatabase, "txid" | "time">;
};

async function receiveQuery(c: Context, limits: QueryLimits, platform: Platform): Promise<Query> {
  const { rows = 10_000, bytes = 8 << 20, ms = 5000 } = limits;
  const { bodyBytes: maxBytes = 1 << 20, bodyMs: stallMs = 10_000 } = limits;
  const [type] = (c.req.header("content-type") ?? "").split(";");
  if (type?.trim().toLowerCase() !== JSON_TYPE) {
    throw new Refusal("UNSUPPORTED_TYPE", `the body is sent as ${JSON_TYPE}`);
  }
  const body = parse(await receiveSmall(c, { maxBytes, stallMs, clock: platform.clock }));
  const unknown = Object.keys(body).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw wrong(`there is no key ${JSON.stringify(unknown.slice(0, 40))}`);
  const { sql, params = [] } = body;
  if (typeof sql !== "string" || sql.trim() === "") throw wrong("sql is a statement");
  const text = (key: "txid" | "timestamp"): string | undefined => {
    const value = body[key];
    if (value === undefined || typeof value === "string") return value;
    throw wrong(`${key} is a text`);
  };
  const bound = (key: string, most: number): number => {
    const value = body[key] ?? most;
    if (Number.isSafeInteger(value) && Number(value) > 0) return Math.min(Number(value), most);
    throw wrong(`${key} is a number from 1`);
  };
  return {
    sql,
    params: fromJson(params),
    txid: text("txid"),
    timestamp: text("timestamp"),
    maxRows: bound("max_rows", rows),
    maxBytes: bound("max_bytes", bytes),
    timeoutMs: bound("timeout_ms", ms),
  };
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Told below.
  }
  throw wrong("the body is an object in JSON");
}

function wrong(message: string): Refusal {
  return new Refusal("BAD_REQUEST", message);
}
