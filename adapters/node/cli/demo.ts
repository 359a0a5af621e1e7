/**
 * `pagestream demo`: a database is written and replicated, lost, restored, and proven to be the same.
 *
 * @module
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { fileStore } from "pagestream/files-kit";
import { fileSink, syncFiles } from "../files.ts";
import type { Database } from "@sqlite.org/sqlite-wasm";
import {
  type ReplicationStats,
  type RestorePoint,
  listRestorePoints,
  openReplicated,
  restore,
  stateDirectory,
} from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { DemoScreen } from "./demo-screen.ts";
import { type State, compare, mismatch, stateJson, takeState } from "./demo-state.ts";
import { createTables, randomNumbers, writeTransaction } from "./demo-workload.ts";
import { CommandError, EXIT } from "./failure.ts";
import { formatBytes, formatDuration, formatTime, plural, shellQuote } from "./format.ts";
import { loadSqliteWasm } from "./sqlite-wasm.ts";

/** Flags of `pagestream demo`. */
export interface DemoFlags {
  readonly dir?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
}

const TRANSACTIONS = 3000;

/** On a slow disk fewer transactions are written, so that the whole ends soon … */
const WRITING_MS = 8000;

/** … but not fewer than this … */
const TRANSACTIONS_MIN = 2000;

/** … unless the disk is so slow that half a minute would pass in all. */
const WRITING_MS_MAX = 18_000;

/** Past this lag the writer waits for the uploads: a slow disk must not pile them up for the end. */
const LAG_MS = 500;

/** Few enough files for a slow disk, enough of them to show that commits share a TXID. */
const GROUP_MS = 20;

/** Where everything lies. */
interface Places {
  readonly directory: string;
  readonly database: string;
  readonly earlier: string;
  readonly replica: string;
}

/** What was written. */
interface Written {
  readonly transactions: number;
  readonly earlier: State;
  readonly last: State;
  readonly size: number;
  readonly stats: ReplicationStats;
  readonly durationMs: number;
}

