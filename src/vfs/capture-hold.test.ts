import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { describe, expect, test } from "vitest";
import type {
  CommitListener,
  CommitSource,
  CommittedTransaction,
  PrepareMode,
} from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import { checkpointed } from "../testing/checkpointed.ts";
import { installCaptureVfs } from "./capture-vfs.ts";
import { installMemoryVfs } from "./memory-vfs.ts";

const sqlite3 = await sqlite3InitModule();
const { oo1 } = sqlite3;
const quiet = sqlite3 as unknown as { config: { warn: () => void; error: () => void } };
quiet.config.warn = () => {};
quiet.config.error = () => {};
type Database = InstanceType<typeof oo1.DB>;

const memory = installMemoryVfs(sqlite3);
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });

let paths = 0;

function logical(path: string): Uint8Array {
  return checkpointed(memory.read(path) ?? new Uint8Array(0), memory.read(`${path}-wal`));
}

function apply(bytes: Uint8Array, transaction: CommittedTransaction): Uint8Array {
  const { pageSize, commit, full, pages } = transaction;
  const next = new Uint8Array(pageSize * commit);
  if (!full) next.set(bytes.subarray(0, next.length));
  for (const [i, pgno] of pages.pgnos.entries()) next.set(pages.read(i), (pgno - 1) * pageSize);
  return next;
}

/** Keeps a copy of what was prepared and one of what was committed; `answer` is what prepare answers. */
class Holder implements CommitListener {
  bytes: Uint8Array = new Uint8Array(0);
  prepared: Uint8Array | undefined;
  answer: () => void | Promise<void> = () => {};
  readonly log: string[] = [];
  /** Sequence of the source when listening began. */
  base = 0;

  prepare(transaction: CommittedTransaction): void | Promise<void> {
    this.log.push(`prepare ${transaction.sequence - this.base}`);
    this.prepared = apply(this.bytes, transaction);
    for (const pgno of transaction.pages.pgnos) transaction.pages.page(pgno);
    return this.answer();
  }

  commit(transaction: CommittedTransaction): void {
    this.log.push(`commit ${transaction.sequence - this.base}`);
    this.bytes = apply(this.bytes, transaction);
    if (this.prepared !== undefined && Buffer.compare(this.bytes, this.prepared) !== 0) {
      this.log.push("the commit is not what was prepared");
    }
    this.prepared = undefined;
  }

  rolledBack(): void {
    this.log.push("rolled back");
    this.prepared = undefined;
  }

  needsFull(reason: string): void {
    this.log.push(reason);
  }
}

interface Held {
  readonly db: Database;
  readonly path: string;
  readonly holder: Holder;
  readonly source: CommitSource;
}

function held(prepare: PrepareMode, setup: string): Held {
  const path = `hold-${++paths}.db`;
  const db = new oo1.DB(`file:${path}?vfs=${vfs.name}`, "c");
  db.exec(`pragma page_size=1024; ${setup}; create table t(a integer primary key, b)`);
  const source = vfs.source(db);
  const holder = new Holder();
  holder.bytes = logical(path);
  holder.base = source.sequence;
  source.listen(holder, { prepare });
  return { db, path, holder, source };
}

const fill = (rows: number, size: number): string =>
  `with recursive c(i) as (select 1 union all select i+1 from c where i<${rows})
   insert into t(b) select randomblob(${size}) from c`;

const ROLLBACK_JOURNALS = ["delete", "truncate", "persist", "memory"];
const WAL = ["wal", "wal; pragma locking_mode=exclusive"];
/** Modes and the journals they take. */
const COMBINATIONS: readonly (readonly [PrepareMode, string])[] = [
  ...[...ROLLBACK_JOURNALS, ...WAL].map((journal) => ["sync", journal] as const),
  ...["delete", "truncate", "memory"].map((journal) => ["retry", journal] as const),
  ...[...ROLLBACK_JOURNALS, ...WAL].map((journal) => ["suspend", journal] as const),
];

