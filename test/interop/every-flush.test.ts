/**
 * A random history written here: after every single flush the real Litestream restores the replica to the bytes of
 * the file, so that no file is ever written that it refuses, even for a moment.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileStore } from "@pagestream/node";
import { bytesSink, restore } from "pagestream";
import { type SeededRandom, seededRandom } from "pagestream/testing";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestreamRestore,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import {
  expectRestoredByLitestream,
  expectSame,
  openOurs,
  type OurWriter,
  sqlite3,
} from "./our-writer.ts";

// PAGESTREAM_SEED replays one seed; PAGESTREAM_NIGHTLY=1 takes more and longer ones.
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1";
const replay = process.env["PAGESTREAM_SEED"];
const FIRST_SEED = 20_261_122;
const seeds =
  replay === undefined
    ? Array.from({ length: nightly ? 12 : 4 }, (_, i) => FIRST_SEED + i)
    : [Number(replay)];
const FLUSHES = nightly ? 120 : 24;

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] as const;

afterEach(removeTemporary);

/** One database and its random work. */
class RandomHistory {
  readonly history: string[] = [];
  readonly #random: SeededRandom;
  #ours: OurWriter;

  constructor(ours: OurWriter, random: SeededRandom) {
    this.#random = random;
    this.#ours = ours;
    this.#prepare();
  }

  get ours(): OurWriter {
    return this.#ours;
  }

  /** A few statements, of which at least one commits. */
  work(): void {
    const random = this.#random;
    for (let i = random.int(4); i >= 0; i--) this.#run(this.#statement());
    if (!this.#autocommit()) this.#run(random.chance(0.8) ? "COMMIT" : "ROLLBACK");
    this.#run(`INSERT INTO t(b) VALUES (chance(${random.int(200)}))`);
  }

  async reopen(): Promise<void> {
    const { path, replica, copies } = this.#ours;
    await this.#ours.close();
    this.history.push("reopen");
    this.#ours = await openOurs({ path, replica });
    for (const [txid, copy] of copies) this.#ours.copies.set(txid, copy);
    this.#prepare();
  }

  #prepare(): void {
    // SQLite's own randomblob() cannot be seeded.
    const chance = (_context: number, length: unknown): Uint8Array =>
      this.#random.bytes(Number(length));
    this.#ours.db.createFunction("chance", chance as never);
    this.#run(`PRAGMA cache_size=${this.#random.pick([5, 2000])}`);
  }

  #statement(): string {
    const random = this.#random;
    const size = random.pick([20, 400, 5000]);
    const many = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${1 + random.int(30)})`;
    const roll = random.int(100);
    if (roll < 25) return `${many} INSERT INTO t(b) SELECT chance(${size}) FROM n`;
    if (roll < 35) return `UPDATE t SET b = chance(${size}) WHERE a % ${2 + random.int(5)} = 0`;
    if (roll < 45) return `DELETE FROM t WHERE a % ${2 + random.int(3)} = 0`;
    if (roll < 50) return `INSERT OR REPLACE INTO w VALUES (${random.int(30)}, chance(${size}))`;
    if (roll < 55) return `INSERT INTO f VALUES ('${random.pick(["alpha", "beta", "gamma"])}')`;
    if (roll < 62) return "VACUUM";
    if (roll < 66) return `PRAGMA page_size=${random.pick(PAGE_SIZES)}; VACUUM`;
    if (roll < 69) return `PRAGMA auto_vacuum=${random.int(3)}; VACUUM`;
    if (roll < 73) return "PRAGMA incremental_vacuum";
    if (roll < 79) return "BEGIN";
    if (roll < 82) return "SAVEPOINT s";
    if (roll < 85) return "ROLLBACK TO s";
    if (roll < 88) return "RELEASE s";
    if (roll < 91) return "ROLLBACK";
    if (roll < 94) return `CREATE TABLE IF NOT EXISTS x${random.int(3)}(a, b)`;
    if (roll < 97) return `DROP TABLE IF EXISTS x${random.int(3)}`;
    return "DELETE FROM t";
  }

  /** What SQLite refuses here (VACUUM in a transaction, no such savepoint) is part of the history. */
  #run(sql: string): void {
    try {
      this.#ours.db.exec(sql);
      this.history.push(sql);
    } catch (error) {
      const { message } = error as Error;
      this.history.push(`${sql} -> ${message}`);
      if (/malformed|disk|constraint/u.test(message)) throw error;
    }
  }

  #autocommit(): boolean {
    return sqlite3.capi.sqlite3_get_autocommit(this.#ours.db.pointer as never) !== 0;
  }
}

describeWithLitestream("every flush", () => {
  test.each(seeds)(
    "of a random history is restored by Litestream and by us, seed %i",
    { timeout: nightly ? 600_000 : 60_000 },
    async (seed) => {
      const random = seededRandom(seed);
      const directory = temporaryDirectory();
      const [path, replica] = [join(directory, "app.db"), join(directory, "replica")];
      const ours = await openOurs({ path, replica, pageSize: random.pick(PAGE_SIZES) });
      ours.db.exec(`PRAGMA auto_vacuum=${random.int(3)};
        CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX t_b ON t(b);
        CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID; CREATE VIRTUAL TABLE f USING fts5(x)`);
      const history = new RandomHistory(ours, random);
      try {
        for (let i = 0; i < FLUSHES; i++) {
          if (random.chance(0.08)) await history.reopen();
          history.work();
          await expectRestored(history.ours, await history.ours.flush());
        }
        await history.ours.close();
        const { copies } = history.ours;
        // Opening again may add a full file, which is no flush of ours.
        expect(copies.size).toBeGreaterThanOrEqual(FLUSHES);
        await expectRestoredByLitestream(replica, copies);
      } catch (error) {
        console.error(
          `seed ${seed}, the last statements:\n${history.history.slice(-30).join("\n")}`,
        );
        throw error;
      }
    },
  );
});

async function expectRestored(ours: OurWriter, txid: bigint): Promise<void> {
  const { replica, path } = ours;
  const file = readFileSync(path);
  const theirs = await litestreamRestore(replica, { integrityCheck: "quick" });
  expect(theirs.stderr, `txid ${txid}`).toBe("");
  expectSame(theirs.bytes, file, `txid ${txid} by Litestream`);
  const sink = bytesSink({ journalHeader: "keep" });
  expect((await restore(fileStore(replica), sink)).txid).toBe(txid);
  expectSame(sink.bytes, file, `txid ${txid} by us`);
}
