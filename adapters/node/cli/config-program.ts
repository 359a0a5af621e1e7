/**
 * The commands about the configuration itself, their flags and their help.
 *
 * @module
 */
import type { Command } from "commander";
import type { ConfigCommandFlags } from "./config.ts";
import { withConfigFlags } from "./configuration.ts";

/** Adds them. */
export function addConfigCommands(program: Command, done: (exitCode: number) => void): void {
  const config = program
    .command("config")
    .description("look at the configuration, which Litestream can read too")
    .helpCommand(false);

  withConfigFlags(config.command("check"))
    .description("print the configuration as it counts, defaults included and secrets masked")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      `
What is wrong is told with its line, all at once, and ends with exit code 3. What is accepted and has another effect than
in Litestream is told on standard error.

Example:
  pagestream config check -config litestream.yml
`,
    )
    .action(async (flags: ConfigCommandFlags) => {
      const { runConfigCheck } = await import("./config.ts");
      done(await runConfigCheck(flags));
    });

  withConfigFlags(config.command("migrate"))
    .description("print the configuration with what is refused or of Litestream 0.3 replaced")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      `
The file stays as it is. What was changed, and what differs from Litestream, is told on standard error; Litestream 0.5 can
read what is printed.

Example:
  pagestream config migrate -config litestream.yml > pagestream.yml
`,
    )
    .action(async (flags: ConfigCommandFlags) => {
      const { runConfigMigrate } = await import("./config.ts");
      done(await runConfigMigrate(flags));
    });
}
