/**
 * What can be wrong with the files of a replica together: gaps, levels above level 0, times and page sizes.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import { formatFileName, formatTxid } from "../ltx/file-name.ts";
import { formatTimestamp } from "../transports/timestamp.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import { planRestore, type RestorePlan } from "./plan.ts";
import type { LtxFileInfo, Replica } from "./replica.ts";
import type { VerifiedFile } from "./verify-file.ts";
import type { VerifyFault } from "./verify-report.ts";

/** Missing files of one gap of level 0 that are named one by one. */
const NAMED = 64;

/** The files of a replica, and what is known of those that are sound, by their keys. */
export interface VerifiedFiles {
  readonly replica: Pick<Replica, "key" | "description">;
  /** By level. */
  readonly levels: readonly (readonly LtxFileInfo[])[];
  readonly sound: ReadonlyMap<string, VerifiedFile>;
}

/** The faults of all files together, and the plan of a restore of the newest state where there is one. */
export function verifyLevels(files: VerifiedFiles): {
  readonly faults: readonly VerifyFault[];
  readonly plan: RestorePlan | undefined;
} {
  const { levels, sound } = files;
  const faults: VerifyFault[] = [];
  for (const [level, each] of levels.entries()) {
    faults.push(...each.flatMap((file) => misplaced(file)));
    // Snapshots all begin at TXID 1; they do not follow each other.
    if (level < SNAPSHOT_LEVEL) faults.push(...gaps(each, files));
    faults.push(...changes(each, sound));
  }
  faults.push(...aboveL0(levels));
  try {
    return {
      faults,
      plan: planRestore(
        levels,
        {},
        {
          operation: "restore",
          object: files.replica.description,
        },
      ),
    };
  } catch (error) {
    // A file too short for a header has its own fault already.
    if (!isPagestreamError(error)) throw error;
    const { nextFile } = error as { readonly nextFile?: string };
    const file = levels.flat().find(({ key }) => nextFile !== undefined && key.endsWith(nextFile));
    if (file !== undefined) faults.push({ code: "GAP", file: file.key, message: error.message });
    return { faults, plan: undefined };
  }
}

/** A file that cannot belong to its level. */
function misplaced(file: LtxFileInfo): VerifyFault[] {
  const { level, minTxid, maxTxid, key } = file;
  const fault = (what: string): VerifyFault[] => [
    { code: "DAMAGED_FILE", file: key, message: what },
  ];
  if (minTxid === 0n || minTxid > maxTxid) return fault("no file has the range of its name");
  if (level === 0 && minTxid !== maxTxid) return fault("a file of level 0 holds one TXID");
  if (level === SNAPSHOT_LEVEL && minTxid !== 1n) return fault("a snapshot begins at TXID 1");
  return [];
}

/** Within a level each file goes on where the one before ends; old ones may have been removed from the front. */
function gaps(level: readonly LtxFileInfo[], files: VerifiedFiles): VerifyFault[] {
  const faults: VerifyFault[] = [];
  let reached: bigint | undefined;
  for (const file of level) {
    if (reached !== undefined && file.minTxid > reached + 1n && !isBridged(reached, file, files)) {
      faults.push(...missing(reached + 1n, file, files.replica));
    }
    if (reached === undefined || file.maxTxid > reached) reached = file.maxTxid;
  }
  return faults;
}

/**
 * Whether a gap of level 0 was left on purpose: a destination that was behind gets a file of a higher level with all pages,
 * which ends with the same TXID as the file of level 0 that goes on.
 */
function isBridged(reached: bigint, file: LtxFileInfo, { levels, sound }: VerifiedFiles): boolean {
  if (file.level !== 0) return false;
  return levels
    .slice(1, SNAPSHOT_LEVEL)
    .flat()
    .some(
      ({ key, minTxid, maxTxid }) =>
        minTxid === reached + 1n && maxTxid === file.maxTxid && sound.get(key)?.isWhole === true,
    );
}

/** The files that would close a gap. On level 0 their names are known; above it, what they hold. */
function missing(
  first: bigint,
  file: LtxFileInfo,
  replica: VerifiedFiles["replica"],
): VerifyFault[] {
  const { level } = file;
  const last = file.minTxid - 1n;
  const goesOn = `level ${level} goes on with ${formatFileName(file.minTxid, file.maxTxid)}`;
  const lack = (minTxid: bigint, maxTxid: bigint): VerifyFault => ({
    code: "GAP",
    file: replica.key({ level, minTxid, maxTxid }),
    message:
      minTxid === maxTxid
        ? `${formatTxid(minTxid)} is in no file of its level: ${goesOn}`
        : `${formatTxid(minTxid)} to ${formatTxid(maxTxid)} are in no file of their level: ${goesOn}`,
  });
  if (level > 0) return [lack(first, last)];
  const faults: VerifyFault[] = [];
  for (let txid = first; txid <= last; txid++) {
    if (faults.length === NAMED) return [...faults, lack(txid, last)];
    faults.push(lack(txid, txid));
  }
  return faults;
}

/** Times that go back, and page sizes that change where the database is not whole, from file to file of a level. */
function changes(
  level: readonly LtxFileInfo[],
  sound: ReadonlyMap<string, VerifiedFile>,
): VerifyFault[] {
  const faults: VerifyFault[] = [];
  let before: { readonly file: LtxFileInfo; readonly is: VerifiedFile } | undefined;
  for (const file of level) {
    const is = sound.get(file.key);
    if (is === undefined || (before !== undefined && file.maxTxid <= before.file.maxTxid)) continue;
    if (before !== undefined && is.header.timestamp < before.is.header.timestamp) {
      const [time, earlier] = [is, before.is].map(({ header }) => timeText(header.timestamp));
      const message = `its time is ${time}, that of ${before.file.key} before it ${earlier}`;
      faults.push({ code: "TIME", file: file.key, field: "timestamp", offset: 32, message });
    }
    const { pageSize } = is.header;
    if (before !== undefined && pageSize !== before.is.header.pageSize && !is.isWhole) {
      const message =
        `its page size is ${pageSize}, that of ${before.file.key} before it ` +
        `${before.is.header.pageSize}, and it does not hold the whole database`;
      faults.push({ code: "PAGE_SIZE", file: file.key, field: "pageSize", offset: 8, message });
    }
    before = { file, is };
  }
  return faults;
}

/** Litestream numbers on from the newest file of level 0, and restores ignore what it then writes below a higher one. */
function aboveL0(levels: readonly (readonly LtxFileInfo[])[]): VerifyFault[] {
  const furthest = (files: readonly LtxFileInfo[]): LtxFileInfo | undefined =>
    files.reduce<LtxFileInfo | undefined>(
      (max, file) => (max === undefined || file.maxTxid > max.maxTxid ? file : max),
      undefined,
    );
  const reached = furthest(levels[0] ?? [])?.maxTxid ?? 0n;
  const above = furthest(levels.slice(1).flat());
  if (above === undefined || above.maxTxid <= reached) return [];
  const where = reached === 0n ? "level 0 has no file" : `level 0 ends at ${formatTxid(reached)}`;
  const message = `${where}, and this file ends at ${formatTxid(above.maxTxid)}: Litestream would go on from level 0`;
  return [{ code: "ABOVE_L0", file: above.key, message }];
}

function timeText(ms: bigint): string {
  const date = new Date(Number(ms));
  return Number.isNaN(date.getTime()) ? `${ms} ms` : formatTimestamp(date.getTime());
}
