/**
 * The SQLite of a simulation: one wasm instance with a file system per machine, whose chance is seeded too.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import type { SyncFiles } from "../../src/core/sync-files.ts";
import type { MemorySyncFiles } from "../../src/testing/memory-sync-files.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";

/** What `sqlite3InitModule` resolves to. */
export type Sqlite3Module = Awaited<ReturnType<typeof sqlite3InitModule>>;

type Database = InstanceType<Sqlite3Module["oo1"]["DB"]>;

/** The directory of one process: `/<machine>/<process>`, where the disk has `/<machine>`. */
const DIRECTORY = /^(\/[^/]+)\/\d+(?=\/|$)/u;

/** A wasm instance. VFSes stay for its life, so machines of the same name, of many seeds, share them. */
export class SimSqlite {
  readonly sqlite3: Sqlite3Module;
  #random: SeededRandom | undefined;
  readonly #opened = new Set<Database>();
  readonly #disks = new Map<string, MemorySyncFiles>();
  readonly #files = new Map<string, SyncFiles>();
  #processes = 0;

  constructor(original: Sqlite3Module) {
    const { capi, wasm, oo1 } = original;
    const vfs = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null as never));
    const fill = (_vfs: unknown, length: number, at: unknown): number => {
      wasm.heap8u().set(this.#random!.bytes(length), Number(at));
      return length;
    };
    (vfs as unknown as { installMethod: (name: string, method: unknown) => void }).installMethod(
      "xRandomness",
      fill,
    );
    const quiet = original as unknown as { config: { warn: () => void; error: () => void } };
    quiet.config.warn = quiet.config.error = () => {};
    const opened = this.#opened;
    this.sqlite3 = Object.create(original, {
      oo1: {
        value: {
          ...oo1,
          DB: class extends oo1.DB {
            constructor(...args: ConstructorParameters<typeof oo1.DB>) {
              super(...args);
              opened.add(this);
            }
          },
        },
      },
    }) as Sqlite3Module;
  }

  /** Makes everything SQLite draws depend on `random` from here on. */
  seed(random: SeededRandom): void {
    this.#random = random;
    this.sqlite3.capi.sqlite3_randomness(0, 0 as never);
  }

  /**
   * The directory of a new process, and the disk of its machine under that name: nothing that a dead process left in the
   * VFSes has the same path. `apart` gives it VFSes of its own, which a COMMIT that waits for ever would block.
   */
  mount(
    machine: string,
    disk: MemorySyncFiles,
    apart: boolean,
  ): { readonly directory: string; readonly files: SyncFiles } {
    this.#disks.set(machine, disk);
    const current = (): MemorySyncFiles => this.#disks.get(machine)!;
    let files = apart ? renamed(current) : this.#files.get(machine);
    if (files === undefined) this.#files.set(machine, (files = renamed(current)));
    return { directory: `/${machine}/${++this.#processes}`, files };
  }

  /** Closes every database of a machine whose process is dead: SQLite frees what it holds, and reaches no file. */
  abandon(machine: string): void {
    for (const db of this.#opened) {
      if (db.isOpen() && !db.filename.startsWith(`/${machine}/`)) continue;
      this.#opened.delete(db);
      try {
        db.close();
      } catch {
        // It cannot roll back, which is what is wanted.
      }
    }
  }

  /** What `look` finds in a database of these bytes, opened in memory. */
  inspect<T>(bytes: Uint8Array, look: (db: Database) => T): T {
    const { capi, wasm, oo1 } = this.sqlite3;
    const db = new oo1.DB(":memory:");
    try {
      const copy = wasm.allocFromTypedArray(bytes);
      const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
      db.checkRc(capi.sqlite3_deserialize(db, "main", copy, bytes.length, bytes.length, flags));
      return look(db);
    } finally {
      db.close();
    }
  }
}

function renamed(disk: () => MemorySyncFiles): SyncFiles {
  const at = (path: string): string => path.replace(DIRECTORY, "$1");
  return {
    fullPath: (path) => path,
    open: (path, options) => disk().open(at(path), options),
    identity: (path) => disk().identity(at(path)),
    remove: (path) => disk().remove(at(path)),
    rename: (from, to) => disk().rename(at(from), at(to)),
    list: (directory) => disk().list(at(directory)),
    makeDirectory: (path) => disk().makeDirectory(at(path)),
    syncDirectory: (path) => disk().syncDirectory(at(path)),
    lock: (path) => disk().lock(at(path)),
  };
}

/** Seeds that one wasm instance serves: what crashed databases leave behind goes with it. */
const SEEDS_PER_INSTANCE = 100;
let current: { readonly sqlite: SimSqlite; seeds: number } | undefined;

/** An instance to run one seed in. */
export async function simSqlite(): Promise<SimSqlite> {
  if (current === undefined || current.seeds >= SEEDS_PER_INSTANCE) {
    current = { sqlite: new SimSqlite(await sqlite3InitModule()), seeds: 0 };
  }
  current.seeds++;
  return current.sqlite;
}
