// A Durable Object with a database in memory: restored from R2 when it starts, replicated to R2 before it answers.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import { openReplicated } from "pagestream";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import trampoline from "pagestream/trampoline.wasm";
import { patchWorkerd } from "pagestream/vfs";

interface Environment {
  readonly BUCKET: R2Bucket;
  readonly NOTES: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
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

async function open(bucket: R2Bucket) {
  const sqlite3 = await (sqlite3InitModule as Initialise)({
    instantiateWasm: (imports: Imports, done: Done) =>
      done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
  });
  const app = await openReplicated({
    sqlite3,
    path: "notes.db",
    replica: r2Store(bucket, { path: "notes" }),
    lease: false, // an object is the only one of its name; evicted, it could not give a lease back
    groupMs: 50, // an answer waits at most this long, and the upload
  });
  app.db.exec("CREATE TABLE IF NOT EXISTS note(body)");
  return app;
}

export class Notes {
  readonly #bucket: R2Bucket;
  #app: ReturnType<typeof open> | undefined;

  constructor(_state: unknown, environment: Environment) {
    this.#bucket = environment.BUCKET;
  }

  async fetch(request: Request): Promise<Response> {
    const { db, replication } = await (this.#app ??= open(this.#bucket));
    if (request.method === "POST") {
      db.exec({ sql: "INSERT INTO note VALUES (?)", bind: [await request.text()] });
      await replication.durable(); // an object may be evicted at any time: now the note is in R2
    }
    return Response.json(db.selectValues("SELECT body FROM note ORDER BY rowid"));
  }
}

export default {
  fetch(request: Request, { NOTES }: Environment): Promise<Response> {
    return NOTES.get(NOTES.idFromName("the only one")).fetch(request);
  },
};
