/**
 * The contract of a source of commits as a test suite.
 *
 * @module
 */
import type { CommittedTransaction, CommitSource } from "../core/commit-source.ts";
import { imageBytes, MirrorListener } from "./commit-mirror.ts";
import { difference, failure, type TestKit } from "./test-kit.ts";

/** A test runner and what to ask of the source. */
export interface CommitSourceTestOptions extends TestKit {
  /** Title of the suite. @default "commit source contract" */
  readonly name?: string | undefined;
  /** Whether `PRAGMA page_size` and VACUUM may change the page size, as in every mode but WAL. @default true */
  readonly pageSizeChange?: boolean | undefined;
}

/** One database and its source. */
export interface CommitSourceCase {
  /** The source under test, made after the database was opened. */
  readonly source: CommitSource;
  /** Runs SQL on the database; done when the source has delivered what it committed. */
  write(sql: string): void | Promise<void>;
  /** The database as of the last commit: the main file's bytes, with the content of a WAL applied. */
  file(): Uint8Array | Promise<Uint8Array>;
  /** Called at the end of the test. */
  close?(): void | Promise<void>;
}

/** Statements that move pages in every way: growth, splits, overflow, deletion, free pages, reuse, an index. */
const WORKLOAD: readonly string[] = [
  "CREATE TABLE t(id INTEGER PRIMARY KEY, body)",
  "INSERT INTO t(body) VALUES ('one')",
  rows(400, "printf('row %d', value)"),
  "CREATE INDEX i ON t(body)",
  "INSERT INTO t(body) VALUES (zeroblob(100000))",
  "BEGIN; DELETE FROM t WHERE id % 3 = 0; UPDATE t SET body = body || '!' WHERE id % 5 = 0; COMMIT",
  rows(50, "randomblob(900)"),
  "DELETE FROM t WHERE id > 300",
  "DROP INDEX i",
  "VACUUM",
  rows(200, "hex(randomblob(100))"),
];

/** An INSERT of `count` rows. */
function rows(count: number, expression: string): string {
  return `WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ${count})
    INSERT INTO t(body) SELECT ${expression} FROM n`;
}

/**
 * Registers the tests that every source must pass. `make` is called once per test and gives a database of its own,
 * which may be empty but holds no table `t`.
 *
 * @example
 * ```ts ignore
 * testCommitSource(() => {
 *   const db = new sqlite3.oo1.DB(`file:${++count}.db?vfs=${capture.name}`, "c");
 *   return {
 *     source: capture.source(db),
 *     write: (sql) => void db.exec(sql),
 *     file: () => memory.read(`${count}.db`) ?? new Uint8Array(0),
 *     close: () => db.close(),
 *   };
 * }, { describe, test, expect });
 * ```
 */
