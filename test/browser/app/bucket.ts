/**
 * A worker with a database in OPFS whose replica is in a bucket. It has no lasting key: its server signs each request, or
 * gives it keys for a while.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { isPagestreamError, openReplicated, openSahPool, opfsFiles } from "pagestream";
import { s3Store } from "pagestream/transports/s3";

/** What is asked of the worker. */
export interface BucketRequest {
  readonly bucket: string;
  readonly endpoint: string;
  /** Of the replica in the bucket. */
  readonly path: string;
  /** Route of the page's own server that signs requests, or gives keys. */
  readonly route: "sign" | "keys";
}

/** What became of it. */
export interface BucketResult {
  /** After the database was removed and opened again. */
  readonly rows: number;
  readonly restored: boolean;
  /** Code of the error of a write beside the replica. */
  readonly outside: string;
}

async function ask<Answer>(route: string, body: unknown): Promise<Answer> {
  const response = await fetch(route, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()) as Answer;
}

async function run({ route, ...place }: BucketRequest): Promise<BucketResult> {
  const access =
    route === "sign"
      ? { sign: (request: unknown) => ask<{ url: string; headers: {} }>("sign", request) }
      : { credentials: () => ask<{ accessKeyId: string; secretAccessKey: string }>("keys", {}) };
  const path = `/${route}.db`;
  const sqlite3 = await sqlite3InitModule();
  const pool = await openSahPool(sqlite3);
  const open = () =>
    openReplicated({
      sqlite3,
      files: opfsFiles(pool),
      path,
      replica: s3Store({ ...place, ...access }),
    });
  const first = await open();
  first.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('one'), ('two')");
  await first.close();
  pool.unlink(path);
  const second = await open();
  const rows = second.db.selectValue("SELECT count(*) FROM note") as number;
  await second.close();
  const outside = await s3Store({ ...place, path: "of-others", ...access })
    .put("a", new Uint8Array(1))
    .then(
      () => "",
      (error: unknown) => (isPagestreamError(error) ? error.code : String(error)),
    );
  return { rows, restored: second.restored !== undefined, outside };
}

addEventListener("message", ({ data }: MessageEvent<BucketRequest>) => {
  run(data).then(
    (result) => postMessage({ result }),
    (error: unknown) => postMessage({ error: String(error) }),
  );
});
