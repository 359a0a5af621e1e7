/**
 * One replica in a store, written and read by turns here and by the real Litestream.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileSink } from "@pagestream/node";
import { type ObjectStore, openReplicated, restore } from "pagestream";
import { decodeLtx } from "pagestream/ltx";
import { formatTimestamp, TIMESTAMP_METADATA } from "pagestream/transports/store-kit";
import { afterEach, expect, test } from "vitest";
import { collect, readBody } from "../../src/testing/test-kit.ts";
import {
  type CommandResult,
  describeWithLitestream,
  litestreamIn,
  litestreamVfs,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { expectSame, files, sqlite3 } from "../interop/our-writer.ts";

/** A store that Litestream knows, too. */
export interface InteropSubject {
  /** Title of the suite. */
  readonly name: string;
  /** A store below a path; the place is there. */
  readonly store: (path: string) => ObjectStore | Promise<ObjectStore>;
  /** What Litestream calls the same place. */
  readonly url: (path: string) => string;
  /** Variables that Litestream needs: keys. */
  readonly variables?: NodeJS.ProcessEnv | undefined;
  /** Whether the server keeps the time of a file as metadata. @default true */
  readonly keepsTime?: boolean | undefined;
}

const SCHEMA = "CREATE TABLE t(a INTEGER PRIMARY KEY, who TEXT, b)";

