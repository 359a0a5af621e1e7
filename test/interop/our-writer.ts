/**
 * A database written here, replicated into a directory, with a copy of the file at every TXID.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileStore, syncFiles } from "@pagestream/node";
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import {
  type LevelsOptions,
  type ObjectStore,
  openReplicated,
  type ReplicatedDatabase,
  type SyncFiles,
} from "pagestream";
import { decodeLtx, type DecodedLtx } from "pagestream/ltx";
import { expect } from "vitest";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import { litestreamList, litestreamRestore } from "../helpers/litestream.ts";
import { QUIET_LEVELS } from "../helpers/quiet-levels.ts";

export const sqlite3: Sqlite3Static = await sqlite3InitModule();
// Its reports of refused statements are noise here: whoever runs one sees the error.
const { config } = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
config.warn = config.error = () => {};

export const files: SyncFiles = syncFiles();

/** What a database is written into. */
export interface OurWriterOptions {
  /** Path of the database file. */
  readonly path: string;
  /** Directory of the replica. */
  readonly replica: string;
  readonly pageSize?: number | undefined;
  readonly journalMode?: "truncate" | "wal" | undefined;
  readonly pointer?: boolean | undefined;
  /** The store, where it is more than the directory. */
  readonly store?: ObjectStore | undefined;
  /** Compaction, snapshots and retention. @default none, so that only what a test does is there */
  readonly keep?: LevelsOptions | undefined;
}

/** A database that is open here, and what its replica must give back. */
export class OurWriter {
  readonly path: string;
  readonly replica: string;
  /** The file at each TXID. */
  readonly copies: Map<bigint, Buffer>;
  readonly #opened: ReplicatedDatabase<Sqlite3Static>;

  constructor(opened: ReplicatedDatabase<Sqlite3Static>, options: OurWriterOptions) {
    this.#opened = opened;
    this.path = options.path;
    this.replica = options.replica;
    this.copies = new Map();
  }

  get db(): ReplicatedDatabase<Sqlite3Static>["db"] {
    return this.#opened.db;
  }

  get opened(): ReplicatedDatabase<Sqlite3Static> {
    return this.#opened;
  }

  /** Runs statements, uploads what they committed, and keeps a copy of the file at that TXID. */
  async commit(sql: string, bind?: readonly (Uint8Array | number | string)[]): Promise<bigint> {
    this.db.exec(bind === undefined ? { sql } : { sql, bind: bind as never });
    return await this.flush();
  }

  /** Uploads what is committed, and keeps a copy of the file at that TXID. */
  async flush(): Promise<bigint> {
    await this.#opened.replication.flush();
    const { local, replicated } = this.#opened.replication.position;
    expect(replicated).toBe(local);
    const wal = `${this.path}-wal`;
    const log = existsSync(wal) ? readFileSync(wal) : undefined;
    this.copies.set(replicated, Buffer.from(checkpointed(readFileSync(this.path), log)));
    return replicated;
  }

  async close(): Promise<void> {
    await this.#opened.close();
  }
}

/** Opens a database for writing; restores it first where it is missing and the replica has it. */
export async function openOurs(options: OurWriterOptions): Promise<OurWriter> {
  const { path, replica, pageSize, journalMode, pointer } = options;
  const opened = await openReplicated({
    sqlite3,
    files,
    path,
    ...(options.keep ?? QUIET_LEVELS),
    replica: options.store ?? fileStore(replica),
    pageSize,
    journalMode,
    pointer,
    groupMs: 0,
  });
  return new OurWriter(opened, options);
}

/** Checks that Litestream lists every file and restores every state of a replica to the same bytes. */
export async function expectRestoredByLitestream(
  replica: string,
  copies: ReadonlyMap<bigint, Buffer>,
): Promise<void> {
  const onDisk = replicaFiles(replica);
  const listed = await litestreamList(replica);
  expect(listed.map((f) => `${f.level}/${f.minTxid}-${f.maxTxid}`).sort()).toEqual(
    onDisk.map((f) => `${f.level}/${f.minTxid}-${f.maxTxid}`).sort(),
  );
  for (const [txid, copy] of copies) {
    const restored = await litestreamRestore(replica, { txid });
    expect(restored.stderr, `restore -txid ${txid}`).toBe("");
    expectSame(restored.bytes, copy, `txid ${txid}`);
  }
  const newest = [...copies.keys()].reduce((max, txid) => (txid > max ? txid : max));
  const latest = await litestreamRestore(replica, { integrityCheck: "full" });
  expect(latest.stderr).toBe("");
  expectSame(latest.bytes, copies.get(newest), "the newest state");
}

/** Compares databases without printing them: a difference is told by its page. */
export function expectSame(
  actual: Uint8Array | undefined,
  expected: Uint8Array | undefined,
  what: string,
): void {
  if (actual === undefined || expected === undefined)
    throw new Error(`${what}: nothing to compare`);
  const same = Buffer.compare(actual, expected) === 0;
  if (same) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  const sizes = `${actual.length} bytes instead of ${expected.length}`;
  throw new Error(`${what}: ${sizes}, first difference at byte ${at}`);
}

/** A file of a replica directory, by its name. */
export interface ReplicaFile {
  readonly path: string;
  readonly level: number;
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
}

/** The LTX files of a replica directory. */
export function replicaFiles(replica: string): ReplicaFile[] {
  const names = readdirSync(replica, { recursive: true }).map(String);
  return names.flatMap((name) => {
    const match = /^ltx\/(\d)\/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/u.exec(name);
    if (match === null) return [];
    const [minTxid, maxTxid] = [BigInt(`0x${match[2]}`), BigInt(`0x${match[3]}`)];
    return [{ path: join(replica, name), level: Number(match[1]), minTxid, maxTxid }];
  });
}

/** The L0 file of a TXID, decoded. */
export function readL0(replica: string, txid: bigint): DecodedLtx {
  const file = replicaFiles(replica).find((f) => f.level === 0 && f.maxTxid === txid);
  if (file === undefined) throw new Error(`there is no L0 file ${txid}`);
  return decodeLtx(readFileSync(file.path));
}

/** Whether a file holds every page of the database. */
export function isFull(ltx: DecodedLtx): boolean {
  return ltx.pages.length === ltx.header.commit;
}
