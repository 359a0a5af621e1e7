/**
 * `pagestream snapshot`: a database becomes, or brings up to date, a replica. The daemon that replicates it does that; else a
 * file that nobody has open is read as it is, and one that is in use by the follower of its WAL.
 *
 * @module
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { hostname } from "node:os";
import {
  type CommitSource,
  fileState,
  isPagestreamError,
  type Replication,
  replicate,
  type SnapshotResult,
  stateDirectory,
} from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { openFileSource } from "pagestream/vfs";
import { recoverTarget, syncFiles } from "../files.ts";
import { type ConfigFlags, databaseAt, hasConfig, readConfiguration } from "./configuration.ts";
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
import { exists, type NamedReplica, openDatabase, openLocation, toPath } from "./location.ts";

/** Flags of `pagestream snapshot`. */
export interface SnapshotFlags extends ConfigFlags {
  readonly json?: boolean;
}

/** What was done, for the summary. */
interface Done {
  readonly path: string;
  readonly replica: NamedReplica;
  readonly source: CommitSource;
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
  const isConfigured = text === undefined && hasConfig(flags);
  if (database === undefined || (text === undefined && !isConfigured)) {
    const missing = database === undefined ? "database" : "replica";
    throw usageError(`${missing} required`, "pagestream snapshot /path/to/db /path/to/replica");
  }
  if (text !== undefined && flags.config !== undefined) {
    throw usageError("cannot specify a replica URL and the -config flag");
  }
  const path = toPath(database.replace(/^sqlite3?:\/\//, ""));
  const config = isConfigured ? await readConfiguration(flags) : undefined;
  const entry = config && databaseAt(config, path);
  if (config?.socket.enabled === true && (await byDaemon(path, config.socket.path, flags))) {
    return EXIT.ok;
  }
  if (!exists(path)) {
    const message = `Cannot take a snapshot of ${path}: there is no such file`;
    throw new CommandError(message, { code: "NOT_FOUND", exitCode: EXIT.failure });
  }
  const replica =
    entry === undefined
      ? await openLocation(text ?? "", "write")
      : await openDatabase(entry, "write");
  const metaPath = entry?.metaPath ?? stateDirectory(path);
  try {
    if (isInUse(path)) await uploadLive({ path, metaPath, replica }, flags);
    else await uploadFile({ path, metaPath, replica }, flags);
    return EXIT.ok;
  } catch (error) {
    throw helped(error, database, replica.text);
  } finally {
    await replica.store.close?.();
  }
}

/** Whether the daemon that replicates the database has uploaded a snapshot; it need not run, nor know of it. */
async function byDaemon(path: string, socket: string, flags: SnapshotFlags): Promise<boolean> {
  const { askDaemon } = await import("../daemon/control-client.ts");
  const body = { path };
  const question = { socket, route: "/snapshot", body, timeoutMs: 2 ** 31 - 1 };
  const answer = await askDaemon(question).catch(() => undefined);
  // It may have stopped replicating this one, or never have begun.
  if (answer === undefined || answer.status === 404 || answer.status === 409) return false;
  const told = answer.body as { readonly txid: number; readonly size: number; error?: string };
  if (answer.status !== 200) {
    const message = `snapshot failed: ${told.error ?? String(answer.body)}`;
    throw new CommandError(message, { code: "CONTROL", exitCode: EXIT.failure });
  }
  const txid = formatTxid(BigInt(told.txid));
  if (flags.json === true) {
    const summary = { db_path: path, txid, snapshot_bytes: told.size };
    process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
  } else {
    const head = paint("bold", `Snapshot of ${path}`, process.stdout);
    const rows = [
      ["  txid", txid],
      ["  sent", `${formatBytes(told.size)} by the running daemon`],
    ];
    process.stdout.write(`${head}\n${formatTable(rows)}`);
  }
  return true;
}

/** Whether a program may have it open: in WAL mode, with the memory that its connections share. */
function isInUse(path: string): boolean {
  if (!exists(`${path}-shm`)) return false;
  const header = new Uint8Array(20);
  const file = openSync(path, "r");
  try {
    readSync(file, header);
  } finally {
    closeSync(file);
  }
  return header[18] === 2;
}

type Place = Pick<Done, "path" | "replica"> & { readonly metaPath: string };

async function uploadLive(place: Place, flags: SnapshotFlags): Promise<void> {
  const { nodeSqliteDriver, openWalFollower } = await import("pagestream/files-kit");
  const options = { driver: nodeSqliteDriver, files: syncFiles() };
  const source = await openWalFollower(place.path, options);
  try {
    await upload({ ...place, source }, flags);
  } finally {
    await source.close();
  }
}

async function uploadFile(place: Place, flags: SnapshotFlags): Promise<void> {
  const { path } = place;
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
      await upload({ ...place, source }, flags);
    } finally {
      source.close();
    }
  } finally {
    lock.release();
  }
}

async function upload(what: Place & Pick<Done, "source">, flags: SnapshotFlags): Promise<void> {
  const { metaPath, replica, source } = what;
  const start = performance.now();
  const state = fileState(syncFiles(), metaPath);
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
