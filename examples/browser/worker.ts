// A database in the origin's private files, restored where it is missing and replicated while the worker lives.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated, openSahPool, opfsFiles } from "pagestream";
import { replica } from "./replica.ts";

const sqlite3 = await sqlite3InitModule();
const { db, replication } = await openReplicated({
  sqlite3,
  files: opfsFiles(await openSahPool(sqlite3)),
  path: "/app.db",
  replica,
  lease: false, // a worker that ends gives none back, and the next one would wait for half a minute
});
db.exec("CREATE TABLE IF NOT EXISTS note(body)");

self.addEventListener("message", async ({ data }: MessageEvent<string>) => {
  db.exec({ sql: "INSERT INTO note VALUES (?)", bind: [data] });
  await replication.durable(); // now it is in the replica
  self.postMessage(db.selectValue("SELECT count(*) FROM note"));
});
self.postMessage("ready"); // what was posted before had no listener yet
