import { describe, expect, test } from "vitest";
import type { CommittedTransaction } from "../core/commit-source.ts";
import { CommitGroup } from "./commit-group.ts";

function commit(sequence: number, pages: Record<number, number>, size = 10): CommittedTransaction {
  const pgnos = Uint32Array.from(Object.keys(pages), Number);
  const view = new Uint8Array(512);
  return {
    sequence,
    pageSize: 512,
    commit: size,
    previousCommit: size,
    full: false,
    pages: {
      pgnos,
      read: (i) => view.fill(pages[pgnos[i] as number] as number),
      page: (pgno) => view.fill(pages[pgno] ?? 0),
    },
  };
}

function contents(group: CommitGroup): Record<number, number> {
  const pgnos = [...group.sortedNumbers()];
  return Object.fromEntries(pgnos.map((pgno) => [pgno, group.image(pgno)[0] as number]));
}

describe("CommitGroup", () => {
  test("add() keeps the latest image of each page, as a copy", () => {
    const group = new CommitGroup();
    group.add(commit(1, { 1: 1, 2: 2 }), 100);
    group.add(commit(2, { 2: 3, 12: 4 }, 12), 200);
    expect(contents(group)).toEqual({ 1: 1, 2: 3, 12: 4 });
    expect(group).toMatchObject({ commit: 12, lastSequence: 2, transactions: 2, since: 100 });
    expect(group.bytes).toBe(3 * 512);
    expect([...group.sortedNumbers()]).toEqual([1, 2, 12]);
  });

  test("dropImages() keeps the numbers and goes on collecting numbers", () => {
    const group = new CommitGroup();
    group.add(commit(1, { 9: 1, 2: 2 }), 0);
    group.dropImages();
    group.add(commit(2, { 2: 3, 4: 4 }), 0);
    expect(group).toMatchObject({ content: "numbers", bytes: 0 });
    expect([...group.sortedNumbers()]).toEqual([2, 4, 9]);
  });

  test("makeFull() needs no numbers", () => {
    const group = new CommitGroup();
    group.add(commit(1, { 9: 1 }), 0);
    group.makeFull();
    group.add(commit(2, { 2: 3 }), 0);
    expect(group.content).toBe("full");
    expect(group.sortedNumbers()).toHaveLength(0);
  });

  test("forgetUpTo() drops what a file already covers and keeps what came after", () => {
    const group = new CommitGroup();
    group.add(commit(1, { 1: 1, 2: 1 }), 0);
    group.add(commit(2, { 2: 2, 3: 2 }), 0);
    expect(group.forgetUpTo(1)).toBe(false);
    expect(contents(group)).toEqual({ 2: 2, 3: 2 });
    expect(group.bytes).toBe(2 * 512);
    expect(group.forgetUpTo(2)).toBe(true);
    expect(group).toMatchObject({ transactions: 0, bytes: 0, content: "images" });
  });

  test("forgetUpTo() keeps the need for every page, which may have come after the commit", () => {
    const group = new CommitGroup();
    group.makeFull();
    expect(group.forgetUpTo(9)).toBe(false);
    expect(group.content).toBe("full");
  });

  test("prepend() takes in an earlier group as numbers, or as the need for every page", () => {
    const earlier = new CommitGroup();
    earlier.add(commit(1, { 1: 1, 5: 1 }), 0);
    const group = new CommitGroup();
    group.add(commit(2, { 2: 2 }), 0);
    group.prepend(earlier);
    expect([...group.sortedNumbers()]).toEqual([1, 2, 5]);
    earlier.makeFull();
    group.prepend(earlier);
    expect(group.content).toBe("full");
  });
});