/** Rows that need pages of their own. */
function rows(who: string, count = 30): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO t(who, b) SELECT '${who}', randomblob(700) FROM n`;
}

/** Registers the tests. */
export function testInterop(subject: InteropSubject): void {
  const { name, variables = {}, keepsTime = true } = subject;
  const run = `interop-${Date.now().toString(36)}`;

  const litestream = async (...args: readonly string[]): Promise<CommandResult> => {
    const result = await litestreamIn(variables, ...args);
    if (result.code !== 0) throw new Error(`litestream ${args.join(" ")}: ${result.stderr}`);
    return result;
  };
  const restoredByLitestream = async (
    url: string,
    ...flags: readonly string[]
  ): Promise<Buffer> => {
    const output = join(temporaryDirectory(), "out.db");
    await litestream("restore", ...flags, "-o", output, url);
    return readFileSync(output);
  };
  const restoredHere = async (store: ObjectStore): Promise<Uint8Array> => {
    const path = join(temporaryDirectory(), "out.db");
    await restore(store, fileSink(path));
    return readFileSync(path);
  };
  /** Writes here, on top of what the replica holds, and returns the file. */
  const writeHere = async (
    store: ObjectStore,
    ...commits: readonly string[]
  ): Promise<Buffer[]> => {
    const path = join(temporaryDirectory(), "app.db");
    const app = await openReplicated({ sqlite3, files, path, replica: store, groupMs: 0 });
    const copies: Buffer[] = [];
    for (const sql of commits) {
      app.db.exec(sql);
      await app.replication.flush();
      copies.push(readFileSync(path));
    }
    await app.close();
    return copies;
  };
  const writeThere = async (path: string, url: string, sql: string): Promise<void> => {
    const db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0");
    db.exec(sql);
    await litestream("replicate", "-once", path, url);
    db.close();
  };
  const count = (bytes: Uint8Array, who: string): unknown => {
    const path = join(temporaryDirectory(), "count.db");
    writeFileSync(path, bytes);
    const db = new DatabaseSync(path);
    expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    const row = db.prepare("SELECT count(*) AS n FROM t WHERE who = ?").get(who);
    db.close();
    return row?.["n"];
  };

  describeWithLitestream(`${name} and Litestream`, () => {
    afterEach(removeTemporary);

    test("what is written here is listed and restored there, byte for byte", async () => {
      const path = `${run}/ours`;
      const [store, url] = [await subject.store(path), subject.url(path)];
      const copies = await writeHere(store, SCHEMA, rows("us"), "DELETE FROM t WHERE a < 9");
      expectSame(await restoredByLitestream(url), copies[2], "the newest state");
      for (const txid of [1, 2, 3]) {
        const flag = txid.toString(16).padStart(16, "0");
        expectSame(await restoredByLitestream(url, "-txid", flag), copies[txid - 1], flag);
      }
      const listed = await litestream("ltx", "-level", "all", "-json", url);
      const names = (JSON.parse(listed.stdout) as Record<string, unknown>[]).map(
        ({ level, min_txid, max_txid, size }) => `${level} ${min_txid}-${max_txid} ${size}`,
      );
      const ours = (await ltxFiles(store)).map(
        ({ key, size, level }) => `${level} ${key.slice(key.lastIndexOf("/") + 1, -4)} ${size}`,
      );
      expect(names.sort()).toEqual(ours.sort());
    });

    test("a snapshot that is written here is enough there", async () => {
      const path = `${run}/snapshot`;
      const [store, url] = [await subject.store(path), subject.url(path)];
      const database = join(temporaryDirectory(), "app.db");
      const db = new DatabaseSync(database);
      db.exec(`${SCHEMA}; ${rows("us", 400)}`);
      db.close();
      const replica = store;
      const app = await openReplicated({ sqlite3, files, path: database, replica, groupMs: 0 });
      await app.replication.snapshot();
      await app.close();
      const levels = (await ltxFiles(store)).map(({ level }) => level);
      expect(levels).toEqual([0, 9]);
      const level0 = (await ltxFiles(store)).filter(({ level }) => level === 0);
      await store.delete(level0.map(({ key }) => key));
      expectSame(await restoredByLitestream(url), readFileSync(database), "the snapshot");
    });

    test("what is written there is restored here, byte for byte, with the same names and times", async () => {
      const path = `${run}/theirs`;
      const [store, url] = [await subject.store(path), subject.url(path)];
      const database = join(temporaryDirectory(), "app.db");
      await writeThere(database, url, `${SCHEMA}; ${rows("they", 300)}`);
      await writeThere(database, url, rows("they"));
      const bytes = await restoredHere(store);
      expectSame(bytes, await restoredByLitestream(url), "the newest state");
      expect(count(bytes, "they")).toBe(330);
      // Ours, copied file by file, is theirs: the same keys, bytes and metadata.
      const copy = await subject.store(`${path}-copy`);
      for (const { key } of await ltxFiles(store)) {
        const { body, metadata } = await store.get(key);
        const content = await readBody(body);
        const time = formatTimestamp(Number(decodeLtx(content).header.timestamp));
        if (keepsTime) expect(metadata[TIMESTAMP_METADATA]).toBe(time);
        await copy.put(key, content, { metadata: { [TIMESTAMP_METADATA]: time } });
        expect((await copy.head(key)).metadata).toEqual((await store.head(key)).metadata);
      }
      expectSame(await restoredByLitestream(subject.url(`${path}-copy`)), bytes, "the copy");
    });

    test("a replica goes from one to the other and back", async () => {
      const path = `${run}/turns`;
      const [store, url] = [await subject.store(path), subject.url(path)];
      await writeHere(store, SCHEMA, rows("us"));
      const database = join(temporaryDirectory(), "app.db");
      await litestream("restore", "-o", database, url);
      await writeThere(database, url, rows("they"));
      const [last] = await writeHere(store, rows("us"));
      expect([count(last!, "us"), count(last!, "they")]).toEqual([60, 30]);
      expectSame(await restoredByLitestream(url), last, "the last turn");
    });

    test("Litestream's library for SQLite reads what is written here, and writes what is read here", async () => {
      const path = `${run}/library`;
      const [store, url] = [await subject.store(path), subject.url(path)];
      await writeHere(store, SCHEMA, rows("us"));
      const read = await litestreamVfs(url, "SELECT who, count(*), sum(length(b)) FROM t;", {
        variables,
      });
      expect([read.stdout.trim(), read.code]).toEqual(["us|30|21000", 0]);
      const written = await litestreamVfs(url, `${rows("they", 3)};`, { variables, write: true });
      expect(written.code).toBe(0);
      const bytes = await restoredHere(store);
      expect([count(bytes, "us"), count(bytes, "they")]).toEqual([30, 3]);
      expectSame(bytes, await restoredByLitestream(url), "what the library wrote");
    });
  });
}

interface LtxObject {
  readonly key: string;
  readonly size: number;
  readonly level: number;
}

/** The LTX files of a replica, by key; a key of another form is an error. */
async function ltxFiles(store: ObjectStore): Promise<LtxObject[]> {
  const folder = store.layout === "hex" ? /^(\d{4})$/ : /^ltx\/(\d)$/;
  const listed = await collect(store.list());
  return listed.flatMap(({ key, size }) => {
    const match = /^(.*)\/[0-9a-f]{16}-[0-9a-f]{16}\.ltx$/.exec(key);
    const level = folder.exec(match?.[1] ?? "")?.[1];
    if (level === undefined && key.includes("/")) throw new Error(`unexpected key ${key}`);
    return level === undefined ? [] : [{ key, size, level: Number(level) }];
  });
}
