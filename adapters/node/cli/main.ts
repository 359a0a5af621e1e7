/**
 * The `pagestream` command.
 *
 * @module
 */
import { CommanderError } from "commander";
import { normaliseArguments } from "./arguments.ts";
import { EXIT, reportFailure, usageError } from "./failure.ts";
import { createProgram } from "./program.ts";

/**
 * Runs one command line, without the names of program and script, and resolves to its exit code. Everything is
 * written to the standard streams; nothing is thrown.
 */
export async function main(argv: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", ignoreClosedPipe);
  let exitCode: number = EXIT.ok;
  const program = createProgram((code) => (exitCode = code));
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  const args = normaliseArguments(argv, program);
  if (args[0] === "--version") args[0] = "version";
  try {
    if (args.length === 0) {
      process.stdout.write(program.helpInformation());
      exitCode = EXIT.usage;
    } else {
      await program.parseAsync(args, { from: "user" });
    }
  } catch (error) {
    exitCode =
      error instanceof CommanderError && error.exitCode === 0
        ? EXIT.ok
        : reportFailure(explainParsing(error, args), { json: args.includes("--json") });
  }
  return args.includes("--compat-exit") && exitCode !== EXIT.ok ? EXIT.failure : exitCode;
}

function withSubcommands(command: ReturnType<typeof createProgram>): (typeof command)[] {
  return [command, ...command.commands.flatMap((c) => withSubcommands(c as typeof command))];
}

/** What the parser says, in the words of all other messages. */
function explainParsing(error: unknown, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  const [first = "", second = ""] = error.message.replace(/^error: /, "").split("\n");
  const similar = /^\(Did you mean (?:one of )?(.*)\?\)$/.exec(second)?.[1];
  if (error.code === "commander.unknownCommand") {
    const name = /'(.*)'/.exec(first)?.[1] ?? "";
    const hint = similar === undefined ? "pagestream help" : `pagestream ${similar}`;
    return usageError(`pagestream ${name}: unknown command`, hint);
  }
  if (error.code === "commander.help") return usageError("command required", "pagestream help");
  const command = args[0]?.startsWith("-") === false ? ` ${args[0]}` : "";
  return usageError(first, similar ?? `pagestream${command} --help`);
}

/** Who stops reading early, as `head` does, has what he wants. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}
