/**
 * `pagestream restore`.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { fileSink } from "../files.ts";
import {
  isPagestreamError,
  type LegacyRestored,
  restore,
  type RestoreOptions,
  type RestoreResult,
} from "pagestream";
import type { ConfigFlags } from "./configuration.ts";
import { EXIT, usageError, withHint } from "./failure.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatTable,
  formatTime,
  paint,
  plural,
  shellQuote,
} from "./format.ts";
import { type NamedReplica, exists, openTarget } from "./location.ts";
import { progressReporter } from "./progress.ts";
import { stateOf } from "./state-flags.ts";

/** Flags of `pagestream restore`. */
export interface RestoreFlags extends ConfigFlags {
  readonly output?: string;
  readonly txid?: string;
  readonly timestamp?: string;
  readonly integrityCheck: string;
  readonly ifDbNotExists?: boolean;
  readonly ifReplicaExists?: boolean;
  readonly force?: boolean;
  readonly follow?: boolean;
  readonly followInterval?: string;
  readonly dryRun?: boolean;
  readonly explain?: boolean;
  readonly json?: boolean;
  readonly progress?: boolean;
}

/** Restores, or with `--dry-run` prints the plan. */
export async function runRestore(text: string | undefined, flags: RestoreFlags): Promise<number> {
  if (flags.follow === true) return await followInstead(text, flags);
  if (text === undefined) {
    throw usageError(
      "database path or replica URL required",
      "pagestream restore -o /path/to/db file:///path/to/replica",
    );
  }
  const replica = await openTarget(text, flags);
  const output = flags.output ?? replica.database?.path;
  if (output === undefined || output === "") {
    throw usageError(
      "-o is required when restoring from a replica URL",
      `pagestream restore -o /path/to/db ${shellQuote(replica.text)}`,
    );
  }
  const options = toOptions(flags);
  try {
    if (flags.dryRun === true || flags.explain === true) return await plan(replica, output, flags);
    if (flags.ifDbNotExists === true && exists(output)) {
      return skip(replica, { output, reason: "database already exists", json: flags.json });
    }
    const progress = progressReporter(flags);
    const start = performance.now();
    try {
      const sink = fileSink(output, { force: flags.force });
      const onProgress = progress?.update;
      const result = await restore(replica.store, sink, { ...options, onProgress });
      progress?.clear();
      printSummary(result, { replica, output, flags, durationMs: performance.now() - start });
    } finally {
      progress?.clear();
    }
    return EXIT.ok;
  } catch (error) {
    if (flags.ifReplicaExists === true && isPagestreamError(error, "NO_BACKUP")) {
      return skip(replica, { output, reason: "no backup found", json: flags.json });
    }
    const typed = replica.database === undefined ? replica.text : text;
    throw helped(error, { ...flags, replica: typed, output });
  } finally {
    await replica.store.close?.();
  }
}

/** `-f`, with Litestream's rules: the newest state is what is followed, and the rules of outputs do not apply. */
async function followInstead(text: string | undefined, flags: RestoreFlags): Promise<number> {
  const refused = (["txid", "timestamp", "dryRun"] as const).find(
    (flag) => flags[flag] !== undefined,
  );
  if (refused !== undefined) {
    const flag = refused === "dryRun" ? "dry-run" : refused;
    throw usageError(`-f cannot be used with -${flag}`, "pagestream restore -f -o copy.db REPLICA");
  }
  const { runFollow } = await import("./follow.ts");
  return await runFollow(text, flags);
}

function toOptions(flags: RestoreFlags): RestoreOptions {
  const { integrityCheck } = flags;
  const state = stateOf(flags);
  if (integrityCheck !== "none" && integrityCheck !== "quick" && integrityCheck !== "full") {
    throw usageError(
      `invalid value ${JSON.stringify(integrityCheck)} for flag -integrity-check: none, quick or full`,
    );
  }
  // Nobody goes on replicating from here in this process, so the digest of each page is not wanted.
  return { ...state, integrityCheck, position: false };
}

/** Adds the command line that would help, where there is one. */
function helped(
  error: unknown,
  line: { readonly replica: string; readonly output: string; readonly config?: string },
): unknown {
  const config = line.config === undefined ? "" : ` -config ${shellQuote(line.config)}`;
  const rest = `${config} -o ${shellQuote(line.output)} ${shellQuote(line.replica)}`;
  const restoreWith = (flag: string): string => `pagestream restore ${flag}${rest}`;
  if (isPagestreamError(error, "TARGET_EXISTS")) return withHint(error, restoreWith("-force"));
  const near = error as { readonly earlier?: bigint; readonly later?: bigint; reached?: bigint };
  if (isPagestreamError(error, "TXID_NOT_AVAILABLE")) {
    const txid = near.earlier ?? near.later;
    return txid === undefined ? error : withHint(error, restoreWith(`-txid ${hex16(txid)}`));
  }
  if (isPagestreamError(error, "GAP") && near.reached) {
    return withHint(error, restoreWith(`-txid ${hex16(near.reached)}`));
  }
  if (isPagestreamError(error, "INVALID_ARGUMENT") && error.object.startsWith("the time ")) {
    return usageError(
      "invalid -timestamp, must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z)",
    );
  }
  return error;
}

function skip(
  replica: NamedReplica,
  options: {
    readonly output: string;
    readonly reason: string;
    readonly json?: boolean | undefined;
  },
): number {
  if (options.json === true) {
    const { type } = replica.store;
    printJson({ db_path: resolve(options.output), replica: type, skipped: options.reason });
  } else {
    process.stderr.write(`Nothing restored to ${options.output}: ${options.reason}\n`);
  }
  return EXIT.ok;
}

