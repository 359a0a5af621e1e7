/**
 * The rows of a replica of the tests of the fence, each of which says who wrote it, and whether it is whole.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { bytesSink, type ObjectStore, restore } from "pagestream";
import { expect } from "vitest";

const sqlite3 = await sqlite3InitModule();

/** The rows of a state, each of which is whole; `undefined` where that TXID cannot be restored. */
export async function rowsAt(
  store: ObjectStore,
  txid?: bigint,
): Promise<readonly string[] | undefined> {
  const sink = bytesSink({ journalHeader: "rollback" });
  try {
    await restore(store, sink, { txid });
  } catch (error) {
    if ((error as { readonly code?: string }).code === "TXID_NOT_AVAILABLE") return undefined;
    throw error;
  }
  return rowsOf(sink.bytes);
}

/** The rows of a database, which must be sound, and each of them whole. */
export function rowsOf(bytes: Uint8Array): readonly string[] {
  const db = new sqlite3.oo1.DB(":memory:");
  try {
    const { wasm, capi } = sqlite3;
    const p = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
    const { length } = bytes;
    db.checkRc(capi.sqlite3_deserialize(db.pointer as never, "main", p, length, length, flags));
    expect(db.selectValue("PRAGMA integrity_check")).toBe("ok");
    const torn =
      "SELECT count(*) FROM row WHERE body <> replace(hex(zeroblob(1500)), '00', who || n)";
    expect(db.selectValue(torn)).toBe(0);
    return db.selectValues("SELECT who || ':' || n FROM row ORDER BY id") as string[];
  } finally {
    db.close();
  }
}
