/**
 * Events of the daemon as lines of its log.
 *
 * @module
 */
import { formatTxid } from "pagestream/ltx";
import type { LogFields, LogLevel, Logger } from "../telemetry/logger.ts";
import type { DaemonEvent } from "./status.ts";

/** A line, as far as the kind of event decides it. */
type Line = readonly [level: LogLevel, message: string];

/** Litestream's words where it has the same event. */
const LINES: Readonly<Record<DaemonEvent["type"], Line>> = {
  behind: ["warn", "database equals an earlier state of its replica"],
  checkpoint: ["debug", "checkpoint complete"],
  clock: ["warn", "replica is ahead of this clock"],
  closed: ["debug", "replication ended"],
  commit: ["trace", "commit"],
  compacted: ["debug", "compaction complete"],
  conflict: ["error", "another writer uses the replica, replication has stopped"],
  cut: ["debug", "ltx file written"],
  degraded: ["warn", "replication is degraded"],
  error: ["error", "replication error"],
  evicted: ["warn", "the database was gone and has been restored"],
  forked: ["warn", "replica is left behind by a file with every page"],
  lease: ["debug", "lease taken"],
  "level-fault": ["error", "files of a level do not follow each other"],
  recovered: ["info", "replica answers again"],
  registered: ["info", "initialized db"],
  repaired: ["info", "replica brought up"],
  restored: ["info", "database restored"],
  retained: ["debug", "retention complete"],
  "retention-denied": ["warn", "replica lets nothing be removed"],
  "retention-skipped": ["warn", "nothing removed, the clocks disagree"],
  snapshot: ["info", "snapshot complete"],
  stalled: ["warn", "replica does not answer"],
  started: ["info", "replicating to"],
  stopped: ["info", "database stopped"],
  unregistered: ["info", "database unregistered"],
  uploaded: ["debug", "ltx file uploaded"],
  waiting: ["warn", "cannot replicate yet"],
  warning: ["warn", "database is followed with difficulty"],
  "watch-failed": ["error", "cannot watch directory"],
};

/** Writes an event. */
export function logEvent(logger: Logger, event: DaemonEvent): void {
  const [level, message] = LINES[event.type] ?? ["debug", event.type];
  if (event.type === "checkpoint" && event.error !== undefined) {
    const { database: path, error } = event;
    return logger.log("warn", "checkpoint failed", { path, error });
  }
  // Some are told of each commit.
  if (!logger.shows(level)) return;
  const { type, database, ...rest } = event;
  const fields: Record<string, unknown> = { path: database };
  for (const [name, value] of Object.entries(rest)) {
    if (name === "position") continue;
    fields[snakeCase(name)] = typeof value === "bigint" ? formatTxid(value) : value;
  }
  if (type === "started") fields["txid"] = formatTxid(event.position.replicated);
  logger.log(level, message, fields satisfies LogFields);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
