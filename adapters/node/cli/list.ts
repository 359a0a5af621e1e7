/**
 * `pagestream list`: the databases of a running daemon.
 *
 * @module
 */
import { ask, type ControlFlags, printAnswer } from "./control.ts";
import { EXIT } from "./failure.ts";

interface Listed {
  readonly path: string;
  readonly status: string;
  readonly last_sync_at?: string;
  readonly error?: string;
}

/** Lists them. */
export async function runList(flags: ControlFlags): Promise<number> {
  const question = { command: "list", route: "/list" };
  const answer = await ask<{ readonly databases: readonly Listed[] }>(question, flags);
  if (flags.json === true) printAnswer(answer, flags);
  else if (answer.databases.length === 0) process.stdout.write("No databases configured\n");
  else for (const each of answer.databases) process.stdout.write(lineOf(each));
  return EXIT.ok;
}

function lineOf({ path, status, last_sync_at: at, error }: Listed): string {
  const synced = at === undefined ? "never" : at.replace(/\.\d+Z$/, "Z");
  return `${path} [${status}] (last sync: ${synced})${error === undefined ? "" : ` ${error}`}\n`;
}
