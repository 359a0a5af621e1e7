import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.ts";
import { fileState } from "./local-state.ts";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import { MarkerLog, type MarkerState, readMarker } from "./marker.ts";
import { PageDigests, PageTable } from "./page-table.ts";

const random = seededRandom(5);

function stateAt(txid: bigint, commit: number, pageSize = 512): MarkerState {
  return { txid, pageSize, commit, fileName: `${txid}.ltx`, fileChecksum: txid << 40n };
}

function changes(...pgnos: number[]): PageDigests {
  const digests = new PageDigests();
  for (const pgno of pgnos) digests.addValue(pgno, random.next() | 0, random.next() | 0);
  return digests;
}

function newLog(commit = 4) {
  const state = fileState(memorySyncFiles(), "/data/.app.db-pagestream");
  const table = new PageTable(commit);
  table.apply(changes(1, 2, 3, 4));
  const base = {
    replica: "speicher://äöü",
    key: random.bytes(16),
    state: stateAt(1n, commit),
    table,
  };
  return { state, base, log: new MarkerLog(state, base) };
}

describe("MarkerLog", () => {
  test("what it writes is read back: base, then every step", () => {
    const { state, base, log } = newLog();
    expect(readMarker(state.readMarker())).toMatchObject({
      replica: base.replica,
      key: base.key,
      state: base.state,
    });
    log.advance(stateAt(2n, 6), changes(2, 5, 6));
    log.advance(stateAt(3n, 5), changes(1));
    const read = readMarker(state.readMarker());
    expect(read?.state).toEqual(stateAt(3n, 5));
    expect([...(read?.table.values ?? [])]).toEqual([...base.table.values]);
  });

  test("a record cut anywhere, or with any byte changed, ends the log before it", () => {
    const { state, log } = newLog();
    const before = (state.readMarker() as Uint8Array).length;
    log.advance(stateAt(2n, 4), changes(2));
    const bytes = state.readMarker() as Uint8Array;
    for (let length = before; length < bytes.length; length++) {
      expect(readMarker(bytes.subarray(0, length))?.state.txid).toBe(1n);
    }
    for (let at = before; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ 0x41;
      expect(readMarker(damaged)?.state.txid).toBe(1n);
    }
    expect(readMarker(bytes)?.state.txid).toBe(2n);
  });

  test("a damaged base means no marker", () => {
    const { state } = newLog();
    const bytes = state.readMarker() as Uint8Array;
    for (let at = 0; at < bytes.length; at += 3) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ 0x10;
      expect(readMarker(damaged)).toBeUndefined();
    }
    expect(readMarker(undefined)).toBeUndefined();
    expect(readMarker(new Uint8Array(0))).toBeUndefined();
  });

  test("a log that outgrows its base is folded into a new one that says the same", () => {
    const { state, log } = newLog(30_000);
    const all = Array.from({ length: 30_000 }, (_, i) => i + 1);
    let largest = 0;
    for (let txid = 2n; txid < 12n; txid++) {
      log.advance(stateAt(txid, 30_000), changes(...all));
      largest = Math.max(largest, (state.readMarker() as Uint8Array).length);
    }
    expect(largest).toBeLessThan(3_000_000);
    expect(readMarker(state.readMarker())?.state.txid).toBe(11n);
  });

  test("a new page size begins a new base", () => {
    const { state, log } = newLog();
    log.advance(stateAt(2n, 2, 1024), changes(1, 2));
    const read = readMarker(state.readMarker());
    expect(read?.state).toEqual(stateAt(2n, 2, 1024));
    expect(read?.table.size).toBe(2);
  });
});
