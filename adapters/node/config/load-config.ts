/**
 * Reads the configuration of the command.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Config, LoadConfigOptions } from "./config.ts";
import { parseConfigText } from "./document.ts";
import { ConfigError } from "./errors.ts";
import { absolutePath } from "./replicas.ts";
import { resolveConfig } from "./resolve.ts";

/**
 * Reads a configuration file, which Litestream could read too.
 *
 * @throws {ConfigError} with everything that is wrong: file, line, key, and what may have been meant.
 */
export function loadConfig(path: string, options: LoadConfigOptions = {}): Config {
  const file = absolutePath(path);
  return parseConfig(readConfigText(file), { ...options, file });
}

/**
 * The same for a text, of which `file` is the name in errors.
 *
 * @throws {ConfigError} as `loadConfig` does.
 */
export function parseConfig(
  text: string,
  options: LoadConfigOptions & { readonly file: string },
): Config {
  const { file, expandEnv = true, env = process.env } = options;
  const document = parseConfigText(text, { file, variables: expandEnv ? env : undefined });
  return resolveConfig(document, env);
}

/** A configuration of nothing but defaults, for databases that arguments name. */
export function defaultConfig(options: Pick<LoadConfigOptions, "env"> = {}): Config {
  return { ...parseConfig("", { ...options, file: "the defaults" }), path: undefined };
}

/** The text of a configuration file; `ConfigError` where there is none. */
export function readConfigText(path: string): string {
  const file = absolutePath(path);
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message =
      code === "ENOENT" ? "config file not found" : `the file cannot be read (${code})`;
    throw new ConfigError(file, [{ key: "", line: undefined, message }]);
  }
}
