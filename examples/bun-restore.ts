// Restoring on Bun: a database is written, lost, and put back with SQLite's own check.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated, restore } from "pagestream";
import { fileSink, fileStore, syncFiles } from "pagestream/bun";

const replica = fileStore("backup/app");
const sqlite3 = await sqlite3InitModule();
{
  await using app = await openReplicated({ sqlite3, files: syncFiles(), path: "app.db", replica });
  app.db.exec("CREATE TABLE note(body); INSERT INTO note(body) VALUES ('hello')");
}
const { commit } = await restore(replica, fileSink("copy.db"), { integrityCheck: "full" });
console.log(`${commit} pages restored`);
