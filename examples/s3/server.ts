// A server's database with its replica in a bucket: restored where it is missing, replicated while it is open.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { openReplicated } from "pagestream";
import { awsCredentials, syncFiles } from "@pagestream/node";
import { s3Store } from "pagestream/transports/s3";

const sqlite3 = await sqlite3InitModule();
const credentials = awsCredentials(); // from where AWS's own tools have them
await using app = await openReplicated({
  sqlite3,
  files: syncFiles(),
  path: "app.db", // restored first if it is missing here and present there
  replica: s3Store({ bucket: "backups", path: "app", region: "eu-central-1", credentials }),
});
app.db.exec("CREATE TABLE IF NOT EXISTS note(body); INSERT INTO note(body) VALUES ('hello')");
await app.replication.durable(); // now it is in the bucket
