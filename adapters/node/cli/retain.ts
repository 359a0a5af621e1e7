/**
 * `pagestream retain`.
 *
 * @module
 */
import { retain, type RetentionPlan } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { CommandError, EXIT, usageError } from "./failure.ts";
import { formatBytes, formatTable, formatTime, plural } from "./format.ts";
import { type NamedReplica, openLocation } from "./location.ts";

/** Flags of `pagestream retain`. */
export interface RetainFlags {
  readonly dryRun?: boolean;
  readonly releaseAdopted?: boolean;
  readonly snapshotRetention?: string;
  readonly l0Retention?: string;
  readonly json?: boolean;
}

/** Removes what a replica need not keep, or tells what that would be, and why. */
export async function runRetain(text: string | undefined, flags: RetainFlags): Promise<number> {
  if (text === undefined) {
    const hint = "pagestream retain -dry-run file:///path/to/replica";
    throw usageError("replica path or URL required", hint);
  }
  const { dryRun = false, releaseAdopted } = flags;
  const retentionMs = toMs("snapshot-retention", flags.snapshotRetention);
  const l0RetentionMs = toMs("l0-retention", flags.l0Retention);
  const replica = await openLocation(text, dryRun ? "read" : "write");
  let plan: RetentionPlan;
  try {
    plan = await retain(replica.store, {
      dryRun,
      releaseAdopted,
      snapshot: { retentionMs },
      l0RetentionMs,
    });
  } finally {
    await replica.store.close?.();
  }
  if (plan.decisions.length === 0) {
    const message = `Cannot remove files of ${replica.text}: it holds no LTX files`;
    throw new CommandError(message, { code: "NO_BACKUP", exitCode: EXIT.noBackup });
  }
  print(plan, { replica, flags });
  return EXIT.ok;
}

function print(
  plan: RetentionPlan,
  what: { readonly replica: NamedReplica; readonly flags: RetainFlags },
): void {
  const { replica, flags } = what;
  const { dryRun = false, json } = flags;
  if (json === true) {
    const files = plan.decisions.map(({ file, remove, reason }) => ({
      level: file.level,
      min_txid: formatTxid(file.minTxid),
      max_txid: formatTxid(file.maxTxid),
      size: file.size,
      timestamp: formatTime(file.time),
      remove,
      reason,
    }));
    const summary = { dry_run: dryRun, floor: formatTxid(plan.floor), files };
    process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
    return;
  }
  const rows = plan.decisions.map(({ file, remove, reason }) => [
    String(file.level),
    `${formatTxid(file.minTxid)}-${formatTxid(file.maxTxid)}`,
    remove ? (dryRun ? "would go" : "gone") : "stays",
    reason,
  ]);
  process.stdout.write(formatTable([["level", "file", "", "why"], ...rows]));
  const bytes = formatBytes(plan.remove.reduce((sum, { size }) => sum + size, 0));
  const done = dryRun ? "would be removed from" : "removed from";
  process.stdout.write(
    `${plural(plan.remove.length, "file")}, ${bytes}, ${done} ${replica.text}\n`,
  );
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go and Litestream's configuration write it: `24h`, `1h30m`. */
function toMs(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/gy)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    const shown = JSON.stringify(text);
    throw usageError(
      `invalid value ${shown} for flag -${flag}: write a duration such as 24h or 5m`,
    );
  }
  return parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ""] ?? 0),
    0,
  );
}
