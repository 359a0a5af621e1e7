import { afterEach, describe, expect, test } from "vitest";
import { RandomHistory } from "../../test/helpers/random-history.ts";
import { fakePlatform, seededRandom } from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import { openReader, type ReaderOptions, type ReplicaReader, type ReplicaView } from "./reader.ts";

const RETRY = { attempts: 1, baseMs: 1, capMs: 1, budgetMs: 1 };

let readers: ReplicaReader[] = [];
afterEach(async () => {
  for (const reader of readers) await reader.close();
  readers = [];
});

async function open(
  store: Parameters<typeof openReader>[0],
  options: Partial<ReaderOptions> = {},
): Promise<ReplicaReader> {
  const platform = fakePlatform(1);
  const reader = await openReader(store, { platform, retry: RETRY, follow: false, ...options });
  readers.push(reader);
  return reader;
}

/** Every page of a view, read in an order of its own. */
async function expectState(
  reader: ReplicaReader,
  view: ReplicaView,
  history: RandomHistory,
): Promise<void> {
  const txid = Number(view.txid);
  const { commit } = history.states[txid] as RandomHistory["states"][number];
  expect(view.commit, `size at ${txid}`).toBe(commit);
  const pgnos = seededRandom(txid).shuffle(Array.from({ length: commit }, (_, i) => i + 1));
  for (const pgno of pgnos) {
    if (reader.peek(view, pgno) === undefined) await reader.fetch(view, [pgno]);
    expect(reader.peek(view, pgno), `page ${pgno} at ${txid}`).toEqual(history.page(txid, pgno));
  }
}

describe("openReader()", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "shows every state of a random history as it was, seed %i",
    async (seed) => {
      const random = seededRandom(seed);
      const history = new RandomHistory(memoryStore(), seed);
      await history.commit();
      const reader = await open(history.store, { cacheBytes: 8192 });
      const views: ReplicaView[] = [reader.latest];
      const ends = [0, 0];
      for (let step = 0; step < 60; step++) {
        await history.commit();
        if (random.chance(0.2)) {
          await history.write(1, (ends[0] ?? 0) + 1, history.txid);
          ends[0] = history.txid;
        }
        if (random.chance(0.05)) await history.write(9, 1, history.txid);
        if (random.chance(0.6)) views.push(await reader.refresh());
        if (random.chance(0.3)) {
          const txid = BigInt(1 + random.int(history.txid));
          views.push(await reader.viewAt({ txid }));
        }
        await expectState(reader, random.pick(views), history);
      }
      for (const view of views) await expectState(reader, view, history);
      for (const [from, to] of [[random.pick(views), random.pick(views)]] as const) {
        const changed = new Set(reader.changedPages(from, to));
        const [a, b] = [Number(from.txid), Number(to.txid)];
        for (let pgno = 1; pgno <= Math.max(from.commit, to.commit); pgno++) {
          if (changed.has(pgno)) continue;
          expect(history.page(a, pgno), `page ${pgno} of ${a} and ${b}`).toEqual(
            history.page(b, pgno),
          );
        }
      }
    },
  );
});
