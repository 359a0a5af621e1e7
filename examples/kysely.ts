// Kysely over node:sqlite: the handle it writes through is replicated, and a transaction waited for.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { closeOnExit, fileStore, replicate } from "@pagestream/node";
import { type Generated, Kysely, SqliteDialect } from "kysely";

interface Tables {
  readonly note: { readonly id: Generated<number>; readonly body: string };
}

const client = new DatabaseSync("app.db");
client.exec(
  "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT)",
);
const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: forKysely(client) }) });
const replication = await replicate(client, fileStore("backup/app"));
closeOnExit(replication);

// Resolves when the transaction is in the replica, with what it gave.
const { id } = await replication.committed(() =>
  db.transaction().execute(async (trx) => {
    await trx.deleteFrom("note").execute();
    return await trx
      .insertInto("note")
      .values({ body: "hello" })
      .returning("id")
      .executeTakeFirstOrThrow();
  }),
);
console.log("in the replica: note", id);

/** Kysely knows better-sqlite3's statements, which differ from those of node:sqlite in their parameters. */
function forKysely(database: DatabaseSync) {
  return {
    close: () => database.close(),
    prepare(sql: string) {
      const statement = database.prepare(sql);
      const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
      return {
        reader: statement.columns().length > 0,
        all: (parameters: readonly unknown[]) => statement.all(...values(parameters)),
        run: (parameters: readonly unknown[]) => statement.run(...values(parameters)),
        iterate: (parameters: readonly unknown[]) => statement.iterate(...values(parameters)),
      };
    },
  };
}
