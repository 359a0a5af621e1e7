import { describe, expect, test } from "vitest";
import { FAKE_START, fakeClock } from "./fake-clock.ts";
import { fakePlatform } from "./fake-platform.ts";

describe("fakeClock", () => {
  test("fakeClock() stands still", () => {
    const clock = fakeClock();
    expect(clock.now()).toBe(FAKE_START);
    expect(clock.monotonic()).toBe(0);
    expect(fakeClock(5).now()).toBe(5);
  });

  test("advance() runs timers at their own time, earliest first, and those that they add", () => {
    const clock = fakeClock(1000);
    const log: string[] = [];
    clock.schedule(() => log.push(`b ${clock.now()}`), 20);
    clock.schedule(() => {
      log.push(`a ${clock.now()}`);
      clock.schedule(() => log.push(`c ${clock.now()}`), 5);
    }, 10);
    clock.schedule(() => log.push("late"), 1001);
    expect(clock.nextDelay).toBe(10);
    clock.advance(1000);
    expect(log).toEqual(["a 1010", "c 1015", "b 1020"]);
    expect(clock.now()).toBe(2000);
    expect(clock.pending).toBe(1);
    expect(clock.nextDelay).toBe(1);
  });

  test("schedule() runs timers of the same time in the order they were made", () => {
    const clock = fakeClock();
    const log: number[] = [];
    for (let i = 0; i < 5; i++) clock.schedule(() => log.push(i), 7);
    clock.advance(7);
    expect(log).toEqual([0, 1, 2, 3, 4]);
  });

  test("schedule() returns a function that cancels", () => {
    const clock = fakeClock();
    const cancel = clock.schedule(() => expect.unreachable(), 1);
    cancel();
    cancel();
    clock.advance(10);
    expect(clock.pending).toBe(0);
    expect(clock.nextDelay).toBeUndefined();
  });

  test("advanceAsync() lets promises run between timers", async () => {
    const clock = fakeClock(0);
    const wait = (ms: number): Promise<void> =>
      new Promise((resolve) => void clock.schedule(resolve, ms));
    const times: number[] = [];
    const work = (async () => {
      for (let i = 0; i < 4; i++) {
        await wait(10);
        for (let j = 0; j < 50; j++) await Promise.resolve();
        times.push(clock.now());
      }
    })();
    await clock.advanceAsync(35);
    expect(times).toEqual([10, 20, 30]);
    expect(clock.now()).toBe(35);
    await clock.advanceAsync(5);
    await work;
    expect(times).toEqual([10, 20, 30, 40]);
  });

  test("jumpWall() moves the wall clock alone", () => {
    const clock = fakeClock(1000);
    clock.schedule(() => expect.unreachable(), 10);
    clock.jumpWall(3_600_000);
    expect(clock.now()).toBe(3_601_000);
    expect(clock.monotonic()).toBe(0);
    clock.jumpWall(-3_601_000);
    expect(clock.now()).toBe(0);
  });

  test("fakePlatform() draws its random bytes from the seed", () => {
    expect(fakePlatform(1).randomBytes(16)).toEqual(fakePlatform(1).randomBytes(16));
    expect(fakePlatform(1).randomBytes(16)).not.toEqual(fakePlatform(2).randomBytes(16));
    expect(fakePlatform(1, 77).clock.now()).toBe(77);
  });
});
