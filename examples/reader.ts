// Pages of a replica, now and in the past, without restoring it.
import { DatabaseSync } from "node:sqlite";
import { fileStore, replicate } from "@pagestream/node";
import { openReplicaReader } from "pagestream";

const store = fileStore("replica");
const app = new DatabaseSync("app.db");
app.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT)");
const replication = await replicate("app.db", store);
await replication.flush();

// Elsewhere: one reader, for as many connections, requests or jobs as there are.
const reader = await openReplicaReader(store);
const before = reader.latest;

app.exec("INSERT INTO note(title) VALUES ('first')");
await replication.flush();
const after = await reader.waitFor(replication.position.replicated);

// A state never changes: both can be read as long as the replica has their files.
const changed = [...reader.changedPages(before, after)];
await reader.fetch(after, changed);
for (const pgno of changed) console.log(`page ${pgno}: ${reader.peek(after, pgno)?.length} bytes`);
console.log(`${reader.stats.requests} requests, ${reader.stats.bytes} bytes`);
if (changed.length === 0 || after.txid <= before.txid)
  throw new Error("the reader does not follow");

const again = await reader.viewAt({ txid: before.txid });
if (reader.changedPages(before, again).length > 0) throw new Error("the past has changed");

await reader.close();
app.close();
await replication.close();
