import { describe, expect, test } from "vitest";
import type { Clock } from "../core/platform.ts";
import { fakeClock, FAKE_START } from "../testing/index.ts";
import { Scheduler } from "./scheduler.ts";

/** A task that a test ends. */
function held(): { task: () => Promise<void>; end: () => void; readonly starts: number } {
  let end = (): void => {};
  const state = {
    starts: 0,
    end: () => end(),
    task: () => {
      state.starts++;
      return new Promise<void>((resolve) => (end = resolve));
    },
  };
  return state;
}

describe("Scheduler", () => {
  test("Scheduler has one timer for all tasks and none without any", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock);
    expect(clock.pending).toBe(0);
    const ran: string[] = [];
    for (const [name, delay] of [
      ["c", 3000],
      ["a", 1000],
      ["b", 2000],
    ] as const) {
      scheduler.schedule({}, FAKE_START + delay, async () => void ran.push(name));
    }
    expect(clock.pending).toBe(1);
    expect(clock.nextDelay).toBe(1000);
    await clock.advanceAsync(2500);
    expect(ran).toEqual(["a", "b"]);
    expect(clock.pending).toBe(1);
    await clock.advanceAsync(2500);
    expect(ran).toEqual(["a", "b", "c"]);
    expect([clock.pending, scheduler.size]).toEqual([0, 0]);
  });

  test("Scheduler replaces the task that waits for a key, by a later one too", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock);
    const key = {};
    const ran: number[] = [];
    const at = (ms: number): void =>
      scheduler.schedule(key, FAKE_START + ms, async () => void ran.push(ms));
    at(1000);
    at(5000);
    at(3000);
    await clock.advanceAsync(2999);
    expect(ran).toEqual([]);
    await clock.advanceAsync(10_000);
    expect(ran).toEqual([3000]);
  });

  test("Scheduler keeps nothing of a task that was put off a thousand times", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock);
    const [key, ran] = [{}, [] as number[]];
    for (let i = 1; i <= 1000; i++) {
      scheduler.schedule(key, FAKE_START + i, async () => void ran.push(i));
    }
    for (let i = 0; i < 70; i++) scheduler.schedule({}, FAKE_START + 5000 + i, async () => {});
    await clock.advanceAsync(2000);
    expect(ran).toEqual([1000]);
    expect(scheduler.size).toBe(70);
    await clock.advanceAsync(4000);
    expect([scheduler.size, clock.pending]).toEqual([0, 0]);
  });

  test("Scheduler runs so many tasks at once, those due longest first, and a key never twice", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock, { concurrency: 2 });
    const [first, second, third] = [held(), held(), held()];
    const key = {};
    scheduler.schedule({}, FAKE_START + 30, third.task);
    scheduler.schedule(key, FAKE_START + 10, first.task);
    scheduler.schedule({}, FAKE_START + 20, second.task);
    await clock.advanceAsync(100);
    expect([first.starts, second.starts, third.starts]).toEqual([1, 1, 0]);
    expect(clock.pending).toBe(0);
    const again = held();
    scheduler.schedule(key, FAKE_START, again.task);
    second.end();
    await clock.advanceAsync(0);
    expect([third.starts, again.starts]).toEqual([1, 0]);
    first.end();
    await clock.advanceAsync(0);
    expect([third.starts, again.starts]).toEqual([1, 1]);
  });

  test("Scheduler goes on after a task that fails", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock, { concurrency: 1 });
    const ran: string[] = [];
    scheduler.schedule({}, FAKE_START, () => Promise.reject(new Error("no")));
    scheduler.schedule({}, FAKE_START, async () => void ran.push("next"));
    await clock.advanceAsync(0);
    expect(ran).toEqual(["next"]);
  });

  test("Scheduler.cancel() forgets the task that waits and outlasts the one that runs", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock);
    const [key, running] = [{}, held()];
    scheduler.schedule(key, FAKE_START, running.task);
    await clock.advanceAsync(0);
    scheduler.schedule(key, FAKE_START + 10, running.task);
    let cancelled = false;
    const done = scheduler.cancel(key).then(() => (cancelled = true));
    await clock.advanceAsync(100);
    expect([cancelled, running.starts, clock.pending]).toEqual([false, 1, 0]);
    running.end();
    await done;
  });

  test("Scheduler follows the wall clock: back it waits longer, and far times need no longer timer", async () => {
    const clock = fakeClock();
    const scheduler = new Scheduler(clock);
    const ran: number[] = [];
    scheduler.schedule({}, FAKE_START + 1000, async () => void ran.push(clock.now()));
    clock.jumpWall(-500);
    await clock.advanceAsync(1000);
    expect(ran).toEqual([]);
    await clock.advanceAsync(500);
    expect(ran).toEqual([FAKE_START + 1000]);
    const year = 365 * 86_400_000;
    scheduler.schedule({}, clock.now() + year, async () => void ran.push(clock.now()));
    expect(clock.nextDelay).toBe(2 ** 31 - 1);
    await clock.advanceAsync(year);
    expect(ran.length).toBe(2);
  });

  test("Scheduler keeps no process alive", () => {
    const clock = fakeClock();
    const background: (boolean | undefined)[] = [];
    const schedule = (...args: Parameters<Clock["schedule"]>): (() => void) => {
      background.push(args[2]);
      return clock.schedule(...args);
    };
    new Scheduler({ ...clock, schedule }).schedule({}, FAKE_START + 1000, async () => {});
    expect(background).toEqual([true]);
  });
});
