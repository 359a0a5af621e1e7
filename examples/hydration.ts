// A full copy of a replica, made while it is read from and kept up to date.
import { DatabaseSync } from "node:sqlite";
import { fileStore, replicate, syncFiles } from "@pagestream/node";
import { hydrate, openReplicaReader, syncFileHydrationTarget } from "pagestream";

const store = fileStore("replica");
const app = new DatabaseSync("app.db");
app.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT)");
const replication = await replicate("app.db", store);
app.exec("INSERT INTO note(title) VALUES ('first'), ('second')");
await replication.flush();

// Elsewhere: the reader gives pages from the first moment on, the copy comes in the background.
const reader = await openReplicaReader(store, { follow: false });
const hydration = await hydrate(reader, syncFileHydrationTarget(syncFiles(), "copy.db"), {
  onProgress: ({ pages, totalPages }) => console.log(`${pages} of ${totalPages} pages`),
});
await hydration.complete();

app.exec("INSERT INTO note(title) VALUES ('third')");
await replication.flush();
const { txid } = await reader.refresh();
if ((await hydration.complete()) !== txid) throw new Error("the copy does not follow");

// Once it is closed the copy is a database as any other.
await hydration.close();
await reader.close();
const copy = new DatabaseSync("copy.db");
const row = copy.prepare("SELECT count(*) AS notes FROM note").get();
console.log(row);
if (row?.["notes"] !== 3) throw new Error("a note is missing");

copy.close();
app.close();
await replication.close();
