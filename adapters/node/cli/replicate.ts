/**
 * `pagestream replicate`: the daemon, or one upload of everything.
 *
 * @module
 */
import type { Config, DatabaseConfig } from "../config/config.ts";
import { defaultConfig, loadConfig } from "../config/load-config.ts";
import { absolutePath } from "../config/replicas.ts";
import { replicateOnce } from "../daemon/once.ts";
import { runDaemon } from "../daemon/run-daemon.ts";
import { createLogger, LOG_LEVELS, type Logger } from "../telemetry/logger.ts";
import { configPath } from "./configuration.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";
import { formatTxid } from "pagestream/ltx";
import { commandVersion } from "./version.ts";

/** Flags of `pagestream replicate`. */
export interface ReplicateFlags {
  readonly config?: string;
  readonly expandEnv: boolean;
  readonly exec?: string;
  readonly once?: boolean;
  readonly forceSnapshot?: boolean;
  readonly enforceRetention?: boolean;
  readonly restoreIfDbNotExists?: boolean;
  readonly logLevel?: string;
}

const HINT = "pagestream replicate /path/to/db s3://bucket/path";

/** Replicates until a signal comes, or once. */
export async function runReplicate(
  names: readonly string[],
  flags: ReplicateFlags,
): Promise<number> {
  refuse(names, flags);
  const config = configOf(names, flags);
  const version = commandVersion();
  const logger = loggerOf(config);
  logger.log("info", "pagestream", { version });
  for (const { kind, key, line, message } of config.notices) {
    logger.log(kind === "warning" ? "warn" : "info", message, { key, line });
  }
  if (flags.once === true) return await once(config, flags, logger);
  const { enabled } = databaseRetention(config);
  if (enabled === false) {
    logger.log("warn", "retention disabled: nothing is removed from the replicas");
  }
  const result = await run(config, { logger, version, exec: flags.exec ?? config.exec });
  // What was left under way would keep the process alive.
  if (result.isAbandoned) setImmediate(() => process.exit());
  if (result.childCode !== undefined && result.childCode !== 0) return result.childCode;
  return result.isComplete ? EXIT.ok : EXIT.finalSync;
}

/** In Litestream's words. */
function refuse(names: readonly string[], flags: ReplicateFlags): void {
  if (flags.once === true && flags.exec !== undefined) {
    throw usageError("cannot specify -once flag with -exec");
  }
  for (const [name, isSet] of [
    ["force-snapshot", flags.forceSnapshot],
    ["enforce-retention", flags.enforceRetention],
  ] as const) {
    if (isSet === true && flags.once !== true) {
      throw usageError(
        `cannot specify -${name} flag without -once`,
        `pagestream replicate -once -${name}`,
      );
    }
  }
  if (names.length > 0 && flags.config !== undefined) {
    throw usageError("cannot specify a replica URL and the -config flag");
  }
  if (names.length === 1) {
    throw usageError(`must specify at least one replica URL for ${names[0]}`, HINT);
  }
  if (names.length > 2) {
    const what = "multiple replicas on a single database are no longer supported";
    throw usageError(what, "pagestream help replicate");
  }
  const { logLevel } = flags;
  if (logLevel !== undefined && !LOG_LEVELS.some((level) => level === logLevel.toLowerCase())) {
    throw usageError(
      `invalid value ${JSON.stringify(logLevel)} for flag -log-level: ${LOG_LEVELS.join(", ")}`,
    );
  }
}

function configOf(names: readonly string[], flags: ReplicateFlags): Config {
  const { logLevel, expandEnv, restoreIfDbNotExists } = flags;
  const env = logLevel === undefined ? process.env : { ...process.env, LOG_LEVEL: logLevel };
  const [path, replica] = names;
  let config: Config;
  if (path !== undefined && replica !== undefined) {
    const defaults = defaultConfig({ env });
    config = { ...defaults, databases: [defaults.database(absolutePath(path), replica)] };
  } else {
    config = loadConfig(configPath(flags), { expandEnv, env });
  }
  if (restoreIfDbNotExists !== true) return config;
  const restored = (each: DatabaseConfig): DatabaseConfig => ({ ...each, restoreIfMissing: true });
  return { ...config, databases: config.databases.map(restored) };
}

/** To standard error, where it does not mix with what a child prints. */
function loggerOf({ logging }: Config): Logger {
  const stream = logging.stderr === false ? process.stdout : process.stderr;
  const { level, type, source } = logging;
  return createLogger({ level, type, source, write: (line) => stream.write(line) });
}

async function once(config: Config, flags: ReplicateFlags, logger: Logger): Promise<number> {
  const found = config.directories.flatMap((directory) => directory.members());
  await replicateOnce(config, [...config.databases, ...found], {
    snapshot: flags.forceSnapshot,
    retention: flags.enforceRetention,
    onDone: (path, txid) => logger.log("info", "replicated", { path, txid: formatTxid(txid) }),
  });
  return EXIT.ok;
}

function databaseRetention({ databases }: Config): { readonly enabled?: boolean | undefined } {
  return databases[0]?.options.retention ?? {};
}

async function run(
  config: Config,
  options: Parameters<typeof runDaemon>[1],
): ReturnType<typeof runDaemon> {
  try {
    return await runDaemon(config, options);
  } catch (error) {
    const { syscall, path, code } = error as NodeJS.ErrnoException;
    if (syscall?.startsWith("spawn") !== true) throw error;
    const message = `cannot exec ${path}: ${code}`;
    throw new CommandError(message, { code: "EXEC", exitCode: EXIT.failure, cause: error });
  }
}
