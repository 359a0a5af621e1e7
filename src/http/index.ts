/**
 * A replica over HTTP, on any Hono application.
 *
 * @module
 */
export {
  type HttpLimits,
  replicaRoutes,
  type ReplicaRoutes,
  type ReplicaRoutesOptions,
} from "./replica-routes.ts";
export { ingestRoutes, type IngestLimits, type IngestRoutesOptions } from "./ingest-routes.ts";
export type { AccessOptions, Authorize } from "./route.ts";
export type { QueryLimits } from "./query.ts";
export type { RateOptions } from "./rate-limit.ts";
export type { Served } from "./mounted.ts";
export type { Context, Hono } from "hono";
export type { ListDatabases, ListedDatabase } from "./page-databases.ts";
