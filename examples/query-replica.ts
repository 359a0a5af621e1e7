// A replica queried without restoring it, as it was some minutes ago: only the pages that the query touches are read.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { formatTxid } from "pagestream/ltx";
import { memoryStore } from "pagestream/transports/memory";
import { openReplicated } from "pagestream";
import { openReplicaDatabase } from "pagestream/vfs";

const sqlite3 = await sqlite3InitModule();
const store = memoryStore(); // or s3Store, httpStore, fileStore, …
const { before } = await writeSomeHistory();

const view = await openReplicaDatabase({ sqlite3, replica: store, timestamp: before });
const rows = await view.query("SELECT title FROM doc WHERE id = ?", [42]);
console.log(view.txid, view.stats.requests, view.stats.bytes);
console.log(rows); // [{ title: "first title" }]

// The newest state, columns and rows apart, with what the query cost.
await view.setTime(undefined);
const {
  columns,
  rows: values,
  stats,
} = await view.execute("SELECT * FROM doc WHERE id > :id", {
  id: 41,
});
console.log(columns, values, `${stats.requests} requests, ${stats.bytes} bytes`);

// What happened in between.
const { tables } = await view.diff({ timestamp: before }, {});
for (const { table, inserted, updated, deleted } of tables) {
  console.log(table, { inserted, updated, deleted });
}
console.log(await view.query("SELECT litestream_txid() AS txid"), formatTxid(view.txid));
await view.close();

async function writeSomeHistory(): Promise<{ readonly before: Date }> {
  await using app = await openReplicated({ sqlite3, path: "app.db", replica: store });
  app.db.exec("CREATE TABLE doc(id INTEGER PRIMARY KEY, title)");
  app.db.exec("INSERT INTO doc VALUES (42, 'first title')");
  await app.replication.flush();
  const before = new Date();
  await new Promise((resolve) => setTimeout(resolve, 5));
  app.db.exec("UPDATE doc SET title = 'second title'; INSERT INTO doc VALUES (43, 'another')");
  await app.replication.flush();
  return { before };
}
