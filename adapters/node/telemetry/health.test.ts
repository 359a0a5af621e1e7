/** @module */
import { StoreError } from "pagestream";
import { describe, expect, test } from "vitest";
import type { DaemonDatabase } from "../daemon/status.ts";
import { healthOf, type HealthOptions } from "./health.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");
const MINUTE = 60_000;

const destination = {
  name: "file:///backup",
  state: "following",
  replicated: 10n,
  lagMs: 0,
  pendingBytes: 0,
  error: undefined,
} as const;

const good: DaemonDatabase = {
  path: "/app.db",
  replicaType: "file",
  replica: "file:///backup",
  state: "replicating",
  error: undefined,
  position: { local: 10n, staged: 10n, replicated: 10n },
  stats: undefined,
  destinations: [destination],
  sizeBytes: 4096,
  walBytes: 0,
  syncedAt: NOW - 1000,
  updatedAt: NOW - 1000,
  snapshotting: false,
};

function health(changes: Partial<DaemonDatabase>, options: HealthOptions = {}) {
  const status = {
    startedAt: NOW - 10 * MINUTE,
    databases: [{ ...good, ...changes }],
    requests: undefined,
  };
  return healthOf(status, { now: NOW, ...options });
}

const error = new StoreError({ operation: "put", object: "k", what: "no route to host" });

describe("healthOf()", () => {
  test("healthOf() calls a database restorable whose replica has all but the last minute", () => {
    expect(health({})).toEqual({
      status: "ok",
      max_lag_seconds: 60,
      databases: [
        {
          db: "/app.db",
          state: "replicating",
          restorable: true,
          local_txid: "000000000000000a",
          replicated_txid: "000000000000000a",
          lag_seconds: 0,
          last_success: "2026-11-20T11:59:59.000Z",
        },
      ],
    });
    expect(health({ state: "resting" }).status).toBe("ok");
    const late = [{ ...destination, lagMs: MINUTE }];
    expect(health({ state: "stalled", destinations: late }).status).toBe("ok");
  });

  test.each([
    ["has started and holds nothing", { position: { local: 1n, staged: 1n, replicated: 0n } }],
    ["has not started yet", { state: "starting", position: undefined, destinations: [] }],
    ["waits for its store", { state: "waiting", error, destinations: [] }],
    ["lost its replica to another writer", { state: "conflict", error }],
    ["lags", { destinations: [destination, { ...destination, lagMs: MINUTE + 1 }] }],
    ["runs no more and had all ten minutes ago", { syncedAt: undefined, destinations: [] }],
  ] as const)("healthOf() fails for a database that %s", (_, changes) => {
    const { status, databases } = health(changes);
    expect(status).toBe("failing");
    expect(databases[0]).toMatchObject({ restorable: false, reason: expect.any(String) });
  });

  test("healthOf() names the reason, and the error behind it", () => {
    const late = [{ ...destination, lagMs: 90_000 }];
    const { databases } = health({ state: "stalled", error, destinations: late });
    expect(databases[0]?.reason).toBe(
      "the replica lags behind by 90 s: Cannot put k: no route to host",
    );
  });

  test("healthOf() takes the bound that it is given", () => {
    const late = { destinations: [{ ...destination, lagMs: 5001 }] };
    expect(health(late, { maxLagMs: 5000 }).status).toBe("failing");
    expect(health(late, { maxLagMs: 5001 }).status).toBe("ok");
  });

  test("healthOf() does not count a database that was stopped by request", () => {
    const { status, databases } = health({ state: "stopped", destinations: [] });
    expect(status).toBe("ok");
    expect(databases[0]).toMatchObject({ restorable: false, reason: "it was stopped by request" });
  });

  test("healthOf() takes an empty database as it is", () => {
    const nothing = { local: 0n, staged: 0n, replicated: 0n };
    expect(health({ position: nothing }).status).toBe("ok");
  });
});
