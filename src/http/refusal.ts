/**
 * Answers in place of a result: one shape, one code each, and nothing that names the store behind.
 *
 * @module
 */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { type ErrorCode, isPagestreamError, type PagestreamError } from "../core/errors.ts";
import { TxidNotAvailableError } from "../replica/errors.ts";
import { formatTxid } from "../ltx/file-name.ts";

/** Code of an answer that is no result. */
export type RefusalCode =
  | "BAD_REQUEST"
  | "UNAUTHORIZED"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "NOT_ACCEPTABLE"
  | "BODY_TIMEOUT"
  | "CONFLICT"
  | "PRECONDITION_FAILED"
  | "TOO_LARGE"
  | "UNSUPPORTED_TYPE"
  | "INVALID_FILE"
  | "RANGE_NOT_SATISFIABLE"
  | "SQL"
  | "QUERY_TIMEOUT"
  | "RATE_LIMITED"
  | "INTERNAL"
  | "NOT_ENABLED"
  | "STORE"
  | "BUSY"
  | "REPLICA_BEHIND";

/** Status of an answer that is no result. */
type RefusalStatus =
  | 400
  | 401
  | 404
  | 405
  | 406
  | 408
  | 409
  | 412
  | 413
  | 415
  | 416
  | 422
  | 429
  | 500
  | 501
  | 502
  | 503;

/** Every `code` of an answer `{"error": {"code", "message"}}`, with its status and when it is given. */
export const REFUSALS: Readonly<
  Record<RefusalCode, readonly [status: RefusalStatus, when: string]>
> = {
  BAD_REQUEST: [400, "A path, parameter, header or body cannot be understood"],
  UNAUTHORIZED: [401, "The hook `authorize` did not let the request pass"],
  NOT_FOUND: [404, "There is no such route, file, page or state"],
  METHOD_NOT_ALLOWED: [405, "The route has other methods, named by `Allow`"],
  NOT_ACCEPTABLE: [406, "The client accepts no form that there is"],
  BODY_TIMEOUT: [408, "The body of the request did not come in time"],
  CONFLICT: [409, "Another writer is ahead, or the file does not follow"],
  PRECONDITION_FAILED: [412, "`If-Match` names another version"],
  TOO_LARGE: [
    413,
    "The body of the request, or what a query gives or reads, is larger than allowed",
  ],
  UNSUPPORTED_TYPE: [415, "The body of the request is of another type"],
  RANGE_NOT_SATISFIABLE: [416, "The file ends before the range, and `Content-Range` tells where"],
  INVALID_FILE: [422, "The body is not the sound file that its path names"],
  SQL: [422, "SQLite refuses the statement"],
  QUERY_TIMEOUT: [422, "The query took longer than allowed and was ended"],
  RATE_LIMITED: [429, "Too many requests; `Retry-After` tells when to come again"],
  INTERNAL: [500, "The server failed"],
  NOT_ENABLED: [501, "The server, or a replica of Litestream 0.3, is without what the route needs"],
  STORE: [502, "The replica could not be read"],
  BUSY: [503, "Too much is under way; `Retry-After` tells when to come again"],
  REPLICA_BEHIND: [503, "The replica has not come to the position of `Pagestream-Position` yet"],
};

/** Thrown by a route to answer with an error. */
export class Refusal extends HTTPException {
  /** What programs look at. */
  readonly code: RefusalCode;
  /** Headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  /** `message` is for people: no final period, and nothing secret. */
  constructor(code: RefusalCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(REFUSALS[code][0], { message });
    this.code = code;
    this.headers = headers;
  }
}

/** What is answered for an error of the library; undefined for a failure that is told to nobody outside. */
const TOLD: Partial<Record<ErrorCode, (error: PagestreamError) => Refusal>> = {
  INVALID_ARGUMENT: (error) => new Refusal("BAD_REQUEST", error.message),
  NOT_FOUND: () => new Refusal("NOT_FOUND", "there is no such file"),
  NO_BACKUP: () => new Refusal("NOT_FOUND", "the replica is empty"),
  TXID_NOT_AVAILABLE: (error) => {
    const { earlier, later } = error instanceof TxidNotAvailableError ? error : {};
    const near = [earlier, later].filter((txid) => txid !== undefined).map(formatTxid);
    const hint = near.length === 0 ? "" : `; the nearest states are ${near.join(" and ")}`;
    return new Refusal("NOT_FOUND", `no state of this TXID can be restored${hint}`);
  },
  TIMESTAMP_NOT_AVAILABLE: () =>
    new Refusal("NOT_FOUND", "no state as old as this time can be restored"),
  PRECONDITION_FAILED: () =>
    new Refusal("BUSY", "the file was replaced meanwhile", { "retry-after": "1" }),
  REPLICA_BEHIND: () =>
    new Refusal("REPLICA_BEHIND", "the replica has not come to this position", {
      "retry-after": "1",
    }),
  QUERY: (error) => new Refusal("SQL", error.message),
  LIMIT: ({ message, nextStep }) => {
    // The limits are those of the server: a client can only ask for less.
    const what = message.replace(`. ${nextStep}`, "");
    return new Refusal("TOO_LARGE", `${what}; a condition or LIMIT asks for less`);
  },
  CACHE_FULL: () => new Refusal("TOO_LARGE", "the query reads more pages than this server keeps"),
  CLOSED: () => new Refusal("BUSY", "the server is closing", { "retry-after": "5" }),
};

/** The answer for whatever a route threw, and whether it is a failure of ours that somebody should see. */
export function refusalOf(error: unknown): { readonly refusal: Refusal; readonly failed: boolean } {
  if (error instanceof Refusal) return { refusal: error, failed: false };
  if (!isPagestreamError(error)) {
    return { refusal: new Refusal("INTERNAL", "the server failed"), failed: true };
  }
  const known = TOLD[error.code]?.(error);
  const refusal = known ?? new Refusal("STORE", "the replica could not be read");
  return { refusal, failed: known === undefined };
}

/** Headers that say something of a result. */
const OF_RESULTS = [
  "accept-ranges",
  "content-disposition",
  "content-encoding",
  "content-location",
  "etag",
  "last-modified",
];

/** An answer that is no result: never kept by caches, and without what was said of a result before. */
export function sendRefusal(c: Context, { code, message, status, headers }: Refusal): Response {
  const told = { ...headers, "cache-control": "no-store" };
  if (!c.finalized) {
    for (const name of OF_RESULTS) c.header(name, undefined);
    for (const [name, value] of Object.entries(told)) c.header(name, value);
    return c.json({ error: { code, message } }, status);
  }
  // Somebody said that there is nothing: what that answer tells of origins stays.
  c.res = Response.json({ error: { code, message } }, { status, headers: told });
  c.res.headers.set("x-content-type-options", "nosniff");
  return c.res;
}
