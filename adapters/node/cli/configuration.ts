/**
 * The configuration that a command works with, and the flags that name it.
 *
 * @module
 */
import type { Command } from "commander";
import type { Config } from "../config/config.ts";

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

/** Reads it; `ConfigError` with everything that is wrong. */
export async function readConfiguration(flags: ConfigFlags): Promise<Config> {
  const { loadConfig } = await import("../config/load-config.ts");
  return loadConfig(configPath(flags), { expandEnv: flags.expandEnv });
}
