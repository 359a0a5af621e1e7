import { fakeClock } from "pagestream/testing";
import { describe, expect, test } from "vitest";
import { busyMsOf, Wakeups } from "./wal-wakeups.ts";

/** Wake-ups of a database whose application commits when the test says so. */
function watched(busyMs: number) {
  const clock = fakeClock();
  const watches = new Set<() => void>();
  let written = 0;
  let seen = 0;
  let againMs: number | undefined;
  const looks: number[] = [];
  const wakeups = new Wakeups({
    clock,
    tickMs: 60_000,
    busyMs,
    watch: (_path, changed) => {
      watches.add(changed);
      return () => void watches.delete(changed);
    },
    look: () => {
      looks.push(clock.monotonic());
      const changed = seen < written;
      seen = written;
      return { changed, settled: true, againMs };
    },
  });
  wakeups.watch(["app.db-wal", "app.db"]);
  const commit = (): void => {
    written++;
    for (const changed of watches) changed();
  };
  return {
    clock,
    watches,
    looks,
    wakeups,
    commit,
    missed: () => written - seen,
    press: (ms: number) => (againMs = ms),
  };
}

describe("Wakeups", () => {
  test("Wakeups looks at once when it is told of a write, and not again where all is settled", () => {
    const { clock, looks, commit } = watched(8);
    clock.advance(1000);
    commit();
    expect(looks).toHaveLength(1);
    clock.advance(1000);
    // The second of the two watches told of it, too.
    expect(looks.length).toBeLessThanOrEqual(2);
  });

  test("Wakeups goes by the clock while commits follow each other, and is told of them again when they cease", () => {
    const { clock, watches, looks, wakeups, commit, missed } = watched(60);
    for (let i = 0; i < 100; i++) {
      commit();
      clock.advance(10);
    }
    expect(watches.size).toBe(0);
    expect(wakeups.isWatching).toBe(true);
    expect(looks.length).toBeLessThan(40);
    clock.advance(60);
    expect(missed()).toBe(0);
    clock.advance(1000);
    expect(watches.size).toBe(2);
    const count = looks.length;
    clock.advance(30_000);
    expect(looks).toHaveLength(count);
    commit();
    expect(missed()).toBe(0);
  });

  test("Wakeups looks earlier than the clock says where there is something to do", () => {
    const { clock, looks, commit, press } = watched(60);
    press(5);
    for (let i = 0; i < 100; i++) {
      commit();
      clock.advance(5);
    }
    expect(looks.length).toBeGreaterThan(80);
  });

  test("Wakeups sees what was written as it began to watch again", () => {
    const { clock, watches, commit, missed } = watched(8);
    for (let i = 0; i < 20; i++) {
      commit();
      clock.advance(8);
    }
    expect(watches.size).toBe(0);
    for (let i = 0; watches.size === 0; i++) {
      expect(i).toBeLessThan(1000);
      clock.advance(1);
    }
    // Nobody is told of this one.
    watches.clear();
    commit();
    clock.advance(2);
    expect(missed()).toBe(0);
  });

  test("busyMsOf() keeps looks within what a checkpoint can wait for", () => {
    expect([undefined, 10, 200, 1000, 60_000].map((groupMs) => busyMsOf(groupMs))).toEqual([
      8, 8, 12.5, 60, 60,
    ]);
  });
});
