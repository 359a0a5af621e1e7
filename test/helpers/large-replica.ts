/**
 * A replica of one snapshot whose database is larger than a Worker's memory, made in about two seconds.
 *
 * @module
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type ObjectStore, openReplica } from "pagestream";
import { LtxEncoder, replicaHeader } from "pagestream/ltx";

/** A snapshot, and the database it is of. */
export interface LargeReplica {
  /** The file: about a tenth of the database. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the database. */
  readonly databaseSize: number;
  readonly rows: number;
}

const TIMESTAMP = 1_790_000_000_000n;

/** Bytes of a row: one page holds one. */
const BODY_LENGTH = 3_800;

/** What row `id` says at its beginning; the rest compresses well. */
export function titleOf(id: number): string {
  let title = "";
  for (let i = 0, word = id; i < 30; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    title += word.toString(36);
  }
  return title;
}

/** Makes the table `note(id INTEGER PRIMARY KEY, title, body)` with ids from 1; a row is a page of 4 KiB. */
export function largeReplica(rows: number): LargeReplica {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-large-"));
  const path = join(folder, "app.db");
  try {
    const db = new DatabaseSync(path);
    db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN");
    db.exec("CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT, body TEXT)");
    const insert = db.prepare("INSERT INTO note VALUES (?, ?, ?)");
    for (let id = 1; id <= rows; id++) {
      const title = titleOf(id);
      insert.run(id, title, "-".repeat(BODY_LENGTH - title.length));
    }
    db.exec("COMMIT");
    const { page_count: commit } = db.prepare("PRAGMA page_count").get() as { page_count: number };
    db.close();
    return { bytes: snapshotOf(path, commit), databaseSize: commit * 4096, rows };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes the snapshot into a store. */
export async function writeLarge(store: ObjectStore, { bytes }: LargeReplica): Promise<void> {
  const file = { level: 9, minTxid: 1n, maxTxid: 1n, timestamp: TIMESTAMP };
  await openReplica(store).write(file, bytes);
}

function snapshotOf(path: string, commit: number): Uint8Array<ArrayBuffer> {
  const header = replicaHeader({
    pageSize: 4096,
    commit,
    minTxid: 1n,
    maxTxid: 1n,
    timestamp: TIMESTAMP,
  });
  const chunks: Uint8Array[] = [];
  const encoder = new LtxEncoder(header, (chunk) => void chunks.push(chunk));
  const file = openSync(path, "r");
  const run = new Uint8Array(256 * 4096);
  for (let pgno = 1; pgno <= commit;) {
    const pages = readSync(file, run, 0, run.length, (pgno - 1) * 4096) / 4096;
    for (let i = 0; i < pages; i++) {
      encoder.encodePage(pgno++, run.subarray(i * 4096, (i + 1) * 4096));
    }
  }
  closeSync(file);
  encoder.finish();
  return new Uint8Array(Buffer.concat(chunks));
}