const later = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await Promise.resolve();
};

for (const [mode, journal] of COMBINATIONS) {
  describe(`prepare: ${mode}, journal_mode=${journal}`, () => {
    const start = (): Held => held(mode, `pragma journal_mode=${journal}; pragma cache_size=5`);
    const write = (db: Database, sql: string): Promise<unknown> =>
      vfs.transaction(db, () => db.exec(sql));

    test("a transaction is prepared before it commits, and commits as prepared", async () => {
      const { db, path, holder } = start();
      if (mode !== "sync") holder.answer = later;
      await write(db, fill(40, 900));
      await write(db, "update t set b=randomblob(900) where a%2=0; delete from t where a>30");
      await write(db, "savepoint s; update t set b=1; rollback to s; update t set b=2 where a=1");
      await write(db, fill(3, 9000));
      expect(holder.log).toEqual([1, 2, 3, 4].flatMap((n) => [`prepare ${n}`, `commit ${n}`]));
      expect(Buffer.compare(holder.bytes, logical(path))).toBe(0);
      expect(db.selectValue("pragma integrity_check")).toBe("ok");
      db.close();
    });

    test("what prepare refuses is rolled back, and the next transaction goes through", async () => {
      const { db, path, holder } = start();
      await write(db, fill(30, 900));
      const before = logical(path);
      const refusal = new Error("no");
      holder.answer = () => {
        if (mode === "sync") throw refusal;
        return later().then(() => Promise.reject(refusal));
      };
      const failed = await write(db, "update t set b=randomblob(901)").catch((e: unknown) => e);
      expect(failed).toBeInstanceOf(Error);
      expect(db.selectValue("select count(*) from t where length(b)=901")).toBe(0);
      expect(holder.bytes).toEqual(before);
      holder.answer = mode === "sync" ? () => {} : later;
      await write(db, "update t set b=7 where a=3");
      expect(db.selectValue("select b from t where a=3")).toBe(7);
      expect(Buffer.compare(holder.bytes, logical(path))).toBe(0);
      expect(holder.log.filter((line) => line.startsWith("the commit"))).toEqual([]);
      expect(db.selectValue("pragma integrity_check")).toBe("ok");
      db.close();
    });

    test("a ROLLBACK of a spilled transaction is not taken for a commit", async () => {
      const { db, path, holder } = start();
      await write(db, fill(30, 900));
      holder.log.length = 0;
      db.exec("begin; update t set b=randomblob(902); rollback");
      expect(holder.log).toEqual([]);
      await write(db, "update t set b=7 where a=3");
      expect(Buffer.compare(holder.bytes, logical(path))).toBe(0);
      db.close();
    });

    if (mode === "sync") {
      test("autocommit and bare COMMIT are prepared too", () => {
        const { db, path, holder } = start();
        db.exec("insert into t(b) values(1); begin; insert into t(b) values(2); commit");
        expect(holder.log).toEqual(["prepare 1", "commit 1", "prepare 2", "commit 2"]);
        expect(Buffer.compare(holder.bytes, logical(path))).toBe(0);
        db.close();
      });
    } else {
      test("a COMMIT that did not come through transaction() is refused and nothing is prepared", () => {
        const { db, holder } = start();
        expect(() => db.exec("insert into t(b) values(1)")).toThrow();
        expect((vfs.lastError as Error).message).toMatch(/through transaction\(\)/u);
        expect(holder.log).toEqual([]);
        expect(db.selectValue("select count(*) from t")).toBe(0);
        db.close();
      });

      test("while a COMMIT waits, nothing is committed and committing() says so", async () => {
        const { db, path, holder } = start();
        let release = (): void => {};
        holder.answer = () =>
          new Promise((resolve) => {
            release = resolve;
          });
        const before = logical(path).length;
        const done = write(db, fill(20, 900));
        await later();
        expect(vfs.committing(db)).toBe(true);
        expect(holder.log).toEqual(["prepare 1"]);
        release();
        await done;
        expect(vfs.committing(db)).toBe(false);
        expect(holder.log).toEqual(["prepare 1", "commit 1"]);
        expect(logical(path).length).toBeGreaterThan(before);
        db.close();
      });
    }
  });
}

