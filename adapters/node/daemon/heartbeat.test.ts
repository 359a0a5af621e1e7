/** @module */
import { fakePlatform } from "pagestream/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startHeartbeat } from "./heartbeat.ts";
import type { DaemonDatabase } from "./status.ts";

const MINUTE = 60_000;

let platform: ReturnType<typeof fakePlatform>;
let pings: string[];
let errors: string[];
let answer: () => Promise<Response>;
let databases: DaemonDatabase[];
let end: (() => void) | undefined;
beforeEach(() => {
  platform = fakePlatform(1);
  pings = [];
  errors = [];
  databases = [];
  answer = async () => new Response("ok");
});
afterEach(() => end?.());

function begin(intervalMs = MINUTE): void {
  end = startHeartbeat({
    url: "http://127.0.0.1/ping",
    intervalMs,
    clock: platform.clock,
    databases: () => databases,
    onError: ({ message }) => errors.push(message),
    async fetch(url) {
      pings.push(`${platform.clock.now()} ${String(url)}`);
      return await answer();
    },
  });
}

function database(
  syncedAt: number | undefined,
  state: DaemonDatabase["state"] = "replicating",
): DaemonDatabase {
  return {
    path: "/app.db",
    replicaType: "file",
    replica: "/backup",
    state,
    error: undefined,
    position: undefined,
    stats: undefined,
    destinations: [],
    sizeBytes: 0,
    walBytes: 0,
    syncedAt,
    updatedAt: undefined,
    snapshotting: false,
  };
}

describe("startHeartbeat()", () => {
  test("startHeartbeat() tells of nothing while there is no database", async () => {
    begin();
    await platform.clock.advanceAsync(10 * MINUTE);
    expect(pings).toEqual([]);
  });

  test("startHeartbeat() sends a GET at the first look, and then once an interval", async () => {
    databases = [database(Number.POSITIVE_INFINITY)];
    begin(5 * MINUTE);
    await platform.clock.advanceAsync(15_000);
    expect(pings).toEqual([`${platform.clock.now()} http://127.0.0.1/ping`]);
    await platform.clock.advanceAsync(5 * MINUTE - 1);
    expect(pings).toHaveLength(1);
    await platform.clock.advanceAsync(1);
    expect(pings).toHaveLength(2);
  });

  test("startHeartbeat() counts an interval under a minute as a minute", async () => {
    databases = [database(Number.POSITIVE_INFINITY)];
    begin(1);
    await platform.clock.advanceAsync(15_000 + 3 * MINUTE);
    expect(pings).toHaveLength(4);
  });

  test("startHeartbeat() is silent while one database was not in its replica within the interval", async () => {
    databases = [database(Number.POSITIVE_INFINITY), database(platform.clock.now())];
    begin();
    await platform.clock.advanceAsync(15_000);
    expect(pings).toHaveLength(1);
    await platform.clock.advanceAsync(5 * MINUTE);
    expect(pings).toHaveLength(1);
    databases.pop();
    databases.push(database(undefined));
    await platform.clock.advanceAsync(MINUTE);
    expect(pings).toHaveLength(1);
    databases = [database(Number.POSITIVE_INFINITY), database(undefined, "stopped")];
    await platform.clock.advanceAsync(15_000);
    expect(pings).toHaveLength(2);
  });

  test.each([
    [
      "an answer that is no success",
      async () => new Response("", { status: 503 }),
      "the answer is 503",
    ],
    ["a network that fails", () => Promise.reject(new Error("refused")), "refused"],
  ])(
    "startHeartbeat() tells of %s, and tries again after the interval",
    async (_, fails, message) => {
      databases = [database(Number.POSITIVE_INFINITY)];
      answer = fails;
      begin();
      await platform.clock.advanceAsync(MINUTE);
      expect(errors).toEqual([message]);
      expect(pings).toHaveLength(1);
      await platform.clock.advanceAsync(15_000);
      expect(pings).toHaveLength(2);
    },
  );

  test("startHeartbeat() ends with its timer, and says nothing of a ping it cut short", async () => {
    databases = [database(Number.POSITIVE_INFINITY)];
    let fail: (error: Error) => void = () => undefined;
    answer = () => new Promise((_, reject) => (fail = reject));
    begin();
    await platform.clock.advanceAsync(15_000);
    end?.();
    fail(new Error("aborted"));
    await platform.clock.advanceAsync(10 * MINUTE);
    expect(errors).toEqual([]);
    expect(platform.clock.pending).toBe(0);
  });
});
