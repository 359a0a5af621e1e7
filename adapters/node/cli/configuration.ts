/**
 * The configuration that a command works with, and the flags that name it.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { Config, DatabaseConfig } from "../config/config.ts";
import { CommandError, EXIT } from "./failure.ts";

/** Flags of every command that reads a configuration. */
export interface ConfigFlags {
  readonly config?: string;
  /** False: `$NAME` stays as it is. */
  readonly expandEnv?: boolean;
}

/** Adds the flags that name a configuration, which are Litestream's. */
export function withConfigFlags(command: Command): Command {
  return command
    .option(
      "--config <path>",
      "the configuration; default: $LITESTREAM_CONFIG, or /etc/litestream.yml",
    )
    .option("--no-expand-env", "leave $NAME and ${NAME} in it as they are");
}

/** The file that flags and environment name. */
export function configPath({ config }: ConfigFlags): string {
  const usual =
    process.platform === "win32" ? "C:\\Litestream\\litestream.yml" : "/etc/litestream.yml";
  return config ?? (process.env["LITESTREAM_CONFIG"] || usual);
}

/** Whether there is a configuration, or one was asked for. */
export function hasConfig(flags: ConfigFlags): boolean {
  return flags.config !== undefined || existsSync(configPath(flags));
}

/** Reads it; `ConfigError` with everything that is wrong. */
export async function readConfiguration(flags: ConfigFlags): Promise<Config> {
  const { loadConfig } = await import("../config/load-config.ts");
  return loadConfig(configPath(flags), { expandEnv: flags.expandEnv });
}

/** Every database of a configuration: those that are named, then what lies in its directories now. */
export function databasesOf(config: Config): readonly DatabaseConfig[] {
  const members = config.directories.flatMap((directory) => directory.members());
  return [...config.databases, ...members];
}

/**
 * The database of a path, which is made absolute first, as those of the configuration are. In a directory it need not be there,
 * nor be whole: what is lost is what gets restored.
 */
export function databaseAt(config: Config, path: string): DatabaseConfig {
  const wanted = resolve(path.replace(/^sqlite3?:\/\//, ""));
  const named = config.databases.find((each) => each.path === wanted);
  if (named !== undefined) return named;
  for (const directory of config.directories) {
    const member = directory.memberAt(wanted, new Set([wanted]));
    if (member !== undefined) return member;
  }
  throw new CommandError(`database not found in config: ${wanted}`, {
    code: "NOT_FOUND",
    exitCode: EXIT.config,
    hint: "pagestream databases",
  });
}
