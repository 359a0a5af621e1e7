/**
 * Reads a replica page by page.
 *
 * @module
 */
export type {
  IndexStore,
  ReaderEvent,
  ReaderFollowing,
  ReaderOptions,
  ReaderRequest,
  ReaderStats,
  ReaderWait,
  ReplicaReader,
  ReplicaView,
  ViewOptions,
} from "./reader-options.ts";
