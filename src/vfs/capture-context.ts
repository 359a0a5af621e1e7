/**
 * What the databases of one capture share.
 *
 * @module
 */
import type { CommitWrapper } from "./preparation.ts";
import type { Sqlite3 } from "./sqlite3.ts";

/** What the databases of one capture share. */
export interface CaptureContext {
  readonly sqlite3: Sqlite3;
  readonly wrapper: CommitWrapper;
  /** Whether what is written is copied, because the parent is dear to read. */
  readonly copyWrites: boolean;
  /** Called when nobody would miss the state of a path any more. */
  readonly onIdle?: (() => void) | undefined;
}
