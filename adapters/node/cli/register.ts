/**
 * `pagestream register`: a running daemon begins to replicate a database.
 *
 * @module
 */
import { ask, type ControlFlags, databasePath, printAnswer } from "./control.ts";
import { EXIT, usageError } from "./failure.ts";

/** Flags of `pagestream register`. */
export interface RegisterFlags extends ControlFlags {
  readonly replica?: string;
}

interface Answer {
  readonly status: string;
  readonly path: string;
}

/** Asks for it. */
export async function runRegister(
  database: string | undefined,
  flags: RegisterFlags,
): Promise<number> {
  const { replica, socket, json } = flags;
  const hint = "register -replica s3://bucket/prefix";
  const path = databasePath(database, hint);
  if (replica === undefined || replica === "") {
    throw usageError("-replica is required", `pagestream ${hint} /path/to/db`);
  }
  const body = { path, replica_url: replica };
  const answer = await ask<Answer>({ command: "register", route: "/register", body }, flags);
  const status = json === true ? answer.status : answer.status.replace("_", " ");
  printAnswer({ status, db_path: answer.path, replica, socket }, flags);
  return EXIT.ok;
}
