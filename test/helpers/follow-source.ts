/**
 * A database whose every transaction becomes a file of a replica, for tests of followers.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { ObjectStore } from "pagestream";
import { openReplica } from "pagestream";
import { buildLtx } from "pagestream/testing";

/** A writer of a replica, one file per call. */
export interface FollowSource {
  /** TXID of the last file. */
  readonly txid: bigint;
  /** The database as it is. */
  readonly bytes: Uint8Array;
  /** Runs SQL and writes what changed as the next file of level 0; `upload: false` keeps it back. */
  commit(sql: string, options?: { readonly upload?: boolean }): Promise<bigint>;
  /** Writes a file of a level: from a TXID up to the last, with every page. */
  compact(level: number, minTxid: bigint): Promise<void>;
  /** Removes the files of level 0 up to a TXID. */
  removeL0(upTo: bigint): Promise<void>;
  close(): void;
}

/** Makes a source with an empty database that has not been written yet. */
export function followSource(store: ObjectStore): FollowSource {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-follow-source-"));
  const path = join(folder, "source.db");
  const db = new DatabaseSync(path);
  const replica = openReplica(store);
  let before: Uint8Array = new Uint8Array(0);
  let txid = 0n;

  const write = async (level: number, minTxid: bigint, all: boolean): Promise<void> => {
    const now = new Uint8Array(readFileSync(path));
    const pageSize = ((now[16] as number) << 8) | (now[17] as number);
    const pages: Record<number, Uint8Array> = {};
    for (let at = 0, pgno = 1; at < now.length; at += pageSize, pgno++) {
      const page = now.subarray(at, at + pageSize);
      const old = before.subarray(at, at + pageSize);
      const same = old.length === page.length && Buffer.from(old).equals(page);
      if (all || !same) pages[pgno] = page;
    }
    const commit = now.length / pageSize;
    const built = buildLtx({ minTxid, maxTxid: txid, pages, commit, pageSize });
    if (level >= 0) {
      const where = { level, minTxid, maxTxid: txid, timestamp: BigInt(built.timestamp) };
      await replica.write(where, built.bytes);
    }
  };
  return {
    get txid() {
      return txid;
    },
    get bytes() {
      return new Uint8Array(readFileSync(path));
    },
    async commit(sql, { upload = true } = {}) {
      const sizeBefore = db.prepare("PRAGMA page_size").get()?.["page_size"];
      db.exec(sql);
      const changed = sizeBefore !== db.prepare("PRAGMA page_size").get()?.["page_size"];
      txid++;
      await write(upload ? 0 : -1, txid, changed || txid === 1n);
      before = new Uint8Array(readFileSync(path));
      return txid;
    },
    compact: (level, minTxid) => write(level, minTxid, true),
    async removeL0(upTo) {
      const files = await replica.files(0);
      await replica.remove(files.filter((file) => file.maxTxid <= upTo));
    },
    close() {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
