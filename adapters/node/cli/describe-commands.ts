/**
 * The commands and their flags as data: what the completion of shells and the page of the command are made of.
 *
 * @module
 */
import type { Command, Option } from "commander";

/** One flag of a command. */
export interface FlagInfo {
  /** With two dashes. */
  readonly long: string;
  /** With one dash; undefined where there is none. */
  readonly short: string | undefined;
  /** What its value is called; undefined for one that takes none. */
  readonly value: string | undefined;
  /** The values it takes, where they can be listed. */
  readonly choices: readonly string[];
  /** What it does. */
  readonly description: string;
  /** What holds without it; undefined where nothing does. */
  readonly fallback: string | undefined;
}

/** One command. */
export interface CommandInfo {
  /** The words that call it, such as `ltx list`; empty for the program itself. */
  readonly name: string;
  /** What it does. */
  readonly description: string;
  /** What follows its name. */
  readonly usage: string;
  /** Its flags, hidden ones left out. */
  readonly flags: readonly FlagInfo[];
  /** Whether a path may follow. */
  readonly takesPaths: boolean;
  /** Words that may follow. */
  readonly choices: readonly string[];
  /** The next words that call a command below it. */
  readonly children: readonly string[];
  /** What its help says behind the flags: examples, exit codes. */
  readonly notes: string;
}

/** Every command, the program itself first, in the order of the help. */
export function describeCommands(program: Command): readonly CommandInfo[] {
  return describe(program, []);
}

function describe(command: Command, path: readonly string[]): readonly CommandInfo[] {
  const children = command.commands.filter((child) => !isHidden(child));
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  const [own, inherited] = [command.options, path.length === 0 ? [] : globalOptions(command)];
  const info: CommandInfo = {
    name: path.join(" "),
    description: command.description(),
    usage: command.usage(),
    flags: [...own, ...inherited].filter((option) => !option.hidden).map(flagOf),
    takesPaths: command.registeredArguments.length > 0 && choices.length === 0,
    choices,
    children: children.map((child) => child.name()),
    notes: notesOf(command),
  };
  return [info, ...children.flatMap((child) => describe(child, [...path, child.name()]))];
}

/** Options of the program, which every command takes. */
function globalOptions(command: Command): readonly Option[] {
  let top = command;
  while (top.parent !== null) top = top.parent;
  return top === command ? [] : top.options;
}

function flagOf(option: Option): FlagInfo {
  const { long, short, flags, description, argChoices, defaultValue, negate } = option;
  return {
    long: long ?? "",
    short,
    value: /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1],
    choices: argChoices ?? [],
    description,
    fallback: negate || defaultValue === undefined ? undefined : String(defaultValue),
  };
}

/** A command that was added with `{ hidden: true }` is not in the help of its parent. */
function isHidden(command: Command): boolean {
  return command.parent?.createHelp().visibleCommands(command.parent).includes(command) === false;
}

/** What is printed behind the help itself. */
function notesOf(command: Command): string {
  let printed = "";
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: (text) => (printed += text) });
  command.outputHelp();
  command.configureOutput(before);
  return printed.slice(command.helpInformation().length).trim();
}
