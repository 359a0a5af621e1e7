/**
 * `pagestream databases`.
 *
 * @module
 */
import { type ConfigFlags, databasesOf, readConfiguration } from "./configuration.ts";
import { EXIT } from "./failure.ts";
import { formatTable } from "./format.ts";

/** Flags of `pagestream databases`. */
export interface DatabasesFlags extends ConfigFlags {
  readonly json?: boolean;
}

/** Lists the databases of the configuration, those of its directories too, and what kind of replica each has. */
export async function runDatabases(flags: DatabasesFlags): Promise<number> {
  const config = await readConfiguration(flags);
  const rows = databasesOf(config).map(({ path, replica }) => ({ path, replica: replica.type }));
  if (flags.json === true) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
  else {
    const lines = rows.map(({ path, replica }) => [path, replica]);
    process.stdout.write(formatTable([["path", "replica"], ...lines]));
  }
  return EXIT.ok;
}
