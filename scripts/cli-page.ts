/**
 * Writes `docs/cli.md` from the definitions of the commands: `node scripts/cli-page.ts`.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeCommands } from "../adapters/node/cli/describe-commands.ts";
import type { CommandInfo, FlagInfo } from "../adapters/node/cli/describe-commands.ts";
import { createProgram } from "../adapters/node/cli/program.ts";
import { root } from "./lib/process.mjs";

const HEAD = `# The command

\`npm install @pagestream/node\` brings \`pagestream\`. Commands, flags, columns and JSON fields that Litestream has are
Litestream's; long flags take one dash or two, \`-flag=false\` turns a flag off. What is asked for goes to standard output,
all else to standard error. With \`--json\` an error is one line \`{"error":{"code","message","hint","cause"}}\` there, and
\`code\` is one of [these](errors.md).

This page is written by \`node scripts/cli-page.ts\` from the definitions of the commands; so is the completion of shells:
\`source <(pagestream completion bash)\`.
`;

/** The page as it has to be. */
export function renderCliPage(): string {
  const [program, ...commands] = describeCommands(createProgram(() => {}));
  if (program === undefined) throw new Error("there is no program");
  const list = commands.map(({ name, description }) => {
    const anchor = `pagestream-${name.replaceAll(" ", "-")}`;
    return `| [\`${name}\`](#${anchor}) | ${cell(description)} |`;
  });
  const common = ["## Flags of every command", table(program.flags), code(program.notes)];
  const globals = new Set(program.flags.map(({ long }) => long));
  const sections = commands.map((command) => sectionOf(command, globals));
  const index = ["| command | |", "| --- | --- |", ...list].join("\n");
  return `${[HEAD.trimEnd(), index, ...common, ...sections].filter(Boolean).join("\n\n")}\n`;
}

function sectionOf(command: CommandInfo, globals: ReadonlySet<string>): string {
  const { name, description, usage, flags, notes } = command;
  const own = flags.filter(({ long }) => !globals.has(long));
  const parts = [
    `## pagestream ${name}`,
    `${description[0]?.toUpperCase()}${description.slice(1)}.`,
    code(`pagestream ${name} ${usage}`),
    table(own),
    code(notes),
  ];
  return parts.filter(Boolean).join("\n\n");
}

function table(flags: readonly FlagInfo[]): string {
  if (flags.length === 0) return "";
  const rows = flags.map(({ long, short, value, choices, description, fallback }) => {
    const names = [short, long].filter((each) => each !== undefined).join(", ");
    const of = value === undefined ? "" : ` <${value}>`;
    const notes = [
      choices.length === 0 ? "" : `: ${choices.join(", ")}`,
      fallback === undefined ? "" : `; default: ${fallback}`,
    ];
    return `| \`${names}${of}\` | ${cell(description + notes.join(""))} |`;
  });
  return ["| flag | |", "| --- | --- |", ...rows].join("\n");
}

function code(text: string): string {
  return text === "" ? "" : `\`\`\`text\n${text}\n\`\`\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

if (import.meta.main) writeFileSync(join(root, "docs/cli.md"), renderCliPage());
