// A store of your own, here in a table of another database, and the contract suite that proves it.
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { testObjectStore } from "pagestream/testing";
import {
  byteRange,
  checkKey,
  checkPrefix,
  checkPutOptions,
  collectBody,
  NotFoundError,
  type ObjectInfo,
  type ObjectStore,
  PreconditionFailedError,
  throwIfAborted,
} from "pagestream/transports/store-kit";

/** Objects as rows: key, version, time, metadata and bytes. */
export function tableStore(database: DatabaseSync): ObjectStore {
  database.exec(
    "CREATE TABLE IF NOT EXISTS object(key TEXT PRIMARY KEY, etag TEXT, at INTEGER, metadata TEXT, bytes BLOB)",
  );
  const select = database.prepare(
    "SELECT key, etag, at, metadata, length(bytes) AS size, bytes FROM object WHERE key = ?",
  );
  const page = database.prepare(
    "SELECT key, etag, at, metadata, length(bytes) AS size FROM object WHERE key > ? ORDER BY key LIMIT 100",
  );
  const upsert = database.prepare("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM object WHERE key = ?");

  const find = (key: string, operation: string, ifMatch?: string) => {
    checkKey(key, operation);
    const row = select.get(key);
    if (row === undefined) {
      throw new NotFoundError({ operation, object: key, what: "there is no such row" });
    }
    const info = toInfo(row);
    if (ifMatch !== undefined && ifMatch !== info.etag) throw changed(key, operation);
    return { info, bytes: row["bytes"] as Uint8Array };
  };

  return {
    type: "table",
    description: "a table",
    local: true,
    capabilities: {
      conditionalPut: true,
      conditionalReplace: true,
      conditionalLarge: true,
      conditionalDelete: true,
      metadataInList: true,
      rangedGet: true,
      watch: false,
    },
    async get(key, options = {}) {
      throwIfAborted(options.signal, "read", key);
      const { info, bytes } = find(key, "read", options.ifMatch);
      const { start, end } = byteRange(bytes.length, options, key);
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          if (end > start) controller.enqueue(bytes.slice(start, end));
          controller.close();
        },
      });
      return { ...info, body, metadata: info.metadata ?? {} };
    },
    async put(key, body, options = {}) {
      checkKey(key, "write");
      checkPutOptions(key, options);
      const context = { operation: "write", object: key, signal: options.signal };
      const bytes = await collectBody(body, context);
      // From here on nothing waits, so condition and write are one step.
      const row = select.get(key);
      if (options.ifNoneMatch !== undefined && row !== undefined) throw changed(key, "write");
      if (options.ifMatch !== undefined && row?.["etag"] !== options.ifMatch) {
        throw changed(key, "write");
      }
      const etag = crypto.randomUUID();
      const lastModified = new Date();
      const metadata = JSON.stringify(options.metadata ?? {});
      upsert.run(key, etag, lastModified.getTime(), metadata, bytes);
      return { etag, lastModified };
    },
    async head(key, options = {}) {
      throwIfAborted(options.signal, "look up", key);
      return find(key, "look up").info;
    },
    async delete(keys, options = {}) {
      for (const key of keys) checkKey(key, "delete");
      throwIfAborted(options.signal, "delete", "objects");
      for (const key of keys) remove.run(key);
    },
    async deleteOne(key, options = {}) {
      checkKey(key, "delete");
      throwIfAborted(options.signal, "delete", key);
      const row = select.get(key);
      if (row !== undefined && options.ifMatch !== undefined && row["etag"] !== options.ifMatch) {
        throw changed(key, "delete");
      }
      remove.run(key);
    },
    async *list({ prefix = "", startAfter = "", signal } = {}) {
      checkPrefix(prefix, "list");
      for (let after = startAfter; ;) {
        throwIfAborted(signal, "list", "a table");
        const rows = page.all(after).map(toInfo);
        for (const info of rows) {
          throwIfAborted(signal, "list", "a table");
          if (info.key.startsWith(prefix)) yield info;
          after = info.key;
        }
        if (rows.length === 0) return;
      }
    },
  };
}

function toInfo(row: Record<string, unknown>): ObjectInfo {
  return {
    key: String(row["key"]),
    size: Number(row["size"]),
    etag: String(row["etag"]),
    lastModified: new Date(Number(row["at"])),
    metadata: JSON.parse(String(row["metadata"])),
  };
}

function changed(object: string, operation: string): PreconditionFailedError {
  const what = "it is there already, or not the version that was asked for";
  return new PreconditionFailedError({ operation, object, what });
}

const expect = (actual: unknown) => ({
  toBe: (expected: unknown) => assert.equal(actual, expected),
  toEqual: (expected: unknown) => assert.deepEqual(actual, expected),
});
testObjectStore(() => tableStore(new DatabaseSync(":memory:")), { describe, test, expect });