export function testCommitSource(
  make: () => CommitSourceCase | Promise<CommitSourceCase>,
  options: CommitSourceTestOptions,
): void {
  const { describe, test, expect } = options;
  const sourceTest = (
    name: string,
    body: (context: CommitSourceCase, mirror: MirrorListener) => Promise<void>,
  ): void => {
    test(name, async () => {
      const context = await make();
      try {
        const image = await context.source.image();
        await body(context, new MirrorListener(image, await imageBytes(image)));
      } finally {
        await context.close?.();
      }
    });
  };

  describe(options.name ?? "commit source contract", () => {
    sourceTest(
      "commits applied in turn to an image give the file, each time",
      async (context, mirror) => {
        const { source, write, file } = context;
        source.listen(mirror);
        for (const sql of WORKLOAD) {
          await write(sql);
          expect(`${sql}: ${difference(mirror.bytes, await file())}`).toBe(`${sql}: `);
          expect(`${sql}: ${mirror.problems.join()}`).toBe(`${sql}: `);
        }
        expect(mirror.fullRequests).toEqual([]);
      },
    );

    sourceTest(
      "every commit is delivered once, with a sequence that grows by one",
      async (context, mirror) => {
        const { source, write, file } = context;
        const start = source.sequence;
        source.listen(mirror);
        await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
        for (let i = 1; i <= 5; i++) {
          await write(`INSERT INTO t(body) VALUES (${i})`);
          expect(source.sequence).toBe(start + 1 + i);
          expect(source.pageSize * source.commit).toBe((await file()).length);
        }
        expect(mirror.sequences).toEqual([1, 2, 3, 4, 5, 6].map((n) => start + n));
        expect(source.name === "").toBe(false);
      },
    );

    sourceTest("what commits nothing delivers nothing", async ({ source, write, file }, mirror) => {
      await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
      await write(rows(300, "randomblob(500)"));
      const start = source.sequence;
      const deliveries: CommittedTransaction[] = [];
      source.listen({
        commit: (transaction) => void deliveries.push(transaction),
        needsFull: (reason) => mirror.needsFull(reason),
      });
      await write("SELECT count(*) FROM t");
      await write("BEGIN; SELECT * FROM t; COMMIT");
      await write("BEGIN; DELETE FROM t; INSERT INTO t(body) VALUES (zeroblob(90000)); ROLLBACK");
      await write("BEGIN; SAVEPOINT s; UPDATE t SET body = 1; ROLLBACK TO s; RELEASE s; COMMIT");
      // The last one may count as a commit, of pages that did not change.
      expect(deliveries.length <= 1).toBe(true);
      expect(source.sequence - start <= 1).toBe(true);
      const image = await source.image();
      expect(difference(await imageBytes(image), await file())).toBe("");
    });

    sourceTest(
      "what was rolled back never shows in a later commit",
      async ({ source, write, file }, mirror) => {
        source.listen(mirror);
        await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
        await write(rows(300, "randomblob(500)"));
        await write("BEGIN; UPDATE t SET body = zeroblob(600); ROLLBACK");
        await write("INSERT INTO t(body) VALUES ('after')");
        expect(difference(mirror.bytes, await file())).toBe("");
        await write(`BEGIN; INSERT INTO t(body) VALUES ('kept'); SAVEPOINT s;
        DELETE FROM t WHERE id < 200; ROLLBACK TO s; RELEASE s; COMMIT`);
        expect(difference(mirror.bytes, await file())).toBe("");
        expect(mirror.problems).toEqual([]);
      },
    );

    sourceTest(
      "read() gives the image of any page in any order, while the call runs",
      async (context) => {
        const { source, write, file } = context;
        await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
        const copies = new Map<number, Uint8Array>();
        let same = true;
        source.listen({
          commit({ pages }) {
            for (let i = pages.pgnos.length - 1; i >= 0; i--) {
              copies.set(pages.pgnos[i] as number, pages.read(i).slice());
            }
            for (const [i, pgno] of pages.pgnos.entries()) {
              same &&= difference(pages.read(i), copies.get(pgno) as Uint8Array) === "";
            }
          },
          needsFull: () => undefined,
        });
        await write(rows(500, "randomblob(300)"));
        expect(same).toBe(true);
        expect(copies.size > 20).toBe(true);
        const bytes = await file();
        const { pageSize } = source;
        for (const [pgno, data] of copies) {
          const expected = bytes.subarray((pgno - 1) * pageSize, pgno * pageSize);
          expect(`${pgno} ${difference(data, expected)}`).toBe(`${pgno} `);
        }
      },
    );

    sourceTest("listen() takes one listener at a time", async ({ source, write }, mirror) => {
      const stop = source.listen(mirror);
      expect((await failure(() => source.listen(mirror))) === "no error").toBe(false);
      await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
      const { length } = mirror.sequences;
      stop();
      stop();
      await write("INSERT INTO t(body) VALUES (1)");
      expect(mirror.sequences.length).toBe(length);
      let delivered = 0;
      const second = source.listen({
        commit: () => void delivered++,
        needsFull: (reason) => mirror.needsFull(reason),
      });
      // The first one's end must not end the second.
      stop();
      await write("INSERT INTO t(body) VALUES (2)");
      expect(mirror.sequences.length).toBe(length);
      expect(delivered).toBe(1);
      second();
    });

    sourceTest(
      "a listener that throws fails no COMMIT, and is asked for a full file",
      async (context) => {
        const { source, write } = context;
        const reasons: string[] = [];
        await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
        source.listen({
          commit: () => {
            throw new Error("the listener failed");
          },
          needsFull: (reason) => void reasons.push(reason),
        });
        const before = source.sequence;
        expect(await failure(() => write("INSERT INTO t(body) VALUES (1)"))).toBe("no error");
        expect(source.sequence).toBe(before + 1);
        expect(reasons.length).toBe(1);
        expect(reasons[0] === "").toBe(false);
      },
    );

    imageCases(options, sourceTest);
    if (options.pageSizeChange !== false) {
      sourceTest(
        "a change of the page size delivers every page",
        async ({ source, write, file }, mirror) => {
          const full: boolean[] = [];
          source.listen({
            commit(transaction) {
              full.push(transaction.full);
              mirror.commit(transaction);
            },
            needsFull: (reason) => mirror.needsFull(reason),
          });
          await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
          await write(rows(300, "randomblob(500)"));
          const size = source.pageSize === 1024 ? 2048 : 1024;
          await write(`PRAGMA page_size = ${size}`);
          await write("VACUUM");
          expect(source.pageSize).toBe(size);
          expect(full.at(-1)).toBe(true);
          expect(difference(mirror.bytes, await file())).toBe("");
          expect(mirror.problems).toEqual([]);
          await write("INSERT INTO t(body) VALUES (1)");
          expect(full.at(-1)).toBe(false);
          expect(difference(mirror.bytes, await file())).toBe("");
        },
      );
    }
  });
}

