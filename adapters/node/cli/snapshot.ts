/**
 * `pagestream snapshot`: a database file that nobody has open becomes, or brings up to date, a replica.
 *
 * @module
 */
import { statSync } from "node:fs";
import { hostname } from "node:os";
import {
  fileState,
  isPagestreamError,
  type Replication,
  replicate,
  type SnapshotResult,
  stateDirectory,
} from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { type FileSource, openFileSource } from "pagestream/vfs";
import { recoverTarget, syncFiles } from "../files.ts";
import { CommandError, EXIT, usageError, withHint } from "./failure.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatTable,
  paint,
  plural,
  shellQuote,
} from "./format.ts";
import { exists, type NamedReplica, openLocation, toPath } from "./location.ts";

/** Flags of `pagestream snapshot`. */
export interface SnapshotFlags {
  readonly json?: boolean;
}

/** What was done, for the summary. */
interface Done {
  readonly path: string;
  readonly replica: NamedReplica;
  readonly source: FileSource;
  readonly result: SnapshotResult;
  readonly uploaded: { readonly files: number; readonly bytes: number };
  readonly durationMs: number;
}

/** Uploads a database as it is, and prints what that came to. */
export async function runSnapshot(
  names: { readonly database: string | undefined; readonly replica: string | undefined },
  flags: SnapshotFlags,
): Promise<number> {
  const { database, replica: text } = names;
  if (database === undefined || text === undefined) {
    const missing = database === undefined ? "database" : "replica";
    throw usageError(`${missing} required`, "pagestream snapshot /path/to/db /path/to/replica");
  }
  const path = toPath(database);
  if (!exists(path)) {
    const message = `Cannot take a snapshot of ${path}: there is no such file`;
    throw new CommandError(message, { code: "NOT_FOUND", exitCode: EXIT.failure });
  }
  const replica = await openLocation(text, "write");
  const files = syncFiles();
  const lock = files.lock(path);
  try {
    recoverTarget(path);
    const fingerprint = (): string => {
      const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
      return [ino, size, mtimeNs, ctimeNs].join();
    };
    const source = openFileSource({ files, path, fingerprint });
    try {
      await upload({ path, replica, source }, flags);
    } finally {
      source.close();
    }
    return EXIT.ok;
  } catch (error) {
    throw helped(error, database, replica.text);
  } finally {
    lock.release();
    await replica.store.close?.();
  }
}

async function upload(
  what: Pick<Done, "path" | "replica" | "source">,
  flags: SnapshotFlags,
): Promise<void> {
  const { path, replica, source } = what;
  const start = performance.now();
  const state = fileState(syncFiles(), stateDirectory(path));
  // One snapshot is all that was asked for.
  const keep = { levels: [], retention: { enabled: false } };
  const owner = `${hostname()}:${process.pid}`;
  const replication = await replicate(source, replica.store, { state, owner, ...keep });
  const result = await snapshotOf(replication);
  const { files, bytes } = replication.stats;
  await replication.close();
  const durationMs = performance.now() - start;
  print({ ...what, result, uploaded: { files, bytes }, durationMs }, flags);
}

/** What failed is not tried again: the next call does that. */
async function snapshotOf(replication: Replication): Promise<SnapshotResult> {
  try {
    return await replication.snapshot();
  } catch (error) {
    await replication.close({ deadlineMs: 0 }).catch(() => undefined);
    throw error;
  }
}

function print(done: Done, flags: SnapshotFlags): void {
  const { path, replica, source, result, uploaded, durationMs } = done;
  const txid = formatTxid(result.txid);
  const { pageSize, commit } = source;
  if (flags.json === true) {
    const summary = {
      db_path: path,
      replica: replica.store.type,
      txid,
      duration_ms: Math.round(durationMs),
      bytes: pageSize * commit,
      page_size: pageSize,
      pages: commit,
      snapshot_bytes: result.size,
      uploaded_files: uploaded.files,
      uploaded_bytes: uploaded.bytes,
    };
    process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
    return;
  }
  const pages = `${plural(commit, "page")} of ${formatCount(pageSize)} bytes`;
  const rows = [
    ["  txid", txid],
    ["  size", `${formatBytes(pageSize * commit)} (${pages})`],
    [
      "  sent",
      uploaded.files === 0
        ? "nothing, the replica has it already"
        : `${formatBytes(uploaded.bytes)} in ${plural(uploaded.files, "file")}`,
    ],
    ["  took", formatDuration(durationMs)],
  ];
  const head = paint("bold", `Snapshot of ${path}`, process.stdout);
  process.stdout.write(`${head} in ${replica.text}\n${formatTable(rows)}`);
}

/** Adds the command line that would help: for a database that was not closed, and for one that is behind. */
function helped(error: unknown, database: string, replica: string): unknown {
  const [path, from] = [shellQuote(database), shellQuote(replica)];
  if (isPagestreamError(error, "UNSUPPORTED")) {
    return withHint(error, `sqlite3 ${path} "PRAGMA wal_checkpoint(TRUNCATE)"`);
  }
  if (isPagestreamError(error, "DATABASE_BEHIND")) {
    return withHint(error, `pagestream restore -force -o ${path} ${from}`);
  }
  return error;
}
