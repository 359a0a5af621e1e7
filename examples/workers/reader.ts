// A Hono app that answers from a replica in a bucket, page by page: nothing is restored. It lives in a Durable Object,
// since in a plain Worker streams and signals belong to the request that made them, and the pages are for all requests.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import { Hono } from "hono";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { s3Store } from "pagestream/transports/s3";
import trampoline from "pagestream/trampoline.wasm";
import { openReplicaDatabase, patchWorkerd } from "pagestream/vfs";

interface Environment {
  readonly READER: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
  readonly BUCKET?: R2Bucket;
  readonly S3?: Parameters<typeof s3Store>[0]; // instead of BUCKET: { endpoint, bucket, path, credentials }
  readonly DRIVER?: "retry" | "jspi"; // by default what the runtime can do best
}

type Imports = WebAssembly.Imports;
type Done = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;
type Initialise = (options: object) => ReturnType<typeof sqlite3InitModule>;

const MAX_AGE_MS = 5_000;

// Before SQLite starts, and for as long as it runs: workerd compiles nothing.
patchWorkerd({ trampoline });
// There are no private files of an origin to look for.
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

async function open({ BUCKET, S3, DRIVER }: Environment) {
  const sqlite3 = await (sqlite3InitModule as Initialise)({
    instantiateWasm: (imports: Imports, done: Done) =>
      done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
  });
  return await openReplicaDatabase({
    sqlite3,
    replica: BUCKET === undefined ? s3Store(S3!) : r2Store(BUCKET, { path: "app" }),
    driver: DRIVER,
    follow: false, // an object that polls is never at rest
    cacheBytes: 16 * 2 ** 20, // of the 128 MB of an isolate
    maxStatementBytes: 32 * 2 ** 20,
  });
}

type Database = Awaited<ReturnType<typeof open>>;

const app = new Hono<{ Bindings: { db: Database } }>();

app.get("/notes/:id", async (c) => {
  const { db } = c.env;
  const rows = await db.query("SELECT id, title FROM note WHERE id = ?", [c.req.param("id")]);
  return rows.length === 0 ? c.notFound() : c.json(rows[0]);
});

app.get("/summary", async (c) => {
  const { db } = c.env;
  const sql = "SELECT count(*) AS notes, sum(length(body)) AS bytes FROM note WHERE id >= ?";
  return c.json(await db.query(sql, [c.req.query("from") ?? 1], { timeoutMs: 30_000 }));
});

app.get("/status", (c) => {
  const { txid, driver, stats } = c.env.db;
  return c.json({ txid: String(txid), driver, ...stats });
});

export class Reader {
  readonly #environment: Environment;
  #opened: Promise<Database> | undefined;

  constructor(_state: unknown, environment: Environment) {
    this.#environment = environment;
  }

  async fetch(request: Request): Promise<Response> {
    this.#opened ??= open(this.#environment);
    try {
      const db = await this.#opened;
      const age = Date.now() - (db.reader.lastLookAt?.getTime() ?? 0);
      if (age > MAX_AGE_MS) await db.refresh();
      return await app.fetch(request, { db });
    } catch (error) {
      this.#opened = undefined; // the next request begins anew
      throw error;
    }
  }
}

export default {
  fetch(request: Request, { READER }: Environment): Promise<Response> {
    return READER.get(READER.idFromName("the only one")).fetch(request);
  },
};
