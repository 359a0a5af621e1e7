/**
 * `pagestream sync`: a running daemon takes what is committed, and tells how far it has come.
 *
 * @module
 */
import { ask, type ControlFlags, databasePath, printAnswer } from "./control.ts";
import { EXIT } from "./failure.ts";

/** Flags of `pagestream sync`. */
export interface SyncFlags extends ControlFlags {
  readonly wait?: boolean;
}

interface Answer {
  readonly path: string;
  readonly txid: number;
  readonly replicated_txid: number;
}

/** Asks for it. */
export async function runSync(database: string | undefined, flags: SyncFlags): Promise<number> {
  const path = databasePath(database, "sync");
  const { wait = false } = flags;
  const start = performance.now();
  const answer = await ask<Answer>(
    { command: "sync", route: "/sync", body: { path, wait } },
    flags,
  );
  const { path: db_path, txid, replicated_txid: replica_txid } = answer;
  const duration_ms = Math.round(performance.now() - start);
  printAnswer({ db_path, txid, ...(wait ? { replica_txid } : {}), duration_ms }, flags);
  return EXIT.ok;
}
