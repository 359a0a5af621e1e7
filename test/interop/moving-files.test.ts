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

/** Moves a file of level 0 to level 1 before level 0 is listed, and after level 1 is where that comes first. */
function movingStore(replica: string, name: string): ObjectStore {
  const store = fileStore(replica);
  let listed = (): void => {};
  const levelOne = new Promise<void>((resolve) => (listed = resolve));
  const soon = new Promise<void>((resolve) => setTimeout(resolve, 100));
  let moved = false;
  return {
    ...store,
    async *list(options = {}) {
      if (options.prefix === "ltx/0/" && !moved) {
        await Promise.race([levelOne, soon]);
        moved = true;
        const to = join(replica, "ltx/1", name);
        mkdirSync(dirname(to), { recursive: true });
        renameSync(join(replica, "ltx/0", name), to);
      }
      yield* store.list(options);
      if (options.prefix === "ltx/1/") listed();
    },
  };
}

const TITLE = "restore() misses no file that moves up a level while it lists";

test(`${TITLE}: newest`, () => restoreWhileMoving("newest"));

test(`${TITLE}: txid`, () => restoreWhileMoving("txid"));

test(`${TITLE}: timestamp`, () => restoreWhileMoving("timestamp"));

async function restoreWhileMoving(kind: "newest" | "txid" | "timestamp"): Promise<void> {
  const directory = temporaryDirectory();
  const replica = join(directory, "replica");
  const ours = await openOurs({ path: join(directory, "app.db"), replica });
  await ours.commit("CREATE TABLE t(a)");
  for (const a of [1, 2, 3]) await ours.commit(`INSERT INTO t VALUES (${a})`);
  await ours.close();
  const point = (await listRestorePoints(fileStore(replica))).find((p) => p.txid === 3n);
  const targets = { newest: {}, txid: { txid: 3n }, timestamp: { timestamp: point?.time } };

  const sink = bytesSink({ journalHeader: "keep" });
  const store = movingStore(replica, "0000000000000003-0000000000000003.ltx");
  const { txid } = await restore(store, sink, targets[kind]);
  expect(txid).toBe(kind === "newest" ? 4n : 3n);
  expectSame(sink.bytes, ours.copies.get(txid), "the state");
}
