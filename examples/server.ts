// A server's database: restored where it is missing, replicated while it is open.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated } from "pagestream";
import { fileStore, syncFiles } from "@pagestream/node";

const sqlite3 = await sqlite3InitModule();
await using app = await openReplicated({
  sqlite3,
  files: syncFiles(),
  path: "app.db", // restored first if it is missing here and present there
  replica: fileStore("backup/app"),
});
app.db.exec("CREATE TABLE IF NOT EXISTS note(body); INSERT INTO note(body) VALUES ('hello')");
await app.replication.durable(); // now it is in the replica
