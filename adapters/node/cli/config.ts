/**
 * `pagestream config`: what a configuration means here, and what to write instead of what is old.
 *
 * @module
 */
import type { ConfigNotice } from "../config/config.ts";
import { type ConfigFlags, configPath, readConfiguration } from "./configuration.ts";
import { EXIT } from "./failure.ts";

/** Flags of `config check` and `config migrate`. */
export interface ConfigCommandFlags extends ConfigFlags {
  readonly json?: boolean;
}

/** Prints the configuration as it counts, without its secrets, and what differs from what it says. */
export async function runConfigCheck(flags: ConfigCommandFlags): Promise<number> {
  const config = await readConfiguration(flags);
  const { describeConfig } = await import("../config/describe-config.ts");
  const shown = describeConfig(config);
  const { path, notices } = config;
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ path, notices, config: shown }, undefined, 2)}\n`);
    return EXIT.ok;
  }
  const { stringify } = await import("yaml");
  process.stderr.write(notices.map(noticeLine).join(""));
  process.stdout.write(stringify(shown, { lineWidth: 0 }));
  return EXIT.ok;
}

/** Prints the file with what is refused or of an old release replaced, and tells what was done and what differs. */
export async function runConfigMigrate(flags: ConfigCommandFlags): Promise<number> {
  const file = configPath(flags);
  const { migrateConfig } = await import("../config/migrate-config.ts");
  const { parseConfig, readConfigText } = await import("../config/load-config.ts");
  const { text, changes } = migrateConfig(readConfigText(file));
  const { notices } = parseConfig(text, { file, expandEnv: flags.expandEnv });
  if (flags.json === true) {
    process.stdout.write(
      `${JSON.stringify({ path: file, changes, notices, yaml: text }, undefined, 2)}\n`,
    );
    return EXIT.ok;
  }
  const done = changes.map((change) => `changed: ${change}\n`);
  const nothing = "nothing has to change\n";
  process.stderr.write(done.length === 0 ? nothing : done.join(""));
  process.stderr.write(notices.map(noticeLine).join(""));
  process.stdout.write(text);
  return EXIT.ok;
}

function noticeLine({ kind, key, line, message }: ConfigNotice): string {
  const place = [line === undefined ? "" : `line ${line}`, key].filter((part) => part !== "");
  return `${kind}: ${[...place, message].join(": ")}\n`;
}
