import { fakeClock } from "pagestream/testing";
import { describe, expect, test } from "vitest";
import { Wakeups } from "./wal-wakeups.ts";

/** Wake-ups of a database whose application commits when the test says so. */
function watched(busyMs: number) {
  const clock = fakeClock();
  const watches = new Set<() => void>();
  let written = 0;
  let seen = 0;
  let againMs = Infinity;
  const looks: number[] = [];
  const wakeups = new Wakeups({
    clock,
    tickMs: 60_000,
    watch: (_path, changed) => {
      watches.add(changed);
      return () => void watches.delete(changed);
    },
    look: (isBusy) => {
      looks.push(clock.monotonic());
      const changed = seen < written;
      seen = written;
      return { changed, settled: true, againMs: isBusy ? Math.min(againMs, busyMs) : againMs };
    },
  });
  wakeups.watch(["app.db-wal", "app.db"]);
  const publish = (): void => void written++;
  const write = (): void => watches.forEach((changed) => changed());
  const commit = (): void => {
    publish();
    write();
  };
  return {
    clock,
    watches,
    looks,
    wakeups,
    write,
    publish,
    commit,
    missed: () => written - seen,
    press: (ms: number) => (againMs = ms),
  };
}

describe("Wakeups", () => {
  test("Wakeups looks at once when it is told of a write, ever less for a second after, and then no more", () => {
    const { clock, looks, commit } = watched(8);
    clock.advance(1000);
    commit();
    expect(looks).toHaveLength(1);
    clock.advance(2000);
    const count = looks.length;
    expect(count).toBeLessThanOrEqual(12);
    clock.advance(30_000);
    expect(looks).toHaveLength(count);
  });

  test("Wakeups sees a commit that is published after its frames were written, which nobody tells of", () => {
    for (const syncMs of [1, 3, 20, 100, 300, 900]) {
      const { clock, write, publish, missed } = watched(8);
      clock.advance(1000);
      write();
      clock.advance(syncMs);
      publish();
      expect(missed()).toBe(1);
      clock.advance(Math.max(4, syncMs));
      expect([syncMs, missed()]).toEqual([syncMs, 0]);
    }
  });

  test("Wakeups goes by the clock while commits follow each other, and is told of them again when they cease", () => {
    const { clock, watches, looks, wakeups, commit, missed } = watched(60);
    for (let i = 0; i < 100; i++) {
      commit();
      clock.advance(10);
    }
    expect(watches.size).toBe(0);
    expect(wakeups.isWatching).toBe(true);
    expect(looks.length).toBeLessThan(50);
    clock.advance(60);
    expect(missed()).toBe(0);
    clock.advance(2000);
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

  test("Wakeups looks again when it was asked to, although nobody writes", () => {
    const { clock, looks, commit, press } = watched(60);
    clock.advance(1000);
    commit();
    clock.advance(3000);
    const count = looks.length;
    press(400);
    commit();
    clock.advance(2000);
    expect(looks.length).toBeGreaterThan(count + 11);
    press(Infinity);
    clock.advance(2000);
    const last = looks.length;
    clock.advance(30_000);
    expect(looks).toHaveLength(last);
  });
});
