/**
 * The `pagestream` command.
 *
 * @module
 */
import { setFlagsFromString } from "node:v8";
import { type Command, CommanderError } from "commander";
import { lateFlag, normaliseArguments } from "./arguments.ts";
import { EXIT, reportFailure, usageError } from "./failure.ts";
import { createProgram } from "./program.ts";

/**
 * Runs one command line, without the names of program and script, and resolves to its exit code. Everything is
 * written to the standard streams; nothing is thrown.
 */
export async function main(argv: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", ignoreClosedPipe);
  // The heap for new objects stays small: grown to its default, it makes a third of a restore's memory, and saves no time.
  setFlagsFromString("--semi-space-growth-factor=1");
  let exitCode: number = EXIT.ok;
  const program = createProgram((code) => (exitCode = code));
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  const flags = normaliseArguments(argv, program);
  const args = toCommandLine(flags, program);
  try {
    if (args.length === 0) {
      process.stdout.write(program.helpInformation());
      exitCode = EXIT.usage;
    } else {
      if (args[0] === "replicate") refuseLateFlag(args.slice(1), program);
      await program.parseAsync(args, { from: "user" });
    }
  } catch (error) {
    exitCode =
      error instanceof CommanderError && error.exitCode === 0
        ? EXIT.ok
        : reportFailure(explainParsing(error, args), { json: flags.includes("--json") });
  }
  return flags.includes("--compat-exit") && exitCode !== EXIT.ok ? EXIT.failure : exitCode;
}

/** As Litestream does: a flag there is most likely meant for the URL before it. */
function refuseLateFlag(args: readonly string[], program: Command): void {
  const flag = lateFlag(args, program);
  if (flag === undefined) return;
  const what = `flag ${JSON.stringify(flag)} must be positioned before DB_PATH and REPLICA_URL arguments`;
  throw usageError(what, `pagestream replicate ${flag} DB_PATH REPLICA_URL`);
}

/** `help X` is `X --help`, `--version` is `version`, and nothing is read behind a command that does not exist. */
function toCommandLine(args: string[], program: Command): string[] {
  const [first, ...rest] = args;
  if (first === "--version") return ["version", ...rest];
  if (first === "help" && rest[0]?.startsWith("-") === false) {
    return toCommandLine([...rest, "--help"], program);
  }
  const isKnown = program.commands.some((command) => command.name() === first) || first === "help";
  return first === undefined || isKnown || first.startsWith("-") ? args : [first];
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
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
