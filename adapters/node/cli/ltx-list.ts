/**
 * `pagestream ltx list`.
 *
 * @module
 */
import { type LtxFileInfo, openReplica } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import type { ConfigFlags } from "./configuration.ts";
import { EXIT, usageError } from "./failure.ts";
import { formatTable, formatTime } from "./format.ts";
import { exists, openTarget } from "./location.ts";

/** Flags of `pagestream ltx list`. */
export interface ListFlags extends ConfigFlags {
  readonly level: string;
  readonly json?: boolean;
}

/** Lists the LTX files of one level, or of all. */
export async function runList(text: string | undefined, flags: ListFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("database path or replica URL required", "pagestream ltx /path/to/db");
  }
  const levels = toLevels(flags.level);
  const { store, path, text: shown } = await openTarget(text, flags);
  const replica = openReplica(store);
  const files: LtxFileInfo[] = [];
  try {
    for (const level of levels) files.push(...(await replica.files(level, { exactTimes: true })));
  } finally {
    await store.close?.();
  }
  if (flags.json === true) {
    const rows = files.map((file) => ({
      level: file.level,
      min_txid: formatTxid(file.minTxid),
      max_txid: formatTxid(file.maxTxid),
      size: file.size,
      timestamp: formatTime(file.time),
    }));
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    return EXIT.ok;
  }
  const rows = [["level", "min_txid", "max_txid", "size", "created"]];
  for (const { level, minTxid, maxTxid, size, time } of files) {
    rows.push([
      String(level),
      formatTxid(minTxid),
      formatTxid(maxTxid),
      String(size),
      formatTime(time),
    ]);
  }
  process.stdout.write(formatTable(rows));
  if (files.length === 0) {
    const why = path === undefined || exists(path) ? "" : ": there is no such directory";
    process.stderr.write(`No LTX files at level ${flags.level} of ${shown}${why}\n`);
  }
  return EXIT.ok;
}

function toLevels(text: string): readonly number[] {
  if (text === "all") return [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  if (/^\d$/.test(text)) return [Number(text)];
  throw usageError(
    `invalid value ${JSON.stringify(text)} for flag -level: level must be between 0 and 9, or all`,
  );
}
