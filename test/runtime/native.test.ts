/**
 * Native SQLite, replicated through its handle: the same in every runtime, with its own library and with better-sqlite3.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { restore } from "pagestream";
import type { NativeHandle } from "pagestream/bun";
import { failure } from "pagestream/testing";
import { adapter, Child, describe, freshDirectory, type Library, openNative, test } from "./kit.ts";

const LIBRARIES: readonly Library[] = ["own", "better-sqlite3"];
const ACKNOWLEDGED = 15;

interface Place {
  readonly path: string;
  readonly replica: string;
}

function places(): Place {
  const directory = freshDirectory();
  return { path: join(directory, "app.db"), replica: join(directory, "backup") };
}

/** What a database holds: each row in hexadecimal. */
function contentOf(handle: NativeHandle): readonly unknown[] {
  const statement = handle.prepare("SELECT id || hex(body) AS row FROM note ORDER BY id");
  const rows = statement.all();
  // Bun's database stays open as long as one of its statements lives.
  statement.finalize?.();
  return rows.map((row) => (row as { readonly row: unknown }).row);
}

/** What the newest state of the replica holds. */
async function restored({ path, replica }: Place): Promise<readonly unknown[]> {
  const copy = `${path}.copy`;
  const sink = adapter.fileSink(copy, { force: true });
  await restore(adapter.fileStore(replica), sink, { integrityCheck: "full" });
  const handle = await openNative("own", copy);
  try {
    return contentOf(handle);
  } finally {
    handle.close();
  }
}

for (const library of LIBRARIES) {
  describe(`replicate() with a handle, SQLite ${library}`, () => {
    test("a killed process loses nothing that was durable, and the next one goes on", async () => {
      const place = places();
      const child = new Child({ task: "write", library, ...place });
      let acknowledged = 0;
      while (acknowledged < ACKNOWLEDGED) acknowledged = Number(await child.line("durable"));
      await child.end("SIGKILL");
      assert.ok((await restored(place)).length >= acknowledged);

      const handle = await openNative(library, place.path);
      const replication = await adapter.replicate(handle, adapter.fileStore(place.replica));
      await replication.durable();
      assert.deepEqual(await restored(place), contentOf(handle));
      const rows = await replication.committed(() => {
        handle.exec("INSERT INTO note(body) VALUES ('after the crash')");
        return contentOf(handle);
      });
      assert.deepEqual(await restored(place), rows);
      await replication.close();
      handle.close();
    });

    test("closeOnExit() uploads what is left when the process is told to end", async () => {
      const place = places();
      const child = new Child({ task: "flush-at-exit", library, ...place });
      await child.line("ready");
      assert.equal(await child.end("SIGTERM"), 143);
      assert.equal((await restored(place)).length, 10);
    });

    test("a process that exits without closing leaves nothing that the next start does not ship", async () => {
      const place = places();
      assert.equal(await new Child({ task: "exit", library, ...place }).ended, 3);
      const handle = await openNative(library, place.path);
      const replication = await adapter.replicate(handle, adapter.fileStore(place.replica));
      await replication.durable();
      assert.equal((await restored(place)).length, 10);
      await replication.close();
      handle.close();
    });

    test("what another process commits is shipped, too, and a second replication refused", async () => {
      const place = places();
      const handle = await openNative(library, place.path);
      handle.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
      const store = adapter.fileStore(place.replica);
      const replication = await adapter.replicate(handle, store);
      const child = new Child({ task: "write", library, replicates: false, ...place });
      for (let i = 0; i < ACKNOWLEDGED; i++) await child.line("durable");
      const rival = new Child({ task: "write", library, ...place });
      assert.equal(await rival.line("failed"), "DATABASE_LOCKED");
      await child.end("SIGKILL");
      await replication.durable();
      const rows = await restored(place);
      assert.ok(rows.length >= ACKNOWLEDGED);
      assert.deepEqual(rows, contentOf(handle));
      await replication.close();
      handle.close();
    });
  });
}

describe("replicate() with a handle", () => {
  test("what has no file of its own, or a second library, is refused", async () => {
    const { path, replica } = places();
    const store = adapter.fileStore(replica);
    const memory = await openNative("own", ":memory:");
    assert.equal(await failure(() => adapter.replicate(memory, store)), "UNSUPPORTED");
    const handle = await openNative("own", path);
    handle.exec("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
    const replication = await adapter.replicate(handle, store);
    const second = await openNative("better-sqlite3", path);
    assert.equal(await failure(() => adapter.replicate(second, store)), "UNSUPPORTED");
    second.close();
    await replication.close();
    handle.close();
    memory.close();
  });
});
