/**
 * `pagestream stop`: a running daemon ends the replication of a database until it is started again.
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
export async function runStop(database: string | undefined, flags: ControlFlags): Promise<number> {
  const path = databasePath(database, "stop");
  const question = { command: "stop", route: "/stop", body: { path }, endless: true };
  const { status, txid, path: db_path } = await ask<Answer>(question, flags);
  printAnswer({ status, db_path, state: "stopped", txid, socket: flags.socket }, flags);
  return EXIT.ok;
}
