import { fakeClock } from "pagestream/testing";
import { describe, expect, test } from "vitest";
import { WalPace } from "./wal-pace.ts";

/** What a busy follower does for some time, if commits are there at each look. */
function busy(groupMs: number | undefined, forMs: number) {
  const clock = fakeClock();
  clock.advance(1000);
  const pace = new WalPace(clock, groupMs);
  const done = { looks: 0, takes: 0, moves: 0, both: 0 };
  for (const end = clock.monotonic() + forMs; clock.monotonic() < end;) {
    const { take, move } = pace.due(true);
    done.looks++;
    if (take) done.takes++;
    if (move) done.moves++;
    if (take && move) done.both++;
    if (take) pace.taken();
    if (move) pace.moved();
    clock.advance(Math.max(2, pace.nextMs));
  }
  return done;
}

describe("WalPace", () => {
  test("WalPace takes commits once a group, and moves on for checkpoints in between", () => {
    const { takes, moves, both } = busy(1000, 10_000);
    expect(takes).toBe(10);
    expect(both).toBe(takes);
    expect(moves).toBeGreaterThanOrEqual(10_000 / 80);
    expect(moves).toBeLessThan(150);
  });

  test("WalPace moves on more rarely than it takes commits, where files are cut closely", () => {
    for (const groupMs of [undefined, 10]) {
      const { takes, moves, both, looks } = busy(groupMs, 10_000);
      expect(takes).toBeGreaterThan(900);
      expect(looks).toBe(takes);
      expect(both).toBe(moves);
      expect(moves).toBeLessThan(150);
    }
  });

  test("WalPace leaves nothing in the log for longer than a second", () => {
    expect(busy(60_000, 10_000).takes).toBe(10);
  });

  test("WalPace does everything at once after a rest", () => {
    const clock = fakeClock();
    const pace = new WalPace(clock, 1000);
    expect(pace.due(false)).toEqual({ take: true, move: true });
    pace.taken();
    clock.advance(300);
    expect(pace.due(false)).toEqual({ take: false, move: true });
    expect(pace.takeMs).toBe(700);
    clock.advance(700);
    expect(pace.due(false)).toEqual({ take: true, move: true });
  });
});
