/**
 * Go's way to write flags, which Litestream's users know, in the form that the parser takes.
 *
 * @module
 */
import type { Command, Option } from "commander";

/**
 * Gives long flags their second dash (`-txid X`, `-txid=X`) and resolves booleans with a value (`-force=false`). Values
 * of flags and everything after `--` stay as they are, and so do short flags.
 */
export function normaliseArguments(argv: readonly string[], program: Command): string[] {
  const options = allOptions(program);
  const result: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] as string;
    if (argument === "--") return [...result, ...argv.slice(i)];
    const match = /^--?([A-Za-z][\w-]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null) {
      result.push(argument);
      continue;
    }
    const [, name = "", value] = match;
    const flag = name.length === 1 ? `-${name}` : `--${name}`;
    const option = options.find((o) => o.long === flag || o.short === flag);
    if (option?.isBoolean() === true && (value === "true" || value === "false")) {
      if (value === "true") result.push(flag);
    } else if (value !== undefined) {
      result.push(...(name.length === 1 ? [flag, value] : [`${flag}=${value}`]));
    } else {
      result.push(flag);
      if (option?.required === true && i + 1 < argv.length) result.push(argv[++i] as string);
    }
  }
  return result;
}

/** The first flag behind an argument that is none, in normalised arguments of one command. */
export function lateFlag(args: readonly string[], command: Command): string | undefined {
  let isLate = false;
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] as string;
    if (argument === "--") return undefined;
    if (!argument.startsWith("-")) isLate = true;
    else if (isLate) return argument.replace(/^--?/, "-").replace(/=.*$/s, "");
    else if (allOptions(command).some((o) => o.required && o.long === argument)) i++;
  }
  return undefined;
}

function allOptions(command: Command): readonly Option[] {
  return [...command.options, ...command.commands.flatMap(allOptions)];
}
