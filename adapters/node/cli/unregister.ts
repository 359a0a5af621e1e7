/**
 * `pagestream unregister`: a running daemon uploads what is left of a database, and forgets it.
 *
 * @module
 */
import { ask, type ControlFlags, databasePath, printAnswer } from "./control.ts";
import { EXIT } from "./failure.ts";

/** Flags of `pagestream unregister`. */
export interface UnregisterFlags extends ControlFlags {
  readonly dryRun?: boolean;
}

interface Answer {
  readonly status: string;
  readonly path: string;
  readonly txid: number;
}

/** Asks for it, or says what would be asked for. */
export async function runUnregister(
  database: string | undefined,
  flags: UnregisterFlags,
): Promise<number> {
  const path = databasePath(database, "unregister");
  const { socket, timeout } = flags;
  if (flags.dryRun === true) {
    process.stdout.write(
      `Dry run: unregister request preview\n` +
        `  database: ${path}\n` +
        `  socket: ${socket}\n` +
        `  replicas: that of the daemon for this database; its files stay\n` +
        `  final sync: the daemon uploads what is left before the command completes\n` +
        `  timeout: ${timeout}s\n` +
        `No unregister request was sent.\n`,
    );
    return EXIT.ok;
  }
  const question = { command: "unregister", route: "/unregister", body: { path } };
  const { status, path: db_path, txid: final_txid } = await ask<Answer>(question, flags);
  printAnswer({ status, db_path, final_txid, socket }, flags);
  return EXIT.ok;
}
