/**
 * `pagestream points`: the states that a replica can give back.
 *
 * @module
 */
import { listRestorePoints, type RestorePoint } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import type { ConfigFlags } from "./configuration.ts";
import { EXIT, usageError } from "./failure.ts";
import { formatTable, formatTime } from "./format.ts";
import { openTarget } from "./location.ts";

/** Flags of `pagestream points`. */
export interface PointsFlags extends ConfigFlags {
  readonly limit?: string;
  readonly json?: boolean;
}

/** Lists restore points, newest first. */
export async function runPoints(text: string | undefined, flags: PointsFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("replica path or URL required", "pagestream points file:///path/to/replica");
  }
  const limit = flags.limit === undefined ? Number.POSITIVE_INFINITY : Number(flags.limit);
  if (!(limit >= 1) || (flags.limit !== undefined && !/^\d+$/.test(flags.limit))) {
    throw usageError(
      `invalid value ${JSON.stringify(flags.limit)} for flag -limit: a whole number from 1 on`,
    );
  }
  const { store, text: shown } = await openTarget(text, flags);
  let points: readonly RestorePoint[];
  try {
    points = await listRestorePoints(store);
  } finally {
    await store.close?.();
  }
  const wanted = points.slice(0, limit);
  if (flags.json === true) {
    const rows = wanted.map(({ txid, time, level, size, legacy }) => ({
      txid: formatTxid(txid),
      timestamp: formatTime(time),
      level,
      size,
      ...(legacy === undefined ? {} : { legacy }),
    }));
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    return EXIT.ok;
  }
  const rows = [["txid", "timestamp", "level", "size"]];
  for (const { txid, time, level, size, legacy } of wanted) {
    // A state of Litestream 0.3 is restored by its time.
    const name = legacy === undefined ? formatTxid(txid) : legacy.generation;
    rows.push([name, formatTime(time), legacy === undefined ? String(level) : "0.3", String(size)]);
  }
  process.stdout.write(formatTable(rows));
  if (points.length === 0) process.stderr.write(`No restore points in ${shown}\n`);
  else if (wanted.length < points.length) {
    process.stderr.write(`${wanted.length} of ${points.length} restore points\n`);
  }
  return EXIT.ok;
}
