/** @module What is known to go wrong in the VFS of Litestream 0.5.17, where no unit test holds it already. */
import { DatabaseSync } from "node:sqlite";
import { bytesHydrationTarget, hydrate } from "pagestream";
import { expect, test } from "vitest";
import { closeLater, rows, scene, sqlite3, value } from "./replicated.ts";

const TABLE = "CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
const COUNT = "SELECT count(*) FROM t";

test("a read transaction sees one state while the local copy is made and follows", async () => {
  const { read, write } = await scene(`${TABLE}; ${rows(100)}`);
  const database = await read();
  expect(await value(database, "PRAGMA litestream_hydration_progress")).toBe("0");
  const hydration = closeLater(await database.hydrate(bytesHydrationTarget()));
  await hydration.complete();
  expect(await value(database, "PRAGMA litestream_hydration_progress")).toBe("100");
  expect(await value(database, "PRAGMA litestream_hydration_file")).toBe("");
  await database.execute("BEGIN");
  expect(await value(database, COUNT)).toBe(100);
  for (let i = 0; i < 4; i++) {
    await write(rows(5));
    await database.refresh();
    expect(await value(database, COUNT)).toBe(100);
    expect(await value(database, "SELECT sum(length(b)) FROM t")).toBe(30_000);
  }
  await database.execute("COMMIT");
  expect(await value(database, COUNT)).toBe(120);
  await hydration.complete();
  expect(await value(database, "PRAGMA integrity_check")).toBe("ok");
});

test("what comes while the local copy is made is in it when it is complete", async () => {
  const { read, write, store } = await scene(`${TABLE}; ${rows(2000)}`);
  const database = await read();
  let written: Promise<unknown> | undefined;
  const hydration = closeLater(
    await hydrate(database.reader, bytesHydrationTarget(), {
      onProgress: () => (written ??= write(rows(20)).then(() => database.refresh())),
    }),
  );
  await hydration.complete();
  await written;
  expect(await hydration.complete()).toBe(database.reader.latest.txid);
  store.reset();
  expect(await value(database, COUNT)).toBe(2020);
  expect(await value(database, "SELECT sum(length(b)) FROM t")).toBe(2020 * 300);
  expect(store.requests).toEqual([]);
});

test("a database that shrinks a little keeps its other pages", async () => {
  const { read, write } = await scene(`PRAGMA auto_vacuum = FULL; ${TABLE}; ${rows(3000)}`);
  const database = await read();
  expect(await value(database, COUNT)).toBe(3000);
  for (const rest of [2500, 2000, 100, 1]) {
    await write(`DELETE FROM t WHERE a > ${rest}`);
    const { commit } = await database.refresh();
    expect(await value(database, "PRAGMA page_count")).toBe(commit);
    expect(await value(database, "SELECT sum(a) FROM t")).toBe((rest * (rest + 1)) / 2);
    expect(await value(database, "PRAGMA integrity_check")).toBe("ok");
  }
});

test("nothing is ever written to the replica, at the newest state or in the past", async () => {
  const { read, write, store } = await scene(`${TABLE}; ${rows(3)}`);
  await write(rows(4));
  const database = await read();
  const before = store.count("put");
  const first = (await database.reader.viewAt({ txid: 1n })).txid;
  for (const txid of [undefined, first]) {
    await database.setTime(txid === undefined ? undefined : { txid });
    for (const sql of [rows(1), "DELETE FROM t", "CREATE TABLE u(a)", "VACUUM"]) {
      await expect(database.execute(sql), sql).rejects.toMatchObject({ code: "QUERY" });
    }
  }
  await database.setTime(undefined);
  expect(await value(database, COUNT)).toBe(7);
  expect(await value(await read(), COUNT)).toBe(7);
  expect(store.count("put")).toBe(before);
});

test("a pragma that would change how the replica is used is answered at once, in a transaction too", async () => {
  const { read } = await scene(`${TABLE}; ${rows(3)}`);
  const database = await read();
  await database.execute("BEGIN");
  expect(await value(database, COUNT)).toBe(3);
  for (const pragma of ["litestream_write_enabled = 0", "litestream_write_enabled = 1"]) {
    await expect(database.execute(`PRAGMA ${pragma}`)).rejects.toMatchObject({
      code: expect.stringMatching(/^(QUERY|INVALID_ARGUMENT)$/) as string,
    });
  }
  await database.execute("COMMIT");
  expect(await value(database, COUNT)).toBe(3);
});

test("other databases of the process are opened as before", async () => {
  const { read } = await scene(`${TABLE}; ${rows(3)}`);
  const database = await read();
  const memory = new sqlite3.oo1.DB(":memory:");
  memory.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  expect(memory.selectValue(COUNT)).toBe(1);
  expect(() => memory.selectValue("SELECT litestream_txid()")).toThrow("no such function");
  memory.close();
  const native = new DatabaseSync(":memory:");
  native.exec("CREATE TABLE t(a)");
  native.close();
  expect(await value(database, COUNT)).toBe(3);
});

test("replicas that are open side by side know nothing of each other", async () => {
  const [one, two] = [await scene(`${TABLE}; ${rows(3)}`), await scene(`${TABLE}; ${rows(5)}`)];
  for (let i = 0; i < 3; i++) await one.write(rows(1));
  const [first, second] = [await one.read(), await two.read()];
  await Promise.all(
    [
      hydrate(first.reader, bytesHydrationTarget()),
      hydrate(second.reader, bytesHydrationTarget()),
    ].map(async (made) => {
      await closeLater(await made).complete();
    }),
  );
  expect(first.txid).toBeGreaterThan(second.txid);
  for (let i = 0; i < 3; i++) {
    await two.write(rows(2));
    await Promise.all([first.refresh(), second.refresh()]);
    expect(await Promise.all([value(first, COUNT), value(second, COUNT)])).toEqual([6, 7 + 2 * i]);
  }
});
