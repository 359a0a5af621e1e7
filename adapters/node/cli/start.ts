/**
 * `pagestream start`: a running daemon begins to replicate a database again.
 *
 * @module
 */
import { ask, type ControlFlags, databasePath, printAnswer } from "./control.ts";
import { EXIT } from "./failure.ts";

interface Answer {
  readonly status: string;
  readonly path: string;
  readonly txid: number;
}

/** Asks for it. */
export async function runStart(database: string | undefined, flags: ControlFlags): Promise<number> {
  const path = databasePath(database, "start");
  const question = { command: "start", route: "/start", body: { path }, endless: true };
  const { status, txid, path: db_path } = await ask<Answer>(question, flags);
  printAnswer({ status, db_path, state: "running", txid, socket: flags.socket }, flags);
  return EXIT.ok;
}
