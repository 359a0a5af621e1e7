/**
 * A Worker whose Durable Object keeps a database in memory and its replica in a store over HTTP.
 *
 * A Durable Object, because timers and requests belong to the request that began them in a plain Worker.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import { memoryDrill, openReplicated, type ReplicatedDatabase, verify } from "pagestream";
import { patchWorkerd } from "pagestream/vfs";
import trampoline from "pagestream/trampoline.wasm";
import { hybridFunction, promising, SUSPEND, useTrampoline } from "../../src/vfs/trampoline.ts";
import { httpStore } from "../helpers/http-store.ts";

type Sqlite3 = Awaited<ReturnType<typeof sqlite3InitModule>>;

interface Environment {
  readonly REPLICA: string;
  readonly NOTES: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

function start(): Promise<Sqlite3> {
  // There is no OPFS to look for.
  const disable = { vfs: { opfs: true, "opfs-wl": true } };
  Object.assign(globalThis, { sqlite3ApiConfig: { disable } });
  const initialise = sqlite3InitModule as (options?: object) => Promise<Sqlite3>;
  return initialise({
    instantiateWasm: (
      imports: WebAssembly.Imports,
      done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ) => done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
  });
}

/** The Durable Object. */
export class Notes {
  readonly #environment: Environment;
  #app: Promise<ReplicatedDatabase<Sqlite3>> | undefined;

  constructor(_state: unknown, environment: Environment) {
    this.#environment = environment;
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/unpatched") return Response.json({ error: await failure(start) });
    if (pathname === "/untrampolined") {
      patchWorkerd();
      return Response.json({ error: await failure(start) });
    }
    if (pathname === "/suspend") return Response.json(await suspend());
    if (pathname === "/drill") {
      const probes = [{ sql: "SELECT count(*) FROM note", expected: 3 }];
      const store = httpStore(this.#environment.REPLICA);
      const { faults } = await verify(store, { restore: memoryDrill(await loaded()), probes });
      return Response.json(faults);
    }
    const durability = searchParams.has("held") ? "hold-jspi" : "async";
    const app = await (this.#app ??= this.#open(durability));
    const { db, replication, restored } = app;
    if (pathname === "/write") {
      for (let left = Number(searchParams.get("count")); left > 0; left--) {
        await app.transaction(() =>
          db.exec("INSERT INTO note(body) VALUES (hex(randomblob(200)) || twice(21))"),
        );
        if (searchParams.has("slowly")) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      if (searchParams.has("durable")) await replication.durable();
    }
    if (pathname === "/bytes") {
      const { capi } = await sqlite3;
      return new Response(capi.sqlite3_js_db_export(db) as Uint8Array<ArrayBuffer>);
    }
    return Response.json({
      rows: db.selectValue("SELECT count(*) FROM note"),
      check: db.selectValue("PRAGMA integrity_check"),
      restored: restored !== undefined,
      files: replication.stats.files,
      pages: replication.stats.pages,
    });
  }

  async #open(durability: "async" | "hold-jspi"): Promise<ReplicatedDatabase<Sqlite3>> {
    const app = await openReplicated({
      sqlite3: await loaded(),
      path: "notes.db",
      replica: httpStore(this.#environment.REPLICA),
      durability,
      // A Worker that dies gives nothing back: its lease would keep the next one waiting for half a minute.
      lease: false,
    });
    app.db.createFunction("twice", (_context: number, value: unknown) => Number(value) * 2);
    await app.transaction(() =>
      app.db.exec("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body)"),
    );
    return app;
  }
}

let sqlite3: Promise<Sqlite3>;

function loaded(): Promise<Sqlite3> {
  patchWorkerd({ trampoline });
  return (sqlite3 ??= start());
}

async function failure(run: () => Promise<unknown>): Promise<string> {
  const { error, warn } = console;
  console.error = console.warn = () => {};
  try {
    return await run().then(() => "", String);
  } finally {
    Object.assign(console, { error, warn });
  }
}

/** A hybrid in SQLite's function table that waits for a timer. */
async function suspend(): Promise<unknown> {
  const { wasm } = await loaded();
  useTrampoline(trampoline);
  const made = hybridFunction(
    "i(pip)",
    (file: number) => (file === 0 ? 5 : SUSPEND),
    async (_file: number, op: number) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return op + 1;
    },
  );
  const pointer = wasm.installFunction("i(pip)", made as never);
  const installed = wasm.functionEntry(pointer) as unknown as (...args: number[]) => number;
  return { plain: installed(0, 20, 0), suspended: await promising(installed as never)(9, 20, 0) };
}

// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default {
  fetch(request: Request, environment: Environment): Promise<Response> {
    const { NOTES } = environment;
    return NOTES.get(NOTES.idFromName("one")).fetch(request);
  },
};
