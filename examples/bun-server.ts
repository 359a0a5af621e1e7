// A server's database on Bun: restored where it is missing, in WAL mode, replicated until the process is told to end.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated } from "pagestream";
import { closeOnExit, fileStore, syncFiles } from "pagestream/bun";

const app = await openReplicated({
  sqlite3: await sqlite3InitModule(),
  files: syncFiles(),
  path: "app.db", // restored first if it is missing here and present there
  replica: fileStore("backup/app"),
  journalMode: "wal",
});
closeOnExit(app); // SIGINT, SIGTERM, or nothing left to do: uploads what is left, then closes

app.db.exec("CREATE TABLE IF NOT EXISTS note(body); INSERT INTO note(body) VALUES ('hello')");
await app.replication.durable(); // now it is in the replica
