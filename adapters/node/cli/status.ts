/**
 * `pagestream status`: how a replica stands, or how the databases of the configuration do.
 *
 * @module
 */
import { statSync } from "node:fs";
import { replicaStatus, type ReplicaStatus, stateDirectory } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { hasConfig } from "./configuration.ts";
import { offlineStatus } from "./database-state.ts";
import { EXIT } from "./failure.ts";
import { formatBytes, formatCount, formatDuration, formatTable, formatTime } from "./format.ts";
import { exists, isRemote, openLocation, toPath } from "./location.ts";
import type { StatusFlags } from "./status-config.ts";

/**
 * Looks at a replica, or at databases of the configuration. A database without a configuration has Litestream's status
 * alone.
 */
export async function runStatus(text: string | undefined, flags: StatusFlags): Promise<number> {
  const { printOffline, runConfigStatus } = await import("./status-config.ts");
  if (text === undefined || flags.config !== undefined) return await runConfigStatus(text, flags);
  if (!isRemote(text)) {
    const path = toPath(text);
    const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    if (!isDirectory && hasConfig(flags)) return await runConfigStatus(path, flags);
    if (exists(path) && !isDirectory) {
      printOffline([offlineStatus({ path, metaPath: stateDirectory(path) })], flags);
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

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
