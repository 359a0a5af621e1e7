/**
 * `pagestream verify`: proof that a replica can be restored, with an exit code that an alert can use.
 *
 * @module
 */
import {
  isPagestreamError,
  type Probe,
  type ReplicaStatus,
  verify,
  type VerifyFault,
  type VerifyReport,
} from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { fileDrill } from "../files.ts";
import type { ConfigFlags } from "./configuration.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";
import { formatBytes, formatCount, formatTable, formatTime, paint, plural } from "./format.ts";
import { type NamedReplica, openTarget } from "./location.ts";

/** Flags of `pagestream verify`. */
export interface VerifyReplicaFlags extends ConfigFlags {
  readonly restore?: boolean;
  readonly probe?: readonly string[];
  readonly foreignKeys?: boolean;
  readonly tempDir?: string;
  readonly json?: boolean;
}

/** Verifies one replica: 0 when it is sound, 1 when it is not, something else when that cannot be told. */
export async function runVerifyReplica(
  text: string | undefined,
  flags: VerifyReplicaFlags,
): Promise<number> {
  if (text === undefined) {
    throw usageError(
      "replica path or URL required",
      "pagestream verify --restore file:///path/to/replica",
    );
  }
  const { probe = [], foreignKeys } = flags;
  const restores = flags.restore === true || probe.length > 0;
  const start = performance.now();
  try {
    const named = await openTarget(text, flags);
    try {
      const report = await verify(named.store, {
        restore: restores ? fileDrill({ directory: flags.tempDir }) : undefined,
        probes: probe.map(isTrue),
        foreignKeys,
      });
      print(report, named, { ...flags, durationMs: performance.now() - start });
      return report.sound ? EXIT.ok : EXIT.failure;
    } finally {
      await named.store.close?.();
    }
  } catch (error) {
    throw notLooked(error);
  }
}

/** A query whose answer must be neither 0, nor NULL, nor missing. */
function isTrue(sql: string): Probe {
  const probe: Probe = async (database) => {
    const [row] = await database.query(sql);
    const found = row === undefined ? undefined : Object.values(row)[0];
    if (found === undefined) throw new Error("found no row");
    if (found === null || Number(found) === 0) throw new Error(`found ${String(found)}`);
  };
  Object.defineProperty(probe, "name", { value: sql });
  return probe;
}

/** What kept us from looking must not look like a fault that was found. */
function notLooked(error: unknown): unknown {
  if (error instanceof CommandError) return error;
  const [message, code] = [error instanceof Error ? error.message : String(error), codeOf(error)];
  if (code === "NO_BACKUP" || code === "INVALID_ARGUMENT") return error;
  return new CommandError(message, { code, exitCode: EXIT.notLooked, cause: error });
}

function codeOf(error: unknown): string {
  return isPagestreamError(error) ? error.code : "FAILURE";
}

function print(
  report: VerifyReport,
  named: NamedReplica,
  flags: VerifyReplicaFlags & { readonly durationMs: number },
): void {
  const { sound, faults, encrypted, files, bytes, pages, levels, newest, drill } = report;
  const fileOf = ({ file }: VerifyFault): string | undefined =>
    file === undefined ? undefined : named.fileName(file);
  if (flags.json === true) {
    const shown = {
      ok: sound,
      replica: named.text,
      encrypted,
      files,
      bytes,
      pages,
      page_sizes: report.pageSizes,
      levels: levels.map((each) => ({
        level: each.level,
        files: each.files,
        bytes: each.bytes,
        min_txid: formatTxid(each.minTxid),
        max_txid: formatTxid(each.maxTxid),
      })),
      newest: newest && stateOf(newest),
      restored: drill && {
        ...stateOf(drill),
        page_size: drill.pageSize,
        pages: drill.commit,
        probes: drill.probes,
      },
      duration_ms: Math.round(flags.durationMs),
      faults: faults.map((fault) => ({ ...fault, file: fileOf(fault) })),
    };
    process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
    return;
  }
  for (const fault of faults) {
    const head = paint("red", fault.code, process.stdout);
    process.stdout.write(
      `${head}  ${fileOf(fault) ?? "the restored database"}\n  ${fault.message}\n`,
    );
  }
  const rows = [["level", "files", "bytes", "min_txid", "max_txid"]];
  for (const { level, files: count, bytes: size, minTxid, maxTxid } of levels) {
    const txids = [formatTxid(minTxid), formatTxid(maxTxid)];
    rows.push([String(level), formatCount(count), formatBytes(size), ...txids]);
  }
  process.stdout.write(formatTable(rows));
  if (newest !== undefined) {
    const { txid, time } = stateOf(newest);
    process.stdout.write(`newest state: ${txid} of ${time}\n`);
  }
  if (drill !== undefined) {
    const probed = drill.probes === 0 ? "" : `, ${plural(drill.probes, "probe")} run`;
    const size = formatBytes(drill.commit * drill.pageSize);
    process.stdout.write(
      `restored ${formatTxid(drill.txid)}, ${size}, checked by SQLite${probed}\n`,
    );
  }
  if (encrypted !== "none") process.stdout.write(`encrypted: ${encrypted} of the files\n`);
  const result = sound
    ? paint("green", "sound", process.stdout)
    : paint("red", plural(faults.length, "fault"), process.stdout);
  process.stdout.write(
    `${plural(files, "file")}, ${formatBytes(bytes)}, ${plural(pages, "page")}: ${result}\n`,
  );
}

function stateOf({ txid, time }: ReplicaStatus["newest"]): { txid: string; time: string } {
  return { txid: formatTxid(txid), time: formatTime(time) };
}
