/**
 * `pagestream status`: how a replica stands, or what Litestream's `status` says of a database.
 *
 * @module
 */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { replicaStatus, type ReplicaStatus, stateDirectory } from "pagestream";
import { formatTxid, parseFileName } from "pagestream/ltx";
import { EXIT, usageError } from "./failure.ts";
import { formatBytes, formatCount, formatDuration, formatTable, formatTime } from "./format.ts";
import { isRemote, openLocation, toPath } from "./location.ts";

/** Flags of `pagestream status`. */
export interface StatusFlags {
  readonly json?: boolean;
}

/** Looks at a replica or, where a file is named, at what replicating it has left beside it. */
export async function runStatus(text: string | undefined, flags: StatusFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("replica or database required", "pagestream status file:///path/to/replica");
  }
  if (!isRemote(text)) {
    const path = toPath(text);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) {
      printDatabase(path, flags);
      return EXIT.ok;
    }
  }
  const named = await openLocation(text);
  try {
    const status = await replicaStatus(named.store);
    const { type } = named.store;
    if (flags.json === true) printJson(toJson(status, { replica: named.text, type }));
    else printReplica(status, named.text, type);
  } finally {
    await named.store.close?.();
  }
  return EXIT.ok;
}

function toJson(
  status: ReplicaStatus,
  named: { readonly replica: string; readonly type: string },
): object {
  const { newest, snapshot, levels, lease, pointer, encrypted } = status;
  const stateOf = ({ txid, time }: ReplicaStatus["newest"]): object => ({
    txid: formatTxid(txid),
    time: formatTime(time),
  });
  return {
    ...named,
    newest: stateOf(newest),
    snapshot: snapshot && stateOf(snapshot),
    encrypted,
    pointer: pointer && formatTxid(pointer),
    lease:
      lease === undefined || lease === "unreadable"
        ? lease
        : {
            owner: lease.owner,
            generation: lease.generation,
            expires_at: formatTime(lease.expiresAt),
            held: isHeld(lease),
          },
    levels: levels.map(({ level, files, bytes, minTxid, maxTxid, firstTime, lastTime }) => ({
      level,
      files,
      bytes,
      min_txid: formatTxid(minTxid),
      max_txid: formatTxid(maxTxid),
      first_time: formatTime(firstTime),
      last_time: formatTime(lastTime),
    })),
  };
}

function printReplica(status: ReplicaStatus, replica: string, type: string): void {
  const { newest, snapshot, levels, lease, pointer, encrypted } = status;
  const stateOf = ({ txid, time }: ReplicaStatus["newest"]): string =>
    `${formatTxid(txid)} of ${formatTime(time)}, ${ago(time)}`;
  const rows = [
    ["replica", `${replica} (${type}${encrypted ? ", encrypted" : ""})`],
    ["newest", stateOf(newest)],
    ["snapshot", snapshot === undefined ? "none" : stateOf(snapshot)],
    ["lease", leaseText(lease, encrypted)],
    ["pointer", pointer === undefined ? "none" : formatTxid(pointer)],
  ];
  const files = [["level", "files", "bytes", "min_txid", "max_txid", "first_time", "last_time"]];
  for (const each of levels) {
    files.push([
      String(each.level),
      formatCount(each.files),
      formatBytes(each.bytes),
      formatTxid(each.minTxid),
      formatTxid(each.maxTxid),
      formatTime(each.firstTime),
      formatTime(each.lastTime),
    ]);
  }
  process.stdout.write(`${formatTable(rows)}\n${formatTable(files)}`);
}

function leaseText(lease: ReplicaStatus["lease"], encrypted: boolean): string {
  if (lease === undefined) return "none";
  if (lease === "unreadable") return encrypted ? "cannot be decrypted" : "its object is no lease";
  const owner = lease.owner === "" ? "a writer without a name" : lease.owner;
  const state = isHeld(lease) ? "held by" : "free, last held by";
  return `${state} ${owner}, generation ${lease.generation}, until ${formatTime(lease.expiresAt)}`;
}

function isHeld({ expiresAt }: { readonly expiresAt: Date }): boolean {
  return expiresAt.getTime() > Date.now();
}

function ago(time: Date): string {
  const ms = Date.now() - time.getTime();
  if (ms < 0) return "ahead of this clock";
  const hours = ms / 3_600_000;
  return hours < 1 ? `${formatDuration(ms)} ago` : `${formatCount(Math.floor(hours))} h ago`;
}

/** Litestream's columns: it counts as initialized once a file of level 0 lies beside the database. */
function printDatabase(path: string, flags: StatusFlags): void {
  const txid = localTxid(path);
  const row = {
    database: path,
    status: txid === undefined ? "not initialized" : "ok",
    local_txid: txid === undefined ? "-" : formatTxid(txid),
    wal_size: roundBytes(statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0),
  };
  if (flags.json === true) return printJson([row]);
  const head = ["database", "status", "local txid", "wal size"];
  process.stdout.write(formatTable([head, Object.values(row)]));
}

/** A size as Litestream writes it: two digits below ten, no fraction from there on. */
function roundBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  const tenths = Math.floor(value * 10 + 0.5) / 10;
  return `${bytes < 10 ? bytes : tenths.toFixed(tenths < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The largest TXID of level 0 that Litestream, or a replication of ours that has uploads to do, keeps on this machine. */
function localTxid(path: string): bigint | undefined {
  const litestream = join(dirname(path), `.${basename(path)}-litestream`);
  let max: bigint | undefined;
  for (const directory of [litestream, stateDirectory(path)]) {
    for (const name of namesIn(join(directory, "ltx", "0"))) {
      const txid = parseFileName(name)?.maxTxid;
      if (txid !== undefined && (max === undefined || txid > max)) max = txid;
    }
  }
  return max;
}

function namesIn(directory: string): readonly string[] {
  return statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true
    ? readdirSync(directory)
    : [];
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