describe("transaction()", () => {
  test("rolls back and passes on what the work throws, refuses promises, and runs one at a time", async () => {
    const { db, holder } = held("retry", "pragma journal_mode=truncate");
    await expect(
      vfs.transaction(db, () => {
        db.exec("insert into t(b) values(1)");
        throw new RangeError("mine");
      }),
    ).rejects.toThrow(RangeError);
    await expect(vfs.transaction(db, async () => {})).rejects.toThrow(/returned a promise/u);
    holder.answer = later;
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3].map((n) =>
        vfs.transaction(db, () => {
          order.push(n);
          db.exec(`insert into t(a) values(${n})`);
          return n;
        }),
      ),
    );
    expect(order).toEqual([1, 2, 3]);
    expect(db.selectValue("select count(*) from t")).toBe(3);
    db.close();
  });

  for (const journal of ["delete", "truncate", "memory"])
    test(`other SQL while a COMMIT is to be repeated cannot corrupt the database, journal_mode=${journal}`, async () => {
      const { db, path, holder } = held(
        "retry",
        `pragma journal_mode=${journal}; pragma cache_size=3`,
      );
      await vfs.transaction(db, () => db.exec(fill(30, 900)));
      const before = logical(path);
      let release = (): void => {};
      holder.answer = () => new Promise((resolve) => (release = resolve));
      const done = vfs.transaction(db, () => db.exec("update t set b=1 where a=1"));
      await later();
      try {
        db.exec("update t set b=randomblob(900)");
      } catch {
        // Refused where it would touch the journal; what only changes pages in memory is found at the COMMIT.
      }
      release();
      await expect(done).rejects.toThrow();
      expect(Buffer.compare(logical(path), before)).toBe(0);
      expect(db.selectValue("pragma integrity_check")).toBe("ok");
      db.close();
    });
});

describe("unsafe set-ups", () => {
  test("are refused when listening begins", () => {
    const refused: readonly (readonly [PrepareMode, string])[] = [
      ["retry", "pragma journal_mode=wal"],
      ["retry", "pragma journal_mode=persist"],
      ["retry", "pragma locking_mode=exclusive"],
      ["sync", "pragma locking_mode=exclusive"],
      ["suspend", "pragma locking_mode=exclusive"],
    ];
    for (const [mode, setup] of refused) {
      let error: unknown;
      try {
        held(mode, setup);
      } catch (thrown) {
        error = thrown;
      }
      expect(isPagestreamError(error, "UNSUPPORTED"), `${mode}, ${setup}`).toBe(true);
    }
  });

  test("are refused in the PRAGMA that would make them", () => {
    const { db } = held("retry", "pragma journal_mode=truncate");
    for (const unsafe of ["journal_mode=wal", "journal_mode=persist", "locking_mode=exclusive"]) {
      expect(() => db.exec(`pragma ${unsafe}`)).toThrow(/Cannot set/u);
    }
    db.exec("pragma journal_mode=memory");
    db.close();
    const exclusive = held("sync", "pragma journal_mode=wal; pragma locking_mode=exclusive").db;
    expect(() => exclusive.exec("pragma journal_mode=delete")).toThrow(/EXCLUSIVE/u);
    exclusive.close();
  });

  test("a change of the journal mode alone is not held", () => {
    const { db, holder } = held("suspend", "pragma journal_mode=delete");
    db.exec("pragma journal_mode=wal");
    db.exec("pragma journal_mode=truncate");
    expect(holder.log).toEqual(["commit 1", "commit 2"]);
    db.close();
  });
});
