import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { type ObjectStore, openReplicated, type ReplicatedDatabase } from "pagestream";
import { afterEach, expect, test } from "vitest";
import { rowsAt } from "../fence/rows.ts";
import {
  type Daemon,
  describeWithLitestream,
  litestreamRestore,
  removeTemporary,
  startDaemon,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { sqlite3 } from "./our-writer.ts";

afterEach(removeTemporary);

/** Half of it is how long a proof counts. */
const L0_RETENTION_MS = 100;
const SCHEMA = "CREATE TABLE row(id INTEGER PRIMARY KEY, who, n, body)";
const BODY = "replace(hex(zeroblob(1500)), '00', ?1 || ?2)";
const INSERT = `INSERT INTO row(who, n, body) VALUES (?1, ?2, ${BODY})`;

/** One replica, real Litestream, and us. */
class Beside {
  readonly replica: string;
  readonly store: ObjectStore;
  readonly path: string;
  readonly #db: DatabaseSync;
  #ours: ReplicatedDatabase<Sqlite3Static> | undefined;
  #count = 0;

  constructor() {
    const directory = temporaryDirectory();
    this.replica = join(directory, "replica");
    this.store = fileStore(this.replica);
    this.path = join(directory, "theirs.db");
    this.#db = new DatabaseSync(this.path);
    this.#db.exec(`PRAGMA journal_mode=wal; ${SCHEMA}`);
  }

  async open(): Promise<void> {
    const { store: replica } = this;
    const options = { path: "/ours.db", levels: [], groupMs: 0, l0RetentionMs: L0_RETENTION_MS };
    this.#ours = await openReplicated({ sqlite3, replica, ...options });
    this.#ours.db.exec(SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS"));
  }

  get ours(): ReplicatedDatabase<Sqlite3Static> {
    if (this.#ours === undefined) throw new Error("not open");
    return this.#ours;
  }

  /** A row of ours, uploaded. */
  async write(): Promise<bigint> {
    this.ours.db.exec({ sql: INSERT, bind: ["ours", ++this.#count] });
    await this.ours.replication.flush();
    return this.ours.replication.position.replicated;
  }

  /** A row of Litestream's, uploaded. */
  async writeTheirs(daemon: Daemon): Promise<bigint> {
    this.#db.prepare(INSERT).run("theirs", ++this.#count);
    return await daemon.sync(this.path);
  }

  get rows(): readonly string[] {
    return this.ours.db.selectValues("SELECT who || ':' || n FROM row ORDER BY id") as string[];
  }

  get theirRows(): readonly unknown[] {
    const rows = this.#db.prepare("SELECT who || ':' || n AS row FROM row ORDER BY id").all();
    return rows.map(({ row }) => row);
  }

  async close(): Promise<void> {
    this.#db.close();
    await this.#ours?.close().catch(() => undefined);
  }
}

describeWithLitestream("real Litestream as the second writer", () => {
  test("begins behind our files while we are idle: we end in a conflict, and every TXID is one writer's", async () => {
    const at = new Beside();
    await at.open();
    const states = new Map<bigint, readonly unknown[]>();
    for (let i = 0; i < 3; i++) states.set(await at.write(), at.rows);
    await using daemon = await startDaemon({ databases: { [at.path]: at.replica } });
    const events: string[] = [];
    void (async () => {
      for await (const { type } of at.ours.replication.events) events.push(type);
    })();
    for (let i = 0; i < 3; i++) states.set(await at.writeTheirs(daemon), at.theirRows);
    await expect(at.write()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(events).toContain("conflict");
    for (const [txid, rows] of states) expect(await rowsAt(at.store, txid)).toEqual(rows);
    expect(await rowsAt(at.store)).toEqual(at.theirRows);
    await daemon.stop();
    // With nobody else there we may go on.
    await at.ours.replication.takeOver();
    await at.ours.replication.flush();
    expect(await rowsAt(at.store)).toEqual(at.rows);
    expect((await litestreamRestore(at.replica, { integrityCheck: "full" })).code).toBe(0);
    await at.close();
  });

  test("writes over our files, since it does not look: we end in a conflict at the next listing", async () => {
    const at = new Beside();
    await using daemon = await startDaemon({ databases: { [at.path]: at.replica } });
    await at.writeTheirs(daemon);
    await at.open();
    for (let i = 0; i < 4; i++) await at.write();
    const second = "ltx/0/0000000000000002-0000000000000002.ltx";
    const before = await at.store.head(second);
    await at.writeTheirs(daemon);
    expect((await at.store.head(second)).etag).not.toBe(before.etag);
    const begun = performance.now();
    while (performance.now() - begun <= L0_RETENTION_MS) await at.store.head(second);
    await expect(at.write()).rejects.toMatchObject({ code: "CONFLICT" });
    await daemon.stop();
    await at.ours.replication.takeOver();
    await at.ours.replication.flush();
    expect(await rowsAt(at.store)).toEqual(at.rows);
    await at.close();
  });
});
