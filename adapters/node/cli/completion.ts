/**
 * `pagestream completion`: what makes a shell complete the command, written from the definitions of the commands.
 *
 * @module
 */
import type { Command } from "commander";
import { type CommandInfo, describeCommands, type FlagInfo } from "./describe-commands.ts";
import { EXIT, usageError } from "./failure.ts";

/** Prints the script of a shell. */
export function runCompletion(shell: string | undefined, program: Command): number {
  if (shell === undefined) {
    throw usageError("shell required: bash, zsh or fish", "pagestream completion bash");
  }
  const script = SCRIPTS[shell];
  if (script === undefined) {
    throw usageError(`${shell} is no shell that is known: bash, zsh or fish`);
  }
  process.stdout.write(script(describeCommands(program)));
  return EXIT.ok;
}

const SCRIPTS: Readonly<Record<string, (commands: readonly CommandInfo[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** Words that may follow a command. `help` is one too, though the parser alone knows it. */
function wordsAfter({ name, children, choices }: CommandInfo): readonly string[] {
  return name === "" ? [...children, "help"] : [...children, ...choices];
}

/** One arm of a `case` for each command, by its name. */
function arms(
  commands: readonly CommandInfo[],
  body: (command: CommandInfo) => readonly string[],
): readonly string[] {
  return commands.flatMap((command) => [
    `    "${command.name}")`,
    ...body(command).map((line) => `      ${line}`),
    "      ;;",
  ]);
}

/** A `case` pattern of everything a flag is called: long ones take one dash too. */
function namesOf({ long, short }: FlagInfo): readonly string[] {
  return [long, long.slice(1), ...(short === undefined ? [] : [short])];
}

/** Flags by what their value is: a list of words, a path, or something that nobody can guess. */
function valuesOf(command: CommandInfo): readonly string[] {
  const lines: string[] = [];
  for (const flag of command.flags) {
    if (flag.value === undefined) continue;
    const pattern = namesOf(flag).join("|");
    if (flag.choices.length > 0) lines.push(`${pattern}) words="${flag.choices.join(" ")}" ;;`);
    else lines.push(`${pattern}) ${flag.value === "path" ? "paths=1" : "nothing=1"} ;;`);
  }
  return lines.length === 0
    ? [":"]
    : ['case "$previous" in', ...lines.map((l) => `  ${l}`), "esac"];
}

/**
 * The logic that bash and zsh share: from the words before the cursor to the variables `words` (what may stand here),
 * `paths` and `nothing` (what a value is). Words of flags are given with as many dashes as were typed.
 */
function sharedLogic(commands: readonly CommandInfo[]): readonly string[] {
  const calls = commands.flatMap(({ name }) => {
    if (name === "") return [];
    const at = name.lastIndexOf(" ");
    return [
      `      "${name.slice(0, Math.max(at, 0))}/${name.slice(at + 1)}") command="${name}" ;;`,
    ];
  });
  return [
    '  local command="" word words="" flags="" paths="" nothing="" arguments=""',
    '  for word in "${before[@]}"; do',
    '    case "$command/$word" in',
    ...calls,
    "    esac",
    "  done",
    '  case "$command" in',
    ...arms(commands, valuesOf),
    "  esac",
    "  if [[ -z $words$paths$nothing ]]; then",
    '    case "$command" in',
    ...arms(commands, (command) => [
      `flags="${[...command.flags.map(({ long }) => long), "--help"].join(" ")}"`,
      `words="${wordsAfter(command).join(" ")}"`,
      ...(command.takesPaths ? ["arguments=1"] : []),
    ]).map((line) => `  ${line}`),
    "    esac",
    '    case "$current" in',
    '      --* | -) words="$flags" ;;',
    '      -*) words="${flags//--/-}" ;;',
    "      *) [[ -n $arguments ]] && paths=1 ;;",
    "    esac",
    "  fi",
  ];
}

function bashScript(commands: readonly CommandInfo[]): string {
  return [
    "# Completion of pagestream for bash. Load it with:",
    "#   source <(pagestream completion bash)",
    "_pagestream() {",
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"',
    '  local before=("${COMP_WORDS[@]:1:COMP_CWORD - 1}")',
    ...sharedLogic(commands),
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "  if [[ -n $paths ]]; then",
    "    compopt -o filenames 2>/dev/null",
    "    local path",
    '    while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -f -- "$current")',
    "  fi",
    "}",
    "complete -F _pagestream pagestream",
    "",
  ].join("\n");
}

function zshScript(commands: readonly CommandInfo[]): string {
  return [
    "#compdef pagestream",
    "# Completion of pagestream for zsh. Load it with:",
    "#   source <(pagestream completion zsh)",
    "_pagestream() {",
    // `words` is what zsh itself calls the line.
    '  local current="$PREFIX" previous="${words[CURRENT - 1]}"',
    '  local before=("${(@)words[2,CURRENT - 1]}")',
    ...sharedLogic(commands).map((line) => line.replaceAll(/\bwords\b/g, "candidates")),
    "  compadd -- ${=candidates}",
    "  [[ -n $paths ]] && _files",
    "  return 0",
    "}",
    "compdef _pagestream pagestream",
    "",
  ].join("\n");
}

function fishScript(commands: readonly CommandInfo[]): string {
  const lines = [
    "# Completion of pagestream for fish. Load it with:",
    "#   pagestream completion fish | source",
    "complete -c pagestream -f",
  ];
  const top = commands[0]?.children ?? [];
  const none = "not __fish_seen_subcommand_from " + [...top, "help"].join(" ");
  for (const command of commands) {
    const { name, children, flags, takesPaths } = command;
    const [first, second] = name.split(" ");
    let when = name === "" ? none : `__fish_seen_subcommand_from ${first}`;
    if (second !== undefined) when += `; and __fish_seen_subcommand_from ${second}`;
    else if (name !== "" && children.length > 0) {
      when += `; and not __fish_seen_subcommand_from ${children.join(" ")}`;
    }
    const start = `complete -c pagestream -n ${fishQuote(when)}`;
    for (const word of wordsAfter(command)) {
      const path = name === "" ? word : `${name} ${word}`;
      const description = commands.find((each) => each.name === path)?.description ?? "";
      lines.push(`${start} -a ${word} -d ${fishQuote(description)}`);
    }
    if (takesPaths) lines.push(`${start} -F`);
    for (const flag of flags) lines.push(`${start} ${fishFlag(flag)}`);
    lines.push(`${start} -l help -s h -d 'show help'`);
  }
  return `${lines.join("\n")}\n`;
}

/** Long flags in the form of Litestream too, with one dash. */
function fishFlag({ long, short, value, choices, description }: FlagInfo): string {
  const names = [`-l ${long.slice(2)}`, `-o ${long.slice(2)}`];
  if (short !== undefined) names.push(`-s ${short.slice(1)}`);
  if (value !== undefined) {
    names.push(value === "path" ? "-r -F" : "-x");
    if (choices.length > 0) names.push(`-a ${fishQuote(choices.join(" "))}`);
  }
  return `${names.join(" ")} -d ${fishQuote(description)}`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
