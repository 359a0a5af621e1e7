// A replica in R2 over HTTP: files, snapshots, pages, changes and SQL for whoever has the token.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import { Hono } from "hono";
import { replicaRoutes } from "pagestream/http";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import trampoline from "pagestream/trampoline.wasm";
import { patchWorkerd } from "pagestream/vfs";

interface Bindings {
  readonly BUCKET: R2Bucket;
  readonly TOKEN: string;
}

type Imports = WebAssembly.Imports;
type Done = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;
type Initialise = (options: object) => ReturnType<typeof sqlite3InitModule>;

// Before SQLite starts, and for as long as it runs: workerd compiles nothing.
patchWorkerd({ trampoline });
// There are no private files of an origin to look for.
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

const loadSqlite = () =>
  (sqlite3InitModule as Initialise)({
    instantiateWasm: (imports: Imports, done: Done) =>
      done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
  });

const app = new Hono<{ Bindings: Bindings }>();
app.route(
  "/db",
  replicaRoutes({
    replica: (c) => r2Store(c.env.BUCKET, { path: "app" }),
    key: () => "app", // one replica for all requests: pages and index are kept from one to the next
    sqlite3: loadSqlite, // only for /query
    authorize: (c) => c.req.header("authorization") === `Bearer ${c.env.TOKEN}`,
  }),
);
export default app;
