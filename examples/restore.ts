// Back again: the states a replica holds, one of them restored with progress, and replication continued from it.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { fileSink, fileStore, syncFiles } from "@pagestream/node";
import { formatTxid } from "pagestream/ltx";
import { listRestorePoints, openReplicated, restore } from "pagestream";

const store = fileStore("backup/app");
await writeSomeHistory();

const points = await listRestorePoints(store); // [{ txid, time, level, size }], newest first
for (const { txid, time } of points) console.log(formatTxid(txid), time.toISOString());

const earlier = points.at(-1);
if (earlier === undefined) throw new Error("there is nothing to restore");
const done = await restore(store, fileSink("earlier.db"), {
  txid: earlier.txid, // or timestamp: "2026-11-20T12:00:00Z", or "5 minutes ago", or neither: the newest state
  integrityCheck: "quick",
  onProgress: ({ bytes, totalBytes }) => console.log(`${bytes} of ${totalBytes} bytes`),
});
console.log("restored", formatTxid(done.txid), done.time.toISOString());

// `explain` says which files a restore would read, and why, and writes nothing.
const plan = await restore(store, fileSink("never-written.db"), { explain: true });
for (const file of plan.files) console.log(file.key, file.reason);

async function writeSomeHistory(): Promise<void> {
  await using app = await openReplicated({
    sqlite3: await sqlite3InitModule(),
    files: syncFiles(),
    path: "app.db",
    replica: store,
  });
  app.db.exec("CREATE TABLE note(body)");
  for (const body of ["one", "two", "three"]) {
    app.db.exec({ sql: "INSERT INTO note VALUES (?)", bind: [body] });
    await app.replication.flush(); // each flush is a point to come back to
  }
}
