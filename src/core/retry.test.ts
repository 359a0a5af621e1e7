import { describe, expect, test } from "vitest";
import { fakePlatform, type FakePlatform } from "../testing/fake-platform.ts";
import { retry, type RetryOptions, sleep } from "./retry.ts";

class Failure extends Error {
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  constructor(retryable: boolean, retryAfterMs?: number) {
    super("failed");
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

function options(platform: FakePlatform, more: Partial<RetryOptions> = {}): RetryOptions {
  return { platform, operation: "upload", object: "a file", ...more };
}

/** Runs `attempt` under fake time; returns the pauses it took. */
async function pauses(
  attempt: (n: number) => Promise<string>,
  more: Partial<RetryOptions> = {},
): Promise<{ readonly delays: number[]; readonly result: string }> {
  const platform = fakePlatform(3);
  const delays: number[] = [];
  const onRetry = (_: unknown, __: number, delay: number): void => void delays.push(delay);
  const promise = retry(attempt, options(platform, { ...more, onRetry }));
  const outcome = promise.then(
    (value) => value,
    (error: Error) => error.message,
  );
  for (let i = 0; i < 50; i++) await platform.clock.advanceAsync(platform.clock.nextDelay ?? 0);
  return { delays, result: await outcome };
}

describe("retry()", () => {
  test("passes a success through without a pause", async () => {
    expect(await pauses(() => Promise.resolve("fine"))).toEqual({ delays: [], result: "fine" });
  });

  test("pauses below a bound that doubles up to its cap, and gives up after ten attempts", async () => {
    let attempts = 0;
    const { delays, result } = await pauses(
      () => {
        attempts++;
        return Promise.reject(new Failure(true));
      },
      { policy: { attempts: 10, baseMs: 250, capMs: 20_000, budgetMs: 1e9 } },
    );
    expect(attempts).toBe(10);
    expect(result).toBe("failed");
    delays.forEach((delay, i) => {
      expect(delay).toBeLessThanOrEqual(Math.min(20_000, 250 * 2 ** i));
    });
    expect(new Set(delays).size).toBeGreaterThan(5);
  });

  test("never repeats what cannot succeed later", async () => {
    let attempts = 0;
    const { result } = await pauses(() => {
      attempts++;
      return Promise.reject(new Failure(false));
    });
    expect([attempts, result]).toEqual([1, "failed"]);
  });

  test("waits at least as long as the store asks", async () => {
    const { delays, result } = await pauses((n) =>
      n === 1 ? Promise.reject(new Failure(true, 7_000)) : Promise.resolve("fine"),
    );
    expect([delays, result]).toEqual([[7_000], "fine"]);
  });

  test("begins no attempt past its budget", async () => {
    const { delays } = await pauses(() => Promise.reject(new Failure(true, 40_000)), {
      policy: { attempts: 10, baseMs: 1, capMs: 1, budgetMs: 100_000 },
    });
    expect(delays).toEqual([40_000, 40_000]);
  });

  test("ends with the caller's signal, also in the middle of a pause", async () => {
    const platform = fakePlatform(3);
    const controller = new AbortController();
    const promise = retry(
      () => Promise.reject(new Failure(true, 60_000)),
      options(platform, { signal: controller.signal }),
    );
    const outcome = expect(promise).rejects.toMatchObject({ code: "ABORTED" });
    await platform.clock.advanceAsync(0);
    controller.abort();
    await outcome;
    expect(platform.clock.pending).toBe(0);
  });
});

describe("sleep()", () => {
  test("sleep() ends at once with a signal that was aborted before, and leaves no timer", async () => {
    const platform = fakePlatform(1);
    const what = { platform, operation: "wait for", object: "a file" };
    const signal = AbortSignal.abort("enough");
    await expect(sleep(1000, { ...what, signal })).rejects.toMatchObject({ code: "ABORTED" });
    expect(platform.clock.pending).toBe(0);
  });

  test("sleep() ends with its time, or with a signal that comes first", async () => {
    const platform = fakePlatform(1);
    const what = { platform, operation: "wait for", object: "a file" };
    const aborter = new AbortController();
    const [slept, ended] = [sleep(1000, what), sleep(2000, { ...what, signal: aborter.signal })];
    await platform.clock.advanceAsync(1000);
    await slept;
    aborter.abort();
    await expect(ended).rejects.toMatchObject({ code: "ABORTED" });
    expect(platform.clock.pending).toBe(0);
  });
});
