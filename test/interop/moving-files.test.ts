/**
 * Litestream moves files up a level while we list: after a pause its first compaction is followed at once by the
 * deletion of what it has merged.
 *
 * @module
 */
import { mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileStore } from "@pagestream/node";
import { bytesSink, listRestorePoints, type ObjectStore, restore } from "pagestream";
import { afterEach, expect, test } from "vitest";
import { removeTemporary, temporaryDirectory } from "../helpers/litestream.ts";
import { expectSame, openOurs } from "./our-writer.ts";

afterEach(removeTemporary);

/** Moves a file of level 0 to level 1 while a listing of all levels is at the object of this number. */
function movingStore(replica: string, name: string, moment: number): ObjectStore {
  const store = fileStore(replica);
  let moved = false;
  const move = (): void => {
    if (moved) return;
    moved = true;
    const to = join(replica, "ltx/1", name);
    mkdirSync(dirname(to), { recursive: true });
    renameSync(join(replica, "ltx/0", name), to);
  };
  return {
    ...store,
    async *list(options = {}) {
      let count = 0;
      if (moment === 0) move();
      for await (const info of store.list(options)) {
        yield info;
        if (++count === moment) move();
      }
    },
  };
}

const KINDS = ["newest", "txid", "timestamp"] as const;

test.each(KINDS)("restore() misses no file that moves up a level while it lists: %s", (kind) =>
  restoreWhileMoving(kind),
);

async function restoreWhileMoving(kind: (typeof KINDS)[number]): Promise<void> {
  const directory = temporaryDirectory();
  const replica = join(directory, "replica");
  const ours = await openOurs({ path: join(directory, "app.db"), replica });
  await ours.commit("CREATE TABLE t(a)");
  for (const a of [1, 2, 3]) await ours.commit(`INSERT INTO t VALUES (${a})`);
  await ours.close();
  const point = (await listRestorePoints(fileStore(replica))).find((p) => p.txid === 3n);
  const targets = { newest: {}, txid: { txid: 3n }, timestamp: { timestamp: point?.time } };

  const name = "0000000000000003-0000000000000003.ltx";
  for (const moment of [0, 1, 2, 3, 4]) {
    const sink = bytesSink({ journalHeader: "keep" });
    const { txid } = await restore(movingStore(replica, name, moment), sink, targets[kind]);
    expect(txid).toBe(kind === "newest" ? 4n : 3n);
    expectSame(sink.bytes, ours.copies.get(txid), "the state");
    renameSync(join(replica, "ltx/1", name), join(replica, "ltx/0", name));
  }
}
