// A database in the origin's private files, restored where it is missing and replicated while the worker lives.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { bytesSink, replicate, restoreIfMissing } from "pagestream";
import { installCaptureVfs } from "pagestream/vfs";
import { replica } from "./replica.ts";

const PATH = "/app.db";

const sqlite3 = await sqlite3InitModule();
// Each database takes two of the pool's files, itself and its journal.
const pool = await sqlite3.installOpfsSAHPoolVfs({ initialCapacity: 6 });
const sink = bytesSink();
const restored = pool.getFileNames().includes(PATH)
  ? undefined
  : await restoreIfMissing(replica, sink);
if (restored !== undefined) await pool.importDb(PATH, sink.bytes);

const vfs = installCaptureVfs(sqlite3, { parent: "opfs-sahpool" });
const db = new sqlite3.oo1.DB(PATH, "c", vfs.name);
db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=TRUNCATE");
db.exec("CREATE TABLE IF NOT EXISTS note(body)");
const replication = await replicate(vfs.source(db), replica, {
  position: restored?.position,
  lease: false, // a worker that ends gives none back, and the next one would wait for half a minute
});

self.addEventListener("message", async ({ data }: MessageEvent<string>) => {
  db.exec({ sql: "INSERT INTO note VALUES (?)", bind: [data] });
  await replication.durable(); // now it is in the replica
  self.postMessage(db.selectValue("SELECT count(*) FROM note"));
});
self.postMessage("ready"); // what was posted before had no listener yet
