/**
 * The commands that look at the databases of the configuration, their flags and their help.
 *
 * @module
 */
import type { Command } from "commander";
import { withConfigFlags } from "./configuration.ts";
import type { DatabasesFlags } from "./databases.ts";
import type { ResetFlags } from "./reset.ts";
import type { StatusFlags } from "./status-config.ts";

/** Adds them. */
export function addDatabaseCommands(program: Command, done: (exitCode: number) => void): void {
  withConfigFlags(program.command("databases"))
    .description("list the databases of the configuration")
    .option("--json", "print a JSON array")
    .action(async (flags: DatabasesFlags) => {
      const { runDatabases } = await import("./databases.ts");
      done(await runDatabases(flags));
    });

  withConfigFlags(program.command("status"))
    .description("show how far the databases of the configuration are replicated")
    .argument("[database]", "this database alone; or a replica: its position, levels and lease")
    .option("--offline", "only what this machine knows, in Litestream's columns")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Each replica is asked, and the daemon where its control socket answers. Lag is the age of what the replica lacks;
without a daemon it is told from times of files, and is then an upper bound.
`,
    )
    .action(async (text: string | undefined, flags: StatusFlags) => {
      const { runStatus } = await import("./status.ts");
      done(await runStatus(text, flags));
    });

  withConfigFlags(program.command("reset"))
    .description("forget what is known here of a database's replica; both stay as they are")
    .argument("[database]", "the database file")
    .option("--dry-run", "only print what would be removed")
    .addHelpText(
      "after",
      `
What waited for its upload goes too: it is still in the database, all of which the next sync uploads. Stop the
replication of the database first.
`,
    )
    .action(async (database: string | undefined, flags: ResetFlags) => {
      const { runReset } = await import("./reset.ts");
      done(await runReset(database, flags));
    });
}
