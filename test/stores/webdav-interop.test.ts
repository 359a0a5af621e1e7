import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { bytesSink, type ObjectStore, openReplicated, restore } from "pagestream";
import { collect } from "pagestream/testing";
import { httpStore } from "pagestream/transports/http";
import { webdavStore } from "pagestream/transports/webdav";
import { afterAll, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestream,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { expectSame, files, sqlite3 } from "../interop/our-writer.ts";
import { describeWithServer, part } from "./kit.ts";

afterAll(removeTemporary);

/** Lets Litestream replicate a small database once; it is in WAL mode, as Litestream makes it. */
async function litestreamWrites(url: string, rows: number): Promise<void> {
  const path = join(temporaryDirectory(), "app.db");
  const db = new DatabaseSync(path);
  db.exec("PRAGMA journal_mode=WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
  db.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
     INSERT INTO note SELECT i, hex(randomblob(300)) FROM n`,
  );
  const result = await litestream("replicate", "-once", path, url);
  expect(result.code, result.stderr).toBe(0);
  db.close();
}

/** What Litestream restores. */
async function litestreamReads(url: string): Promise<Buffer> {
  const path = join(temporaryDirectory(), "restored.db");
  const result = await litestream("restore", "-integrity-check", "full", "-o", path, url);
  expect(result.code, result.stderr).toBe(0);
  return readFileSync(path);
}

async function weRead(store: ObjectStore): Promise<Uint8Array> {
  const sink = bytesSink({ journalHeader: "keep" });
  await restore(store, sink);
  return sink.bytes;
}

for (const name of ["apache", "nginx", "rclone-webdav"]) {
  describeWithServer(name, (address) => {
    describeWithLitestream("Litestream", () => {
      test("webdavStore() takes a replica over from Litestream, and hands it back", async () => {
        const endpoint = part(address, "endpoint");
        const url = `${endpoint.replace("http://", "webdav://app:s3cret@")}/interop/db`;
        const [username, password] = [part(address, "username"), part(address, "password")];
        const store = webdavStore({ url: endpoint, path: "/interop/db", username, password });
        await litestreamWrites(url, 200);
        expectSame(await weRead(store), await litestreamReads(url), "what Litestream wrote");
        const [first] = await collect(store.list());
        expect(first?.key).toMatch(/^ltx\/0\/0000000000000001-0000000000000001\.ltx$/);
        // The time is in the file, not in the server's clock.
        const { metadata = {} } = await store.head(first?.key ?? "");
        expect(Object.keys(metadata)).toEqual(["litestream-timestamp"]);

        const path = join(temporaryDirectory(), "ours.db");
        const ours = await openReplicated({ sqlite3, files, path, replica: store, groupMs: 0 });
        for (let i = 0; i < 3; i++) {
          ours.db.exec("INSERT INTO note(body) VALUES (hex(randomblob(5000)))");
          await ours.replication.flush();
        }
        await ours.replication.snapshot();
        await ours.close();
        const keys = (await collect(store.list())).map(({ key }) => key);
        expect(keys).toContain("ltx/0/0000000000000004-0000000000000004.ltx");
        expect(keys.some((key) => key.startsWith("ltx/9/0000000000000001-"))).toBe(true);
        expectSame(await litestreamReads(url), readFileSync(path), "what we wrote");
        expectSame(await weRead(store), readFileSync(path), "what we wrote");
      });
    });
  });
}

describeWithServer("nginx", (address) => {
  describeWithLitestream("Litestream", () => {
    test("httpStore() restores a folder that Litestream wrote and nginx shows", async () => {
      const folder = join(part(address, "indexed"), "litestream");
      mkdirSync(folder, { mode: 0o755 });
      const url = `file://${folder}/db`;
      await litestreamWrites(url, 300);
      // Litestream gives its files the mode of the database.
      execFileSync("chmod", ["-R", "a+rX", folder]);
      const store = httpStore(`${part(address, "index")}/litestream/db`);
      expectSame(await weRead(store), await litestreamReads(url), "the replica");
    });
  });
});
