/**
 * A drill in a temporary file, checked by the SQLite that the runtime brings.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DrillTarget } from "pagestream";
import { fileSinkOf } from "./file-sink.ts";
import type { NativeSqlite } from "./native-sqlite.ts";
import { openInThread, type ThreadDatabase } from "./thread-database.ts";

/** Options of `fileDrill`. */
export interface FileDrillOptions {
  /** Where there is room for the database. @default the system's folder for temporary files */
  readonly directory?: string | undefined;
}

/** Makes the target of a runtime: `fileDrill` with its SQLite. */
export function fileDrillOf(sqlite: NativeSqlite, options: FileDrillOptions = {}): DrillTarget {
  const folder = join(options.directory ?? tmpdir(), `pagestream-drill-${crypto.randomUUID()}`);
  const path = join(folder, "restored.db");
  let database: ThreadDatabase | undefined;
  return {
    // Nobody else may read what the replica may hold.
    sink: fileSinkOf(sqlite, path, { fileMode: 0o600 }),
    open: () => (database = openInThread(path, sqlite)),
    async dispose() {
      await database?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
