import { describe, expect, test } from "vitest";
import { fakePlatform } from "../testing/index.ts";
import { replicaHeader } from "../ltx/header.ts";
import { type LocalState, memoryState } from "./local-state.ts";
import { MarkerKeeper } from "./marker-keeper.ts";
import { readMarker } from "./marker.ts";
import { PageDigests } from "./page-table.ts";
import type { StagedFile } from "./staged-file.ts";

const KEY = new Uint8Array(16).fill(7);

/** A confirmed file with one digest per page number. */
function confirmed(txid: bigint, pgnos: readonly number[], commit: number): StagedFile {
  const digests = new PageDigests();
  for (const pgno of pgnos) digests.addValue(pgno, Number(txid), pgno);
  const sizes = { pageSize: 512, commit, timestamp: 1n };
  return {
    name: `0/${txid}`,
    level: 0,
    header: replicaHeader({ ...sizes, minTxid: txid, maxTxid: txid }),
    size: 1,
    pageCount: pgnos.length,
    fileChecksum: txid,
    digests,
    full: pgnos.length === commit,
    sequence: 1,
    since: 0,
  };
}

/** A state that keeps the marker's log and loses what was not synced. */
function syncedState(): { state: LocalState; synced: () => Uint8Array | undefined; folds: number } {
  const seen = { synced: new Uint8Array(0), pending: new Uint8Array(0), folds: 0 };
  const join = (a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> =>
    Uint8Array.from([...a, ...b]);
  const state: LocalState = Object.assign(memoryState(), {
    durable: true,
    replaceMarker(bytes: Uint8Array) {
      seen.folds++;
      seen.synced = bytes.slice();
      seen.pending = new Uint8Array(0);
    },
    appendMarker: (bytes: Uint8Array) => void (seen.pending = join(seen.pending, bytes)),
    syncMarker() {
      seen.synced = join(seen.synced, seen.pending);
      seen.pending = new Uint8Array(0);
    },
  });
  return {
    state,
    synced: () => seen.synced,
    get folds() {
      return seen.folds;
    },
  };
}

describe("MarkerKeeper", () => {
  test("has every step on stable storage within a second, and all of them at close, folded", async () => {
    const { clock } = fakePlatform(1);
    const local = syncedState();
    const keeper = new MarkerKeeper({
      state: local.state,
      replica: "r",
      clock,
      onError: (error) => {
        throw error;
      },
    });
    keeper.begin(undefined, KEY);
    keeper.confirm(confirmed(1n, [1, 2, 3], 3));
    const durable = (): bigint | undefined => readMarker(local.synced())?.state.txid;
    expect(durable()).toBe(1n);
    await clock.advanceAsync(600);
    keeper.confirm(confirmed(2n, [2], 3));
    expect(durable()).toBe(1n);
    await clock.advanceAsync(1_000);
    expect(durable()).toBe(2n);
    expect(clock.pending).toBe(0);
    keeper.confirm(confirmed(3n, [4], 4));
    keeper.confirm(confirmed(4n, [1], 2));
    expect(durable()).toBe(2n);
    const { folds } = local;
    keeper.close();
    expect(local.folds).toBe(folds + 1);
    const marker = readMarker(local.synced());
    expect(marker?.state).toMatchObject({ txid: 4n, commit: 2, fileChecksum: 4n });
    expect([...(marker?.table.values ?? [])]).toEqual([4, 1, 2, 2]);
    expect(clock.pending).toBe(0);
  });

  test("syncs right after each file where they come once a second, and no more often where they come at once", async () => {
    const { clock } = fakePlatform(1);
    let syncs = 0;
    const syncMarker = (): void => void syncs++;
    const state = Object.assign(memoryState(), { durable: true, syncMarker });
    const options = { state, replica: "r", clock, onError: () => {} };
    const keeper = new MarkerKeeper(options);
    keeper.begin(undefined, KEY);
    let txid = 0n;
    const confirm = (): void => keeper.confirm(confirmed(++txid, [1], 1));
    // The first is written whole.
    confirm();
    clock.advance(1_000);
    for (let i = 1; i <= 5; i++) {
      confirm();
      clock.advance(0);
      expect([i, syncs, clock.pending]).toEqual([i, i, 0]);
      clock.advance(i % 2 === 0 ? 1_100 : 900);
    }
    syncs = 0;
    for (let i = 0; i < 1_000; i++) {
      confirm();
      clock.advance(10);
    }
    expect(syncs).toBeGreaterThanOrEqual(10);
    expect(syncs).toBeLessThanOrEqual(14);
    keeper.close();
  });

  test("is of no state before a full file is confirmed", () => {
    const { clock } = fakePlatform(1);
    const local = syncedState();
    const options = { state: local.state, replica: "r", clock, onError: () => {} };
    const keeper = new MarkerKeeper(options);
    keeper.begin(undefined, KEY);
    keeper.confirm(confirmed(2n, [2], 3));
    keeper.close();
    expect(readMarker(local.synced())).toBeUndefined();
  });
});
