import { fakeClock } from "pagestream/testing";
import { describe, expect, test } from "vitest";
import { WalPace } from "./wal-pace.ts";

/** What a busy follower does while commits are there at each look, until they cease; `waits` is asked after each move from then on. */
function busy(
  groupMs: number | undefined,
  forMs: number,
  waits: (move: number) => boolean = () => false,
) {
  const clock = fakeClock();
  clock.advance(1000);
  const pace = new WalPace(clock, groupMs);
  const done = { looks: 0, takes: 0, moves: 0, both: 0, waitedMs: 0 };
  const end = clock.monotonic() + forMs;
  let ceased = 0;
  for (let isNew = true; clock.monotonic() < end || waits(ceased);) {
    const { take, move, patient } = pace.due(true);
    const moves = move && !(patient && isNew);
    done.looks++;
    if (take) done.takes++;
    if (moves) done.moves++;
    if (take && moves) done.both++;
    if (take) pace.taken();
    if (moves) pace.moved(!isNew);
    else if (move) pace.stayed();
    if (moves && clock.monotonic() >= end) ceased++;
    // The first look after the end finds what was committed before.
    isNew = clock.monotonic() < end;
    done.waitedMs = clock.monotonic() - end;
    clock.advance(Math.max(2, Math.ceil(pace.nextMs)));
  }
  return done;
}

describe("WalPace", () => {
  test("WalPace takes commits once a group, and leaves the read transaction there while they go on", () => {
    const { looks, takes, moves, both } = busy(1000, 10_050);
    expect(takes).toBe(10);
    expect([moves, both]).toEqual([takes, takes]);
    // In between it looks whether they do.
    expect(looks).toBeGreaterThanOrEqual(10_000 / 60);
    expect(looks).toBeLessThan(190);
  });

  test("WalPace moves on once a second where files are cut closely and commits go on", () => {
    for (const groupMs of [undefined, 10]) {
      const { takes, moves, both, looks } = busy(groupMs, 10_000);
      expect(takes).toBeGreaterThan(900);
      expect(looks).toBe(takes);
      expect(both).toBe(moves);
      expect(moves).toBeGreaterThanOrEqual(10);
      expect(moves).toBeLessThan(15);
    }
  });

  test("WalPace lets a checkpoint through, which takes two moves, within 150 ms of whenever commits cease", () => {
    for (const groupMs of [undefined, 10, 59, 60, 500, 1000, 60_000]) {
      for (let ms = 2000; ms < 3100; ms += 7) {
        const { waitedMs } = busy(groupMs, ms, (moves) => moves < 2);
        expect([groupMs, ms, waitedMs <= 150]).toEqual([groupMs, ms, true]);
      }
    }
  });

  test("WalPace leaves nothing in the log for longer than a second", () => {
    expect(busy(60_000, 10_050).takes).toBe(10);
  });

  test("WalPace does everything at once after a rest", () => {
    const clock = fakeClock();
    const pace = new WalPace(clock, 1000);
    expect(pace.due(false)).toEqual({ take: true, move: true, patient: false });
    pace.taken();
    clock.advance(300);
    expect(pace.due(false)).toEqual({ take: false, move: true, patient: false });
    expect(pace.takeMs).toBe(705);
    clock.advance(705);
    expect(pace.due(false)).toEqual({ take: true, move: true, patient: false });
  });
});