interface Summary {
  readonly replica: NamedReplica;
  readonly output: string;
  readonly flags: RestoreFlags;
  readonly durationMs: number;
}

function printSummary(result: RestoreResult, summary: Summary): void {
  const { replica, output, flags, durationMs } = summary;
  const { legacy } = result;
  const files = legacy?.files ?? result.files;
  const readBytes = files.reduce((sum, file) => sum + file.size, 0);
  if (flags.json === true) {
    printJson({
      db_path: output,
      replica: replica.store.type,
      txid: hex16(result.txid),
      duration_ms: Math.round(durationMs),
      integrity_check: flags.integrityCheck,
      time: formatTime(result.time),
      bytes: result.size,
      page_size: result.pageSize,
      pages: result.commit,
      files: files.length,
      read_bytes: readBytes,
      newest_txid: hex16(result.newestTxid),
      ...(legacy === undefined ? {} : { legacy: legacyName(legacy) }),
    });
    return;
  }
  const newest =
    result.txid === result.newestTxid ? "the newest" : `newest ${hex16(result.newestTxid)}`;
  const rows = [
    legacy === undefined
      ? ["  txid", `${hex16(result.txid)} (${newest})`]
      : ["  state", `${legacyName(legacy)}, written by Litestream 0.3`],
    ["  time", formatTime(result.time)],
    [
      "  size",
      `${formatBytes(result.size)} (${plural(result.commit, "page")} of ${formatCount(result.pageSize)} bytes)`,
    ],
    ["  read", `${formatBytes(readBytes)} from ${plural(files.length, "file")}`],
    ["  took", formatDuration(durationMs)],
  ];
  if (flags.integrityCheck !== "none") rows.push(["  check", `${flags.integrityCheck}: ok`]);
  const head = paint("bold", `Restored ${output}`, process.stdout);
  process.stdout.write(`${head} from ${replica.text}\n${formatTable(rows)}`);
}

async function plan(replica: NamedReplica, output: string, flags: RestoreFlags): Promise<number> {
  const options = { ...toOptions(flags), explain: true };
  const result = await restore(replica.store, fileSink(output), options);
  const { time, size, legacy } = result;
  const { type } = replica.store;
  const { facts, state, columns, files } =
    legacy === undefined ? ltxPlan(result) : legacyPlan(legacy);
  const explain = flags.explain === true;
  if (flags.json === true) {
    printJson({
      source: replica.text,
      target_path: output,
      replica: type,
      ...facts,
      files: files.map(({ file, names }) => ({
        ...names,
        size: file.size,
        timestamp: formatTime(file.time),
        ...(explain ? { reason: file.reason } : {}),
      })),
      time: formatTime(time),
      bytes: size,
    });
    return EXIT.ok;
  }
  const rows = [[...columns, "size", "timestamp", ...(explain ? ["reason"] : [])]];
  for (const { file, names } of files) {
    const cells = Object.values(names).map(String);
    rows.push([
      ...cells,
      String(file.size),
      formatTime(file.time),
      ...(explain ? [file.reason] : []),
    ]);
  }
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  process.stdout.write(
    `Restore plan:\n` +
      `  source: ${replica.text}\n` +
      `  target: ${output}\n` +
      `  replica: ${type}\n` +
      `  ${state}\n` +
      `  time: ${formatTime(time)}\n` +
      `  size: ${formatBytes(size)} from ${plural(files.length, "file")} of ${formatBytes(total)}\n\n` +
      `Files to fetch:\n${formatTable(rows)}`,
  );
  return EXIT.ok;
}

/** What differs between the plans of the two layouts. */
interface ShownPlan {
  /** Members of the JSON object that say what is restored, and the same as a line. */
  readonly facts: Readonly<Record<string, string>>;
  readonly state: string;
  /** Heads of the columns that hold the names. */
  readonly columns: readonly string[];
  readonly files: readonly {
    readonly file: { readonly size: number; readonly time: Date; readonly reason: string };
    /** What tells it from others, in the order of the columns. */
    readonly names: Readonly<Record<string, string | number>>;
  }[];
}

function ltxPlan({ files, txid }: RestoreResult): ShownPlan {
  const first = hex16(files[0]?.minTxid ?? 0n);
  return {
    facts: { min_txid: first, max_txid: hex16(txid) },
    state: `txid range: ${first} - ${hex16(txid)}`,
    columns: ["level", "file", "min_txid", "max_txid"],
    files: files.map((file) => {
      const { level, key, minTxid, maxTxid } = file;
      const [min_txid, max_txid] = [hex16(minTxid), hex16(maxTxid)];
      return { file, names: { level, name: basename(key), min_txid, max_txid } };
    }),
  };
}

/** Of a restore from what Litestream 0.3 left, which has no levels and no TXIDs. */
function legacyPlan(legacy: LegacyRestored): ShownPlan {
  return {
    facts: { legacy: legacyName(legacy) },
    state: `state: ${legacyName(legacy)}, written by Litestream 0.3`,
    columns: ["file"],
    files: legacy.files.map((file) => ({ file, names: { name: file.key } })),
  };
}

/** `<generation>/<index>:<offset>`, as Litestream writes a position. */
function legacyName({ generation, index, offset = 0 }: LegacyRestored): string {
  return `${generation}/${index.toString(16).padStart(8, "0")}:${hex16(BigInt(offset))}`;
}

function hex16(txid: bigint): string {
  return txid.toString(16).padStart(16, "0");
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
