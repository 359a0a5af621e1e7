/**
 * A native database for tests of the WAL follower: connections to it, followers of it, and its bytes, read without letting go of
 * SQLite's locks.
 *
 * @module
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { nodeSqliteDriver } from "../../adapters/files/native-driver.ts";
import { nodeSqlite } from "../../adapters/files/native-sqlite.ts";
import { syncFilesOf } from "../../adapters/files/sync-files.ts";
import {
  openWalFollower,
  type WalFollower,
  type WalFollowerOptions,
} from "../../adapters/files/wal-follower.ts";
import { openWal } from "../../src/core/wal-reader.ts";
import { imageBytes, MirrorListener } from "../../src/testing/commit-mirror.ts";

/** One database in a folder of its own. */
export class FollowedDatabase {
  readonly folder: string;
  readonly path: string;
  /** Messages of the followers' warnings. */
  readonly warnings: string[] = [];
  readonly #undo: (() => void | Promise<void>)[] = [];
  readonly #descriptors = new Map<bigint, number>();

  constructor() {
    this.folder = fs.mkdtempSync(join(tmpdir(), "pagestream-follower-"));
    this.path = join(this.folder, "app.db");
  }

  /** A connection as an application has it; a busy timeout of none by default, as drivers have it. */
  connect(timeout = 0): DatabaseSync {
    const database = new DatabaseSync(this.path, { timeout });
    this.#undo.push(() => {
      if (database.isOpen) database.close();
    });
    return database;
  }

  /** A connection to the database, which is in WAL mode and has a table `t(id, body)`. */
  create(): DatabaseSync {
    const database = this.connect();
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    return database;
  }

  /** A follower that looks only when it is told to, unless `watch` is given. */
  async follow(options: Partial<WalFollowerOptions> = {}): Promise<WalFollower> {
    const follower = await openWalFollower(this.path, {
      driver: nodeSqliteDriver,
      files: syncFilesOf(nodeSqlite),
      watch: () => () => undefined,
      onWarning: ({ message }) => void this.warnings.push(message),
      ...options,
    });
    this.#undo.push(() => follower.close());
    return follower;
  }

  /** Keeps a copy of what a follower has, and applies its commits from now on. */
  async mirror(follower: WalFollower): Promise<MirrorListener> {
    const image = await follower.image();
    const mirror = new MirrorListener(image, await imageBytes(image));
    follower.listen(mirror);
    return mirror;
  }

  /** The database as its connections see it. */
  contents(database: DatabaseSync): Uint8Array<ArrayBuffer> {
    const ask = (sql: string): number =>
      Number(Object.values(database.prepare(sql).get() ?? {})[0]);
    const pageSize = ask("PRAGMA page_size");
    const bytes = new Uint8Array(ask("PRAGMA page_count") * pageSize);
    fs.readSync(this.#descriptor(), bytes, 0, bytes.length, 0);
    const log = fs.readFileSync(`${this.path}-wal`);
    const reader = openWal((offset, length) => log.subarray(offset, offset + length));
    for (const [pgno, offset] of reader?.readPages().frames ?? []) {
      if (pgno * pageSize > bytes.length) continue;
      bytes.set(log.subarray(offset + 24, offset + 24 + pageSize), (pgno - 1) * pageSize);
    }
    return bytes;
  }

  /** Closes everything, and removes the folder. */
  async end(): Promise<void> {
    for (const step of this.#undo.splice(0).toReversed()) await step();
    for (const fd of this.#descriptors.values()) fs.closeSync(fd);
    fs.rmSync(this.folder, { recursive: true });
  }

  /** Stays open: to close a descriptor drops SQLite's locks. */
  #descriptor(): number {
    const { ino } = fs.statSync(this.path, { bigint: true });
    const fd = this.#descriptors.get(ino) ?? fs.openSync(this.path, "r");
    this.#descriptors.set(ino, fd);
    return fd;
  }
}
