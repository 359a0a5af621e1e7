/**
 * Our contestants, each in a process of its own: a replica read page by page, and the same database in memory, in plain
 * sqlite-wasm.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fileStore } from "@pagestream/node";
import sqlite3InitModule, { type Database } from "@sqlite.org/sqlite-wasm";
import type { IndexStore, ObjectStore } from "pagestream";
import { s3Store } from "pagestream/transports/s3";
import { openReplicaDatabase } from "pagestream/vfs";
import { type Contestant, type OpenOptions, type Place, POINT } from "./contestant.ts";
import { peakMemory } from "./peer.ts";

/** Starts a process; a database is opened by `open`. */
export async function startOurs(): Promise<Contestant> {
  const child = fork(fileURLToPath(import.meta.url));
  await once(child, "message");
  const call = async (name: string, argument?: unknown): Promise<unknown> => {
    child.send({ name, argument });
    const [{ value, error }] = (await once(child, "message")) as [
      { readonly value?: unknown; readonly error?: string },
    ];
    if (error !== undefined) throw new Error(error);
    return value;
  };
  return {
    open: (place, options) => call("open", { place, ...options }),
    query: async (sql) => String(await call("query", sql)),
    points: async (ids) => Number(await call("points", ids)),
    memory: () => Promise.resolve(peakMemory(child.pid ?? 0)),
    async close() {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

interface Session {
  query(sql: string): Promise<string> | string;
  points(ids: readonly number[]): Promise<void> | void;
  close(): Promise<void> | void;
}

function fileIndexStore(path: string): IndexStore {
  return {
    load: () => Promise.resolve(existsSync(path) ? readFileSync(path) : undefined),
    save: (bytes) => Promise.resolve(writeFileSync(path, bytes)),
  };
}

async function serve(self: ChildProcess | NodeJS.Process): Promise<void> {
  const sqlite3 = await sqlite3InitModule();
  // Node loads it when it is first called.
  await fetch("data:,");
  let session: Session | undefined;
  const handle = async ({
    name,
    argument,
  }: {
    name: string;
    argument: unknown;
  }): Promise<unknown> => {
    if (name === "open") {
      await session?.close();
      const { place, indexes } = argument as { readonly place: Place } & OpenOptions;
      const isFile = "file" in place;
      session = isFile ? plain(new sqlite3.oo1.DB(), place.file) : await lazy(place, indexes);
      return undefined;
    }
    if (session === undefined) throw new Error("not open");
    if (name === "query") return await session.query(argument as string);
    const start = performance.now();
    await session.points(argument as number[]);
    return performance.now() - start;
  };

  const plain = (db: Database, path: string): Session => {
    const bytes = new Uint8Array(readFileSync(path));
    // A database in memory has no WAL.
    bytes.fill(1, 18, 20);
    const { wasm, capi } = sqlite3;
    const pointer = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
    const handle = db.pointer;
    if (handle === undefined) throw new Error("not open");
    capi.sqlite3_deserialize(handle, "main", pointer, bytes.length, bytes.length, flags);
    return {
      query: (sql) =>
        db
          .selectArrays(sql)
          .map((row) => row.join("|"))
          .join("\n"),
      points(ids) {
        for (const id of ids) db.selectObjects(POINT, [id]);
      },
      close: () => db.close(),
    };
  };

  const lazy = async (
    at: { readonly origin: string } | { readonly folder: string },
    indexes: string | undefined,
  ): Promise<Session> => {
    const replica: ObjectStore =
      "folder" in at
        ? fileStore(at.folder)
        : s3Store({
            endpoint: at.origin,
            bucket: "bucket",
            path: "db",
            region: "us-east-1",
            forcePathStyle: true,
            credentials: { accessKeyId: "key", secretAccessKey: "secret" },
          });
    const indexStore = indexes === undefined ? undefined : fileIndexStore(indexes);
    const database = await openReplicaDatabase({ sqlite3, replica, indexStore });
    return {
      async query(sql) {
        const { rows } = await database.execute(sql);
        return rows.map((row) => row.join("|")).join("\n");
      },
      async points(ids) {
        for (const id of ids) await database.query(POINT, [id]);
      },
      close: () => database.close(),
    };
  };

  self.on("message", (message: { name: string; argument: unknown }) => {
    handle(message).then(
      (value) => self.send?.({ value }),
      (error: unknown) => self.send?.({ error: String((error as Error).stack ?? error) }),
    );
  });
  self.on("disconnect", () => process.exit());
  self.send?.("ready");
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  await serve(process);
}
