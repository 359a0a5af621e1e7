/**
 * `pagestream compact`.
 *
 * @module
 */
import { compact, type CompactionOutcome } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { EXIT, usageError } from "./failure.ts";
import { formatBytes, formatTable, formatTime, plural } from "./format.ts";
import { openLocation } from "./location.ts";

/** Flags of `pagestream compact`. */
export interface CompactFlags {
  readonly level?: string;
  readonly ifDue?: boolean;
  readonly json?: boolean;
}

/** Compacts a replica and prints what each level came to; a gap that nothing leads over is a failure. */
export async function runCompact(text: string | undefined, flags: CompactFlags): Promise<number> {
  if (text === undefined) {
    throw usageError("replica path or URL required", "pagestream compact file:///path/to/replica");
  }
  const level = toLevel(flags.level);
  const { store } = await openLocation(text, "write");
  let outcomes: CompactionOutcome[];
  try {
    outcomes = await compact(store, { level, ifDue: flags.ifDue });
  } finally {
    await store.close?.();
  }
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(outcomes.map(toJson), undefined, 2)}\n`);
  } else {
    const rows = outcomes.map((outcome) => [String(outcome.level), inWords(outcome)]);
    process.stdout.write(formatTable([["level", "outcome"], ...rows]));
  }
  return outcomes.some(({ type }) => type === "gap") ? EXIT.integrity : EXIT.ok;
}

function toLevel(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-8]$/.test(text)) return Number(text);
  const shown = JSON.stringify(text);
  throw usageError(`invalid value ${shown} for flag -level: level must be between 1 and 8`);
}

function toJson(outcome: CompactionOutcome): Record<string, unknown> {
  const { type, level } = outcome;
  const head = { level, outcome: type };
  if (type === "too-early") return { ...head, until: formatTime(new Date(outcome.untilMs)) };
  if (type === "nothing-new") return head;
  const { gap } = outcome;
  const missing =
    gap === undefined
      ? {}
      : {
          gap: {
            level: gap.level,
            after: formatTxid(gap.reached),
            before: formatTxid(gap.next.minTxid),
            bridged: gap.bridged,
          },
        };
  if (type === "gap") return { ...head, ...missing };
  const { file, sources } = outcome;
  return {
    ...head,
    min_txid: formatTxid(file.minTxid),
    max_txid: formatTxid(file.maxTxid),
    size: file.size,
    files: sources,
    ...missing,
  };
}

function inWords(outcome: CompactionOutcome): string {
  switch (outcome.type) {
    case "nothing-new":
      return "nothing new";
    case "too-early":
      return `too early, due at ${formatTime(new Date(outcome.untilMs))}`;
    case "gap": {
      const { level, reached, next } = outcome.gap;
      const hole = `${formatTxid(reached)} and ${formatTxid(next.minTxid)}`;
      return `stopped: files are missing at level ${level} between ${hole}`;
    }
    case "compacted": {
      const { file, sources } = outcome;
      const range = `${formatTxid(file.minTxid)}-${formatTxid(file.maxTxid)}`;
      return `${range} of ${plural(sources, "file")}, ${formatBytes(file.size)}`;
    }
  }
}