/** Runs the demonstration. */
export async function runDemo(flags: DemoFlags): Promise<number> {
  const places = prepare(flags);
  const screen = new DemoScreen({ json: flags.json === true });
  const interrupt = new AbortController();
  let exitCode: number = EXIT.ok;
  const onSignal = (signal: NodeJS.Signals): void => {
    exitCode = 128 + constants.signals[signal];
    // A second signal ends the process at once.
    if (interrupt.signal.aborted) process.exit(exitCode);
    interrupt.abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  try {
    await demonstrate(places, screen, { flags, signal: interrupt.signal });
    return exitCode;
  } catch (error) {
    screen.endLine();
    if (!interrupt.signal.aborted) {
      process.stderr.write(`The files are left in ${places.directory}\n`);
      throw error;
    }
    if (flags.dir === undefined) rmSync(places.directory, { recursive: true, force: true });
    process.stderr.write(
      flags.dir === undefined
        ? "Interrupted; nothing is left behind\n"
        : `Interrupted; files are left in ${places.directory}\n`,
    );
    return exitCode;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

function prepare(flags: DemoFlags): Places {
  let directory: string;
  if (flags.dir === undefined) {
    directory = mkdtempSync(join(tmpdir(), "pagestream-demo-"));
  } else {
    directory = resolve(flags.dir);
    mkdirSync(directory, { recursive: true });
    if (readdirSync(directory).length > 0) {
      throw new CommandError(`Cannot use ${directory} for the demonstration: it is not empty`, {
        code: "TARGET_EXISTS",
        exitCode: EXIT.targetExists,
        hint: `pagestream demo --dir ${shellQuote(join(flags.dir, "demo"))}`,
      });
    }
  }
  return {
    directory,
    database: join(directory, "app.db"),
    earlier: join(directory, "earlier.db"),
    replica: join(directory, "replica"),
  };
}

interface Context {
  readonly flags: DemoFlags;
  readonly signal: AbortSignal;
}

async function demonstrate(places: Places, screen: DemoScreen, context: Context): Promise<void> {
  const { flags, signal } = context;
  const start = performance.now();
  const store = fileStore(places.replica);

  screen.step(`Writing ${places.database}, replicated to ${places.replica}`);
  const written = await write(places, screen, signal);
  const { stats, last, earlier } = written;
  screen.done(
    `${plural(written.transactions, "transaction")} in ${formatDuration(written.durationMs)}: ` +
      `${plural(last.rows, "row")}, ${formatBytes(written.size)}`,
  );
  screen.done(
    `replicated up to ${formatTxid(last.txid)}: ${plural(stats.files, "LTX file")}, ` +
      `${plural(stats.pages, "page")}, ${formatBytes(stats.bytes)}`,
  );

  screen.step("Losing it: the database and everything beside it are deleted");
  removeDatabase(places.database);
  if (existsSync(places.database)) throw mismatch("the database is still there");

  screen.step("Restoring the newest state");
  const newestStart = performance.now();
  const newest = await restore(store, fileSink(places.database), {
    integrityCheck: "full",
    signal,
  });
  if (newest.txid !== last.txid) {
    throw mismatch(`restored ${formatTxid(newest.txid)}, replicated ${formatTxid(last.txid)}`);
  }
  await compare(places.database, last, screen);
  const newestMs = performance.now() - newestStart;
  screen.done(`integrity_check: ok; restored and compared in ${formatDuration(newestMs)}`);

  screen.step(`Restoring an earlier state, ${formatTxid(earlier.txid)}`);
  const options = { txid: earlier.txid, integrityCheck: "full", signal } as const;
  const past = await restore(store, fileSink(places.earlier), options);
  await compare(places.earlier, earlier, screen);
  if (earlier.sha256 === last.sha256) throw mismatch("the earlier state is the newest");
  screen.done(`integrity_check: ok; it is the state of ${formatTime(past.time)}`);

  const points = await listRestorePoints(store);
  screen.step(`${plural(points.length, "state")} can be restored, among them`);
  for (const point of someOf(points)) {
    const { txid, time, level, size } = point;
    screen.line(`${formatTxid(txid)}  ${formatTime(time)}  level ${level}  ${formatBytes(size)}`);
  }

  if (flags.keep !== true)
    for (const path of [places.database, places.earlier]) removeDatabase(path);
  const url = shellQuote(pathToFileURL(places.replica).href);
  const commands = {
    litestream: `litestream restore -o /tmp/litestream.db ${url}`,
    pagestream: `${commandName()} restore -o /tmp/pagestream.db ${url}`,
    remove: `rm -r ${shellQuote(places.directory)}`,
  };
  screen.step(`The replica stays in ${places.replica}`);
  screen.line(`Litestream reads it:  ${commands.litestream}`);
  screen.line(`and so do we:         ${commands.pagestream}`);
  screen.line(`remove it:            ${commands.remove}`);
  screen.finish(`All proven in ${formatDuration(performance.now() - start)}`);
  if (flags.json === true) {
    const result = {
      ok: true,
      directory: places.directory,
      replica: places.replica,
      replica_url: pathToFileURL(places.replica).href,
      database: flags.keep === true ? places.database : null,
      transactions: written.transactions,
      ltx_files: stats.files,
      ltx_pages: stats.pages,
      ltx_bytes: stats.bytes,
      newest: stateJson(last, newest.time),
      earlier: stateJson(earlier, past.time),
      restore_points: points.length,
      duration_ms: Math.round(performance.now() - start),
      commands,
    };
    process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  }
}

async function write(places: Places, screen: DemoScreen, signal: AbortSignal): Promise<Written> {
  const sqlite3 = await loadSqliteWasm("the demonstration");
  const app = await openReplicated({
    sqlite3,
    files: syncFiles(),
    path: places.database,
    replica: fileStore(places.replica),
    groupMs: GROUP_MS,
  });
  const { db, replication } = app;
  let isClosed = false;
  try {
    const random = randomNumbers(1);
    const start = performance.now();
    createTables(db);
    let earlier: State | undefined;
    let done = 0;
    while (done < TRANSACTIONS) {
      const elapsed = performance.now() - start;
      if (elapsed > (done < TRANSACTIONS_MIN ? WRITING_MS_MAX : WRITING_MS)) break;
      if (earlier === undefined && (done >= TRANSACTIONS / 2 || elapsed > WRITING_MS / 2)) {
        earlier = await takeState(app, places.database);
      }
      writeTransaction(db, done++, random);
      // An application waits for its users most of the time; uploads happen in between.
      await (replication.stats.lagMs > LAG_MS ? replication.durable({ signal }) : setImmediate());
      signal.throwIfAborted();
      screen.live(replication, done);
    }
    earlier ??= await takeState(app, places.database);
    insertLast(db);
    const durationMs = performance.now() - start;
    const last = await takeState(app, places.database);
    const size = Number(
      db.selectValue("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"),
    );
    screen.endLine();
    isClosed = true;
    await app.close();
    // Only now is nothing written any more: a compaction may have been under way.
    const { stats } = replication;
    return { transactions: done, earlier, last, size, stats, durationMs };
  } finally {
    if (!isClosed) await app.close();
  }
}

/** Makes sure that the last state differs from every earlier one. */
function insertLast(db: Database): void {
  db.exec("INSERT INTO note (title, body) VALUES ('last', 'the last transaction')");
}

/** Removes a database and all that belongs to it. */
function removeDatabase(path: string): void {
  const suffixes = ["", "-journal", "-wal", "-shm", ".pagestream-lock"];
  for (const target of [...suffixes.map((suffix) => path + suffix), stateDirectory(path)]) {
    rmSync(target, { recursive: true, force: true });
  }
}

/** The newest, the oldest and some between. */
function someOf(points: readonly RestorePoint[]): RestorePoint[] {
  const wanted = Math.min(5, points.length);
  return Array.from({ length: wanted }, (_, i) => {
    const at = wanted === 1 ? 0 : Math.round((i * (points.length - 1)) / (wanted - 1));
    return points[at] as RestorePoint;
  });
}

/** How this command is called from where the user is. */
function commandName(): string {
  return existsSync(join("node_modules", ".bin", "pagestream")) ? "npx pagestream" : "pagestream";
}
