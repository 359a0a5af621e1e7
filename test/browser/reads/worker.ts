/**
 * A replica read lazily in a browser: in a worker that keeps SQLite's synchronous API and blocks while a page is read, and in a
 * worker or on a page by promises.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { type BlockingReads, blockingReads, isPagestreamError } from "pagestream";
import { httpStore, xhrReads } from "pagestream/transports/http";
import { openReplicaDatabase } from "pagestream/vfs";

/** What the page asks for. */
export interface ReadsRequest {
  /** Address of the replica. */
  readonly replica: string;
  readonly way: "helper" | "xhr";
}

/** What is asked for where nothing blocks. */
export interface QueriesRequest {
  /** Address of the replica. */
  readonly replica: string;
  readonly driver: "auto" | "retry";
}

/** What came of it. */
export interface QueriesResult {
  readonly driver: string;
  readonly titles: readonly unknown[];
  /** Rows that a scan found, all of them. */
  readonly count: unknown;
  /** Of the look-ups, before the scan. */
  readonly requests: number;
  readonly bytes: number;
}

/** What the worker found. */
export interface ReadsResult {
  readonly titles: readonly unknown[];
  readonly requests: number;
  readonly bytes: number;
  /** Code and message of the error for an object that is not there. */
  readonly missing: string;
  /** The same for a server that is not there. */
  readonly refused: string;
  /** And for a way that this worker cannot go; empty where it can. */
  readonly unsupported: string;
}

// Nobody needs the VFSes over OPFS here, and they would look for files that are not there.
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

async function helperReads(replica: string): Promise<BlockingReads> {
  const helper = new Worker(new URL("helper.js", import.meta.url), { type: "module" });
  const up = new Promise((resolve) => {
    helper.onmessage = resolve;
  });
  helper.postMessage(replica);
  await up;
  return blockingReads(helper, { deadlineMs: 20_000 });
}

function failureOf(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    if (isPagestreamError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
}

async function run({ replica, way }: ReadsRequest): Promise<ReadsResult> {
  const reads = way === "xhr" ? xhrReads(replica) : await helperReads(replica);
  const database = await openReplicaDatabase({
    sqlite3: await sqlite3InitModule(),
    replica: httpStore(replica),
    driver: "block",
    blockingReads: reads,
    follow: false,
  });
  // No promise from here on.
  const { db, stats } = database;
  const titles = [1, 4_000, 2].map((id) =>
    db.selectValue("SELECT title FROM note WHERE id = ?", [id]),
  );
  const range = { offset: 0, length: 1, etag: "" };
  const nowhere = "http://127.0.0.1:1";
  const result = {
    titles,
    requests: stats.requests,
    bytes: stats.bytes,
    missing: failureOf(() => reads.read("ltx/0/none.ltx", range)),
    refused: failureOf(() => xhrReads(nowhere).read("ltx/0/none.ltx", range)),
    unsupported: failureOf(() => blockingReads({ postMessage: () => undefined })),
  };
  await database.close();
  return result;
}

/** Asks by promises, which a page may as well. */
async function query({ replica, driver }: QueriesRequest): Promise<QueriesResult> {
  const view = await openReplicaDatabase({
    sqlite3: await sqlite3InitModule(),
    replica: httpStore(replica),
    driver,
    follow: false,
  });
  const titles: unknown[] = [];
  for (const id of [1, 4_000, 2]) {
    const [row] = await view.query("SELECT title FROM note WHERE id = ?", [id]);
    titles.push(row?.["title"]);
  }
  const { requests, bytes } = view.stats;
  const [row] = await view.query("SELECT count(*) AS n FROM note WHERE length(body) > 0");
  await view.close();
  return { driver: view.driver, titles, count: row?.["n"], requests, bytes };
}

if (typeof document === "undefined") {
  onmessage = async ({ data }: MessageEvent<ReadsRequest | QueriesRequest>): Promise<void> => {
    postMessage(await ("way" in data ? run(data) : query(data)));
  };
} else {
  Object.assign(globalThis, { query });
}
