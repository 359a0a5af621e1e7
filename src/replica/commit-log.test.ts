import { describe, expect, test } from "vitest";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import type { CommittedTransaction } from "../core/commit-source.ts";
import { CommitGroup } from "./commit-group.ts";
import { CommitLog, loggedPages, readCommitLog } from "./commit-log.ts";
import { fileState, type LocalState } from "./local-state.ts";

const CONTEXT = { txid: 7n, time: 1_000n, continues: true };

function transaction(pages: Record<number, number>, commit = 9): CommittedTransaction {
  const pgnos = Uint32Array.from(Object.keys(pages), Number);
  const page = (pgno: number): Uint8Array => new Uint8Array(512).fill(pages[pgno] as number);
  return {
    sequence: 1,
    pageSize: 512,
    commit,
    previousCommit: 8,
    full: false,
    pages: { pgnos, read: (i) => page(pgnos[i] as number), page },
  };
}

function logged(state: LocalState): Record<number, number>[] {
  return readCommitLog(state).map((record) => {
    const pages: Record<number, number> = {};
    loggedPages(state, record, (pgno, image) => {
      pages[pgno] = state.readLog(image + 511, 1)[0] as number;
    });
    return pages;
  });
}

describe("CommitLog", () => {
  test("append() is read back as it was written", () => {
    const state = fileState(memorySyncFiles(), "/state");
    const log = new CommitLog(state);
    log.append(transaction({ 1: 1, 9: 2 }), CONTEXT);
    log.append(transaction({ 3: 3 }, 4), { ...CONTEXT, continues: false });
    expect(logged(state)).toEqual([{ 1: 1, 9: 2 }, { 3: 3 }]);
    expect(readCommitLog(state)).toMatchObject([
      { ...CONTEXT, pageSize: 512, commit: 9, previousCommit: 8, full: false, committed: false },
      { commit: 4, continues: false, count: 1 },
    ]);
    log.clear();
    expect(log.bytes).toBe(0);
    expect(logged(state)).toEqual([]);
  });

  test("append() writes a transaction of many pages in pieces", () => {
    const state = fileState(memorySyncFiles(), "/state");
    const pages: Record<number, number> = {};
    for (let pgno = 1; pgno <= 5_000; pgno++) pages[pgno] = pgno % 251;
    new CommitLog(state).append(transaction(pages, 5_000), CONTEXT);
    expect(logged(state)).toEqual([pages]);
  });

  test("rollBack() takes the last record back; the next takes its place", () => {
    const state = fileState(memorySyncFiles(), "/state");
    const log = new CommitLog(state);
    log.append(transaction({ 1: 1 }), CONTEXT);
    log.append(transaction({ 2: 2, 3: 3 }), CONTEXT);
    log.rollBack();
    expect(logged(state)).toEqual([{ 1: 1 }]);
    log.append(transaction({ 4: 4 }), CONTEXT);
    expect(logged(state)).toEqual([{ 1: 1 }, { 4: 4 }]);
  });

  test("fold() leaves one committed record with the newest images, which later ones continue", () => {
    const state = fileState(memorySyncFiles(), "/state");
    const log = new CommitLog(state);
    const group = new CommitGroup();
    for (const pages of [{ 1: 1, 2: 1 }, { 2: 5 }]) {
      log.append(transaction(pages), CONTEXT);
      group.add(transaction(pages), 0);
    }
    log.fold(group, CONTEXT);
    log.append(transaction({ 3: 3 }), CONTEXT);
    expect(logged(state)).toEqual([{ 1: 1, 2: 5 }, { 3: 3 }]);
    expect(readCommitLog(state)[0]).toMatchObject({ committed: true, previousCommit: 8 });
  });
});

describe("readCommitLog()", () => {
  test("ends at the record that is torn at any byte, or has one bit flipped", () => {
    const files = memorySyncFiles();
    const log = new CommitLog(fileState(files, "/state"));
    log.append(transaction({ 1: 1 }), CONTEXT);
    const first = log.bytes;
    log.append(transaction({ 2: 2 }), CONTEXT);
    const bytes = files.bytes("/state/log") as Uint8Array;
    for (let size = 0; size < bytes.length; size++) {
      files.place("/state/log", bytes.subarray(0, size));
      expect(readCommitLog(fileState(files, "/state"))).toHaveLength(size < first ? 0 : 1);
    }
    for (let at = first; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      files.place("/state/log", damaged);
      expect(readCommitLog(fileState(files, "/state"))).toHaveLength(1);
    }
  });

  test("takes no record of an earlier log that lies behind a new one", () => {
    const files = memorySyncFiles();
    const log = new CommitLog(fileState(files, "/state"));
    log.append(transaction({ 1: 1 }), CONTEXT);
    log.append(transaction({ 2: 2 }), CONTEXT);
    const old = files.bytes("/state/log") as Uint8Array<ArrayBuffer>;
    log.clear();
    log.append(transaction({ 3: 3 }), CONTEXT);
    old.set(files.bytes("/state/log") as Uint8Array);
    files.place("/state/log", old);
    expect(logged(fileState(files, "/state"))).toEqual([{ 3: 3 }]);
  });
});
