/** @module */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { Hono } from "hono";
import { bytesSink, type ObjectStore, openReplicated, restore } from "pagestream";
import { ingestRoutes, replicaRoutes } from "pagestream/http";
import { buildLtx, failure } from "pagestream/testing";
import { httpStore } from "pagestream/transports/http";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestreamRestoreTo,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { askRaw, sendRaw, startServer, type TestServer } from "./server.ts";

afterEach(removeTemporary);

async function serve(store: ObjectStore): Promise<TestServer> {
  const options = { replica: () => store, authorize: "public", freshMs: 0 } as const;
  const app = new Hono();
  app.route("/db", replicaRoutes(options));
  app.route("/db", ingestRoutes({ ...options, limits: { stallMs: 300 } }));
  return await startServer(app);
}

describeWithLitestream("ingestRoutes()", () => {
  test("what ingestRoutes() takes from a browser's engine the real Litestream restores", async () => {
    const folder = temporaryDirectory();
    await using server = await serve(fileStore(folder));
    const open = async (path: string) => {
      const replica = httpStore(`${server.url}/db`);
      return await openReplicated({
        sqlite3: await sqlite3InitModule(),
        path,
        replica,
        groupMs: 1,
      });
    };
    const first = await open("a.db");
    first.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('one')");
    await first.replication.durable();
    await first.replication.snapshot();
    for (let i = 0; i < 3; i++) {
      first.db.exec(`INSERT INTO note VALUES (randomblob(${5000 * i}))`);
      await first.replication.durable();
    }
    await first.close();
    // Another browser restores and goes on, without writing the whole database anew.
    const second = await open("b.db");
    second.db.exec("INSERT INTO note VALUES ('two')");
    await second.replication.durable();
    await second.close();
    expect(readdirSync(join(folder, "ltx/0")).length).toBe(5);
    expect(readdirSync(join(folder, "ltx/9")).length).toBe(1);
    const output = join(temporaryDirectory(), "out.db");
    expect((await litestreamRestoreTo(folder, output, { integrityCheck: "full" })).code).toBe(0);
    const restored = new DatabaseSync(output);
    const texts = restored.prepare("SELECT body FROM note WHERE typeof(body) = 'text'").all();
    restored.close();
    expect(texts.map(({ body }) => body)).toEqual(["one", "two"]);
    const sink = bytesSink();
    expect((await restore(httpStore(`${server.url}/db`), sink)).txid).toBe(5n);
  });
});

test("ingestRoutes() leaves nothing of a client that goes, stops or lies about its size", async () => {
  const store = memoryStore();
  await using server = await serve(store);
  const { name, bytes } = buildLtx({ pageSize: 512, pages: { 1: 1, 2: { seed: 2 } } });
  const body = Buffer.from(bytes).toString("latin1");
  const head = (length: number): string =>
    `PUT /db/ltx/0/${name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`;
  const names = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of store.list()) keys.push(key);
    return keys;
  };
  // One goes in the middle, and its turn ends with it.
  const gone = sendRaw(server.port, head(body.length) + body.slice(0, 300));
  await new Promise((resolve) => gone.write("", resolve));
  gone.destroy();
  const stalled = await askRaw(server.port, head(body.length) + body.slice(0, 300));
  expect([408, 503]).toContain(stalled.status);
  const short = await askRaw(server.port, head(300) + body.slice(0, 300));
  expect([422, 503]).toContain(short.status);
  const huge = await askRaw(server.port, head(2 ** 40) + body);
  expect(huge.status).toBe(413);
  expect(await names()).toEqual([]);
  await expect
    .poll(async () => (await askRaw(server.port, head(body.length) + body)).status)
    .toBe(201);
  expect(await names()).toEqual([`ltx/0/${name}`]);
  const remote = httpStore(`${server.url}/db`);
  expect(await failure(() => remote.put("../../etc/passwd", bytes))).toBe("INVALID_ARGUMENT");
});
