import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fixtures, unpackFixture } from "../../test/interop/fixtures.ts";
import { fakePlatform } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { bytesSink } from "./bytes-sink.ts";
import { openReader, type ReplicaReader, type ReplicaView } from "./reader.ts";
import { openReplica } from "./replica.ts";
import { restorablePoints } from "./restore-points.ts";
import { restoreReplica } from "./restore.ts";

/** The whole database as a view has it, every page fetched by itself where it is not in memory. */
async function bytesOf(reader: ReplicaReader, view: ReplicaView): Promise<Uint8Array> {
  const bytes = new Uint8Array(view.commit * view.pageSize);
  for (let pgno = 1; pgno <= view.commit; pgno++) {
    if (reader.peek(view, pgno) === undefined) await reader.fetch(view, [pgno]);
    bytes.set(reader.peek(view, pgno) as Uint8Array, (pgno - 1) * view.pageSize);
  }
  return bytes;
}

const names = Object.entries(fixtures)
  .filter(([, { files }]) => files.some(({ path }) => path.startsWith("ltx/")))
  .map(([name]) => name);

test.each(names)("viewAt() gives what a restore gives, at every point of %s", async (name) => {
  const platform = fakePlatform(1, Date.UTC(2030, 0, 1));
  const store = memoryStore({ platform });
  const fixture = unpackFixture(name);
  for (const { path } of fixtures[name]?.files ?? []) {
    await store.put(path, new Uint8Array(readFileSync(join(fixture.path, path))));
  }
  fixture.remove();
  const levels = await openReplica(store, { platform }).levels();
  await using reader = await openReader(store, { platform, follow: false, cacheBytes: 256 * 1024 });
  for (const { txid } of restorablePoints(levels.flat())) {
    const sink = bytesSink();
    const restored = await restoreReplica(store, sink, { platform, txid, journalHeader: "keep" });
    const view = await reader.viewAt({ txid });
    expect([view.txid, view.pageSize, view.commit]).toEqual([
      txid,
      restored.pageSize,
      restored.commit,
    ]);
    const bytes = await bytesOf(reader, view);
    expect(Buffer.from(bytes).equals(sink.bytes), `state ${txid}`).toBe(true);
  }
});
