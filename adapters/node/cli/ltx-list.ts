/**
 * `pagestream ltx list`.
 *
 * @module
 */
import { formatTxid } from "pagestream/ltx";
import { EXIT, usageError } from "./failure.ts";
import { formatTable, formatTime } from "./format.ts";
import { exists, openLocation } from "./location.ts";
import { LEVELS, type ReplicaFile, listLevel } from "./replica-files.ts";

/** Flags of `pagestream ltx list`. */
export interface ListFlags {
  readonly level: string;
  readonly json?: boolean;
}

/** Lists the LTX files of one level, or of all. */
export async function runList(text: string | undefined, flags: ListFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("replica path or URL required", "pagestream ltx file:///path/to/replica");
  }
  const levels = toLevels(flags.level);
  const replica = openLocation(text);
  const files: ReplicaFile[] = [];
  for (const level of levels) files.push(...(await listLevel(replica.store, level)));
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
    const why = exists(replica.path) ? "" : ": there is no such directory";
    process.stderr.write(`No LTX files at level ${flags.level} of ${text}${why}\n`);
  }
  return EXIT.ok;
}

function toLevels(text: string): readonly number[] {
  if (text === "all") return Array.from({ length: LEVELS }, (_, level) => level);
  if (/^\d$/.test(text)) return [Number(text)];
  throw usageError(
    `invalid value ${JSON.stringify(text)} for flag -level: level must be between 0 and 9, or all`,
  );
}
