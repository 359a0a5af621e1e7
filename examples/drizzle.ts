// Drizzle over better-sqlite3: the handle it writes through is replicated, and an insert waited for.
import { closeOnExit, fileStore, replicate } from "@pagestream/node";
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

const note = sqliteTable("note", { id: integer().primaryKey(), body: text().notNull() });

const client = new Database("app.db");
client.exec(
  "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT)",
);
const db = drizzle(client);
const replication = await replicate(client, fileStore("backup/app"));
closeOnExit(replication);

// Resolves when the row is in the replica, with what the query gave.
const [row] = await replication.committed(() =>
  db.insert(note).values({ body: "hello" }).returning(),
);
console.log("in the replica:", row);
