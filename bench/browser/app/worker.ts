/**
 * Times small transactions over the VFSes of a browser, with and without capture.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import type { CommittedTransaction } from "../../../src/core/commit-source.ts";
import { LtxEncoder, replicaHeader } from "../../../src/ltx/index.ts";
import { installCaptureVfs } from "../../../src/vfs/capture-vfs.ts";

/** Times of one VFS in one journal mode. */
export interface Timing {
  readonly parent: string;
  readonly mode: string;
  /** Median of a transaction in microseconds. */
  readonly plainUs: number;
  readonly capturedUs: number;
  /** Median over the rounds of how many times as long the captured transactions of one round took. */
  readonly ratio: number;
  /** Captured transactions, and their pages. */
  readonly commits: number;
  readonly pages: number;
}

/** Enough rounds for a median, each short enough that what else the machine does hits both alike. */
const ROUNDS = 15;
const WARM_UP = 2;
const TRANSACTIONS = 20;

const sqlite3 = await sqlite3InitModule();
await sqlite3.installOpfsSAHPoolVfs({ initialCapacity: 24, clearOnInit: true });
type Database = InstanceType<typeof sqlite3.oo1.DB>;

/** Encodes every commit as an L0 file, as a replication without grouping would. */
class Encoding {
  commits = 0;
  pages = 0;
  problem: string | undefined;
  /** TXID 1 would be a snapshot, which must hold every page. */
  #txid = 1n;

  commit({ pageSize, commit, previousCommit, pages }: CommittedTransaction): void {
    const txid = ++this.#txid;
    const timestamp = 1_700_000_000_000n;
    const header = replicaHeader({ pageSize, commit, minTxid: txid, maxTxid: txid, timestamp });
    const encoder = new LtxEncoder(header, () => {}, { previousCommit });
    const { pgnos } = pages;
    for (let i = 0; i < pgnos.length; i++) encoder.encodePage(pgnos[i]!, pages.read(i));
    encoder.finish();
    this.commits++;
    this.pages += pgnos.length;
  }

  needsFull(reason: string): void {
    this.problem = reason;
  }
}

function open(vfs: string, mode: string): Database {
  const db = new sqlite3.oo1.DB(`/${vfs}-${mode}.db`, "c", vfs);
  if (mode === "WAL") db.exec("PRAGMA locking_mode=EXCLUSIVE");
  db.exec("PRAGMA page_size=4096");
  db.exec(`PRAGMA journal_mode=${mode}; PRAGMA synchronous=${mode === "WAL" ? "NORMAL" : "FULL"}`);
  const found = db.selectValue("PRAGMA journal_mode") as string;
  if (found !== mode.toLowerCase()) throw new Error(`${vfs} stays in ${found}`);
  db.exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000)
    INSERT INTO t SELECT i, 'some text of row ' || i FROM c`);
  return db;
}

let changes = 0;

/** Autocommitted updates of one row, page 1 and one leaf; adds the microseconds of each. */
function run(db: Database, times: number[]): number {
  const statement = db.prepare("UPDATE t SET b = ? WHERE a = ?");
  const begun = times.length;
  for (let i = 0; i < TRANSACTIONS; i++) {
    // A new value each time: SQLite writes no page for a cell that keeps its bytes.
    statement.bind([`changed ${++changes}`, 1 + ((changes * 37) % 5000)]);
    const start = performance.now();
    statement.step();
    times.push((performance.now() - start) * 1000);
    statement.reset();
  }
  statement.finalize();
  return median(times.slice(begun));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function time(parent: string, mode: string): Timing {
  const capture = installCaptureVfs(sqlite3, { parent, name: `captured-${parent}-${mode}` });
  const plain = open(parent, mode);
  const captured = open(capture.name, mode);
  const encoding = new Encoding();
  const stop = capture.source(captured).listen(encoding);
  const [plainTimes, capturedTimes, ratios] = [[], [], []] as [number[], number[], number[]];
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    if (round === 0) plainTimes.length = capturedTimes.length = ratios.length = 0;
    const alone = run(plain, plainTimes);
    ratios.push(run(captured, capturedTimes) / alone);
  }
  stop();
  plain.close();
  captured.close();
  if (encoding.problem !== undefined) throw new Error(encoding.problem);
  return {
    parent,
    mode,
    plainUs: median(plainTimes),
    capturedUs: median(capturedTimes),
    ratio: median(ratios),
    commits: encoding.commits,
    pages: encoding.pages,
  };
}

const timings: Timing[] = [];
for (const parent of ["opfs-sahpool", "opfs"]) {
  for (const mode of ["DELETE", "TRUNCATE", "PERSIST", "WAL"]) timings.push(time(parent, mode));
}
self.postMessage(timings);
