/**
 * A replica in R2 behind routes whose requests share as much as the names say.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import { type Context, Hono } from "hono";
import { replicaRoutes, type ReplicaRoutes } from "pagestream/http";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import trampoline from "pagestream/trampoline.wasm";
import { patchWorkerd } from "pagestream/vfs";

type Done = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;
type Initialise = (options: object) => ReturnType<typeof sqlite3InitModule>;

patchWorkerd({ trampoline });
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

let loading: ReturnType<Initialise> | undefined;
const loadSqlite = (): ReturnType<Initialise> =>
  (loading ??= (sqlite3InitModule as Initialise)({
    instantiateWasm: (imports: WebAssembly.Imports, done: Done) =>
      done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
  }));

type Store = ReturnType<typeof r2Store>;

function routes(replica: (c: Context) => Store, key?: () => string): ReplicaRoutes {
  return replicaRoutes({ replica, key, sqlite3: loadSqlite, authorize: "public", freshMs: 0 });
}

const storeOf = (c: Context): Store =>
  r2Store((c.env as { readonly BUCKET: R2Bucket }).BUCKET, { path: "app" });
let store: Store | undefined;

const app = new Hono();
app.route("/nothing", routes(storeOf));
app.route(
  "/store",
  routes((c) => (store ??= storeOf(c))),
);
app.route(
  "/key",
  routes(storeOf, () => "app"),
);
// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default app;
