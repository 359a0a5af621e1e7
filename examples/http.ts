// A replica over HTTP: whoever has the token asks it by SQL or restores it, without the keys of its store.
import { serve } from "@hono/node-server";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { Hono } from "hono";
import { bytesSink, openReplicated, restore } from "pagestream";
import { replicaRoutes } from "pagestream/http";
import { httpStore } from "pagestream/transports/http";
import { memoryStore } from "pagestream/transports/memory";

const sqlite3 = await sqlite3InitModule();
const store = memoryStore(); // or s3Store, fileStore, …
await using database = await openReplicated({ sqlite3, path: "app.db", replica: store });
database.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
await database.replication.durable();

const authorization = "Bearer some long secret";
await using routes = replicaRoutes({
  replica: () => store,
  sqlite3, // only for /query
  authorize: (c) => c.req.header("authorization") === authorization,
});
const app = new Hono().route("/db", routes);
const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
await new Promise((resolve) => server.once("listening", resolve));
const address = server.address();
if (address === null || typeof address === "string") throw new Error("there is no port");
const url = `http://127.0.0.1:${address.port}/db`;

// A client, anywhere.
const headers = { authorization, "content-type": "application/json" };
const body = JSON.stringify({ sql: "SELECT body FROM note WHERE rowid = ?", params: [1] });
const answer = await fetch(`${url}/query`, { method: "POST", headers, body });
console.log(await answer.json()); // { txid, time, columns: ["body"], rows: [["hello"]], stats }

const sink = bytesSink();
await restore(httpStore(url, { headers: { authorization } }), sink);
console.log(`${sink.bytes.length} bytes restored`);

server.close();
