/**
 * VFSes for sqlite-wasm: two that store files, one over any VFS that captures commits, and one that reads replicas.
 *
 * @module
 */
export * from "../vfs/index.ts";
export {
  type DiffOptions,
  openReplicaDatabase,
  type OpenReplicaDatabaseOptions,
  type QueryOptions,
  type QueryParameters,
  type QueryResult,
  type QueryStats,
  type ReplicaDatabase,
  type ReplicaDiff,
  type ReplicaDriver,
  type Row,
  type RowKey,
  type SqlParameter,
  type SqlValue,
  type TableDiff,
  type ViewTarget,
} from "./open-replica-database.ts";
export { type SqlJson, sqlValueToJson } from "./sql-json.ts";
