/**
 * A native SQLite reader in a process of its own.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";

/** A connection of another process. */
export interface SqliteReader {
  /** Runs SQL; the first row of the answer. Rejects with SQLite's message. */
  get(sql: string): Promise<Record<string, unknown> | undefined>;
  close(): Promise<void>;
}

/** Opens a database read-only in a child process. */
export async function sqliteReader(path: string): Promise<SqliteReader> {
  const child = fork(fileURLToPath(import.meta.url), [path], { execArgv: ["--no-warnings"] });
  await once(child, "message");
  return {
    async get(sql) {
      child.send(sql);
      const [{ row, error }] = (await once(child, "message")) as [
        { row?: Record<string, unknown>; error?: string },
      ];
      if (error !== undefined) throw new Error(error);
      return row;
    },
    async close() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    },
  };
}

function serve(self: ChildProcess | NodeJS.Process, path: string): void {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 2000 });
  self.on("message", (sql: unknown) => {
    try {
      self.send?.({ row: db.prepare(String(sql)).get() });
    } catch (error) {
      self.send?.({ error: (error as Error).message });
    }
  });
  self.on("disconnect", () => db.close());
  self.send?.({});
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  serve(process, process.argv[2] as string);
}
