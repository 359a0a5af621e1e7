/**
 * `pagestream reset`: forgets what is known here of a database's replica.
 *
 * @module
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isPagestreamError, stateDirectory } from "pagestream";
import { lockDatabase, nodeSqlite } from "pagestream/files-kit";
import { type ConfigFlags, databasesOf, readConfiguration } from "./configuration.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";
import { exists, toPath } from "./location.ts";

/** Flags of `pagestream reset`. */
export interface ResetFlags extends ConfigFlags {
  readonly dryRun?: boolean;
}

/** What a replication keeps in its directory; whatever else lies there is not ours to remove. */
const STATE = ["marker", "log", "ltx"];

/** Removes the local state of a database, never the database and nothing of its replica. */
export async function runReset(database: string | undefined, flags: ResetFlags): Promise<number> {
  if (database === undefined) {
    throw usageError("database path required", "pagestream reset /path/to/db");
  }
  const path = toPath(database.replace(/^sqlite3?:\/\//, ""));
  if (!exists(path)) {
    const message = `database does not exist: ${path}`;
    throw new CommandError(message, { code: "NOT_FOUND", exitCode: EXIT.failure });
  }
  const directory = await metaPathOf(path, flags);
  const found = STATE.map((name) => join(directory, name)).filter(exists);
  const say = (line: string): boolean => process.stdout.write(`${line}\n`);
  if (found.length === 0) {
    say(`No local state found for ${path}, there is nothing to reset`);
    return EXIT.ok;
  }
  if (flags.dryRun === true) {
    say(`Dry run: local state would be reset for: ${path}`);
    for (const each of found) say(`Would remove: ${each}`);
    say("Files that would be removed:");
    for (const file of found.flatMap(filesBelow)) say(`  ${file}`);
    say("No files were removed.");
    return EXIT.ok;
  }
  const lock = lockOf(path);
  try {
    say(`Resetting local state for: ${path}`);
    for (const each of found) {
      say(`Removing: ${each}`);
      rmSync(each, { recursive: true });
    }
  } finally {
    lock.release();
  }
  say("Reset complete. The next sync uploads the whole database.");
  return EXIT.ok;
}

/** Keeps others from replicating it meanwhile; refused while somebody does. */
function lockOf(path: string): ReturnType<typeof lockDatabase> {
  try {
    return lockDatabase(path, nodeSqlite, { besideNative: true });
  } catch (error) {
    if (!isPagestreamError(error, "DATABASE_LOCKED")) throw error;
    const message = `Cannot reset ${path}: a running process replicates it`;
    const hint = `pagestream stop ${path}`;
    throw new CommandError(message, { code: "DATABASE_LOCKED", exitCode: EXIT.failure, hint });
  }
}

/** Where the state lies. As in Litestream the configuration counts only where it is named. */
async function metaPathOf(path: string, flags: ResetFlags): Promise<string> {
  if (flags.config === undefined) return stateDirectory(path);
  const config = await readConfiguration(flags);
  const found = databasesOf(config).find((each) => each.path === path);
  return found?.metaPath ?? stateDirectory(path);
}

function filesBelow(path: string): readonly string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}
