/**
 * A database that is replicated into a store in memory, and readers of it.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated, type ReplicatedDatabase } from "pagestream";
import { type FaultyStore, faultyStore } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { openReplicaDatabase, type ReplicaDatabase } from "pagestream/vfs";
import { afterEach } from "vitest";
import { ONE_TRY } from "../helpers/one-try.ts";

/** SQLite, shared by the tests of a file. */
export const sqlite3: Awaited<ReturnType<typeof sqlite3InitModule>> = await sqlite3InitModule();

/** A writer and its replica. */
export interface Scene {
  readonly app: ReplicatedDatabase<typeof sqlite3>;
  /** What readers are given. */
  readonly store: FaultyStore;
  /** Runs SQL, and resolves when the replica has it. */
  write(sql: string): Promise<void>;
  /** Opens a reader, which asks for news only when it is told to, tries once, and is closed after the test. */
  read(
    options?: Partial<Parameters<typeof openReplicaDatabase>[0]>,
  ): Promise<ReplicaDatabase<typeof sqlite3>>;
}

const opened: AsyncDisposable[] = [];
let count = 0;

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

/** Closes something after the test. */
export function closeLater<T extends AsyncDisposable>(made: T): T {
  opened.push(made);
  return made;
}

/** Makes a database with the result of some SQL, and replicates it. */
export async function scene(sql: string): Promise<Scene> {
  const inner = memoryStore();
  const path = `scene-${++count}.db`;
  const app = closeLater(await openReplicated({ sqlite3, path, replica: inner, groupMs: 0 }));
  const store = faultyStore(inner);
  const write = async (more: string): Promise<void> => {
    app.db.exec(more);
    await app.replication.durable();
  };
  await write(sql);
  return {
    app,
    store,
    write,
    async read(options = {}) {
      const reading = { follow: false, retry: ONE_TRY } as const;
      return closeLater(
        await openReplicaDatabase({ replica: store, ...reading, ...options, sqlite3 }),
      );
    },
  };
}

/** The one value of a query. */
export async function value(database: ReplicaDatabase, sql: string): Promise<unknown> {
  const { rows } = await database.execute(sql);
  return rows[0]?.[0];
}

/** SQL of some rows of a table `t(a INTEGER PRIMARY KEY, b)`. */
export function rows(number: number): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${number})
    INSERT INTO t(b) SELECT hex(randomblob(150)) FROM n`;
}