function imageCases(
  { expect }: TestKit,
  sourceTest: (name: string, body: (context: CommitSourceCase) => Promise<void>) => void,
): void {
  sourceTest("image() gives all pages as of its commit, while commits go on", async (context) => {
    const { source, write, file } = context;
    await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    await write(rows(4000, "randomblob(900)"));
    const states = new Map([[source.sequence, (await file()).slice()]]);
    const image = await source.image();
    const changes = [
      "UPDATE t SET body = randomblob(900) WHERE id % 7 = 0",
      "INSERT INTO t(body) VALUES (zeroblob(2000000))",
      "DELETE FROM t WHERE id > 1000",
      "VACUUM",
    ];
    const run: string[] = [];
    const bytes = await imageBytes(image, async () => {
      const sql = changes.shift();
      if (sql === undefined) return;
      run.push(sql);
      await write(sql);
      states.set(source.sequence, (await file()).slice());
    });
    expect(run.length > 1).toBe(true);
    const expected = states.get(image.sequence);
    expect(expected === undefined).toBe(false);
    expect(image.commit * image.pageSize).toBe(expected?.length);
    expect(difference(bytes, expected as Uint8Array)).toBe("");
  });

  sourceTest(
    "image() comes in ordered runs of at least 1 MiB but for the last",
    async (context) => {
      const { source, write } = context;
      await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
      await write(rows(4000, "randomblob(900)"));
      const { runs, pageSize, commit } = await source.image();
      const sizes: number[] = [];
      const pgnos: number[] = [];
      for await (const run of runs) {
        sizes.push(run.length * pageSize);
        for (const page of run) {
          pgnos.push(page.pgno);
          expect(page.data.length).toBe(pageSize);
        }
      }
      expect(pgnos).toEqual(Array.from({ length: commit }, (_, i) => i + 1));
      expect(sizes.slice(0, -1).filter((size) => size < 1 << 20)).toEqual([]);
    },
  );

  sourceTest("image() gives the pages asked for and skips those past the size", async (context) => {
    const { source, write, file } = context;
    await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    await write(rows(200, "randomblob(900)"));
    const { commit } = source;
    const pages = new Uint32Array([1, 3, 4, commit, commit + 1, commit + 1000]);
    const { runs, pageSize, sequence } = await source.image({ pages });
    expect(sequence).toBe(source.sequence);
    const bytes = await file();
    const pgnos: number[] = [];
    for await (const run of runs) {
      for (const { pgno, data } of run) {
        pgnos.push(pgno);
        const expected = bytes.subarray((pgno - 1) * pageSize, pgno * pageSize);
        expect(`${pgno} ${difference(data, expected)}`).toBe(`${pgno} `);
      }
    }
    expect(pgnos).toEqual([1, 3, 4, commit]);
  });

  sourceTest("image() can be left early, and another one begun", async (context) => {
    const { source, write, file } = context;
    await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    await write(rows(4000, "randomblob(900)"));
    for await (const run of (await source.image()).runs) {
      expect(run.length > 0).toBe(true);
      break;
    }
    await write("UPDATE t SET body = randomblob(900)");
    expect(difference(await imageBytes(await source.image()), await file())).toBe("");
  });

  sourceTest("image() fails with ABORTED when its signal is aborted already", async (context) => {
    const { source, write } = context;
    await write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    const signal = AbortSignal.abort();
    const read = async (): Promise<unknown> => imageBytes(await source.image({ signal }));
    expect(await failure(read)).toBe("ABORTED");
  });
}
