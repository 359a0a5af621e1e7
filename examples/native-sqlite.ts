// Native SQLite: every commit of the application's own handle, and of other processes, replicated as it happens.
import { DatabaseSync } from "node:sqlite";
import { closeOnExit, fileStore, replicate } from "@pagestream/node";

const db = new DatabaseSync("app.db");
db.exec("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS note(body)");
const replication = await replicate(db, fileStore("backup/app"));
closeOnExit(replication, { deadlineMs: 10_000 });

db.exec("INSERT INTO note(body) VALUES ('hello')");
await replication.durable(); // now it is in the replica
for await (const event of replication.events) console.log(event.type, event.position.replicated);
