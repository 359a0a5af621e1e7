import type { ObjectStore } from "pagestream";
import { formatFileName } from "pagestream/ltx";
import { fakePlatform } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { defaultConfig } from "../config/load-config.ts";
import { type LevelFault, startValidation } from "./validation.ts";

const MINUTE = 60_000;

let platform: ReturnType<typeof fakePlatform>;
let store: ObjectStore;
let faults: LevelFault[];
let errors: string[];
let opened: number;
let end: () => void;
beforeEach(() => {
  platform = fakePlatform(1);
  store = memoryStore();
  faults = [];
  errors = [];
  opened = 0;
  const database = defaultConfig({ env: {} }).database("/app.db", "/backup");
  end = startValidation({
    intervalMs: MINUTE,
    clock: platform.clock,
    databases: () => [database],
    async openStore() {
      opened++;
      return store;
    },
    onFault: (fault) => faults.push(fault),
    onError: (error, path) => errors.push(`${path}: ${error.message}`),
  });
});
afterEach(() => end());

async function put(level: number, minTxid: bigint, maxTxid: bigint): Promise<void> {
  await store.put(`ltx/${level}/${formatFileName(minTxid, maxTxid)}`, new Uint8Array(100));
}

describe("startValidation()", () => {
  test("startValidation() tells of gaps and overlaps, at each look", async () => {
    await put(0, 1n, 1n);
    await put(0, 2n, 2n);
    await put(0, 4n, 4n);
    await put(1, 1n, 3n);
    await put(1, 3n, 5n);
    await put(9, 1n, 2n);
    await put(9, 1n, 5n);
    await platform.clock.advanceAsync(MINUTE - 1);
    expect(faults).toEqual([]);
    await platform.clock.advanceAsync(1);
    const place = { database: "/app.db", replica: "/backup" };
    expect(faults).toEqual([
      { ...place, level: 0, fault: "gap", after: 2n, before: 4n },
      { ...place, level: 1, fault: "overlap", after: 3n, before: 3n },
    ]);
    await platform.clock.advanceAsync(MINUTE);
    expect([faults.length, errors]).toEqual([4, []]);
  });

  test("startValidation() says nothing of levels that are whole", async () => {
    await put(0, 7n, 7n);
    await put(0, 8n, 8n);
    await put(1, 1n, 6n);
    await platform.clock.advanceAsync(3 * MINUTE);
    expect([faults, errors, opened]).toEqual([[], [], 3]);
  });

  test("startValidation() tells of a replica that it cannot look at, and looks again", async () => {
    const whole = store;
    store = {
      ...memoryStore(),
      // oxlint-disable-next-line require-yield
      async *list() {
        throw new Error("away");
      },
    };
    await platform.clock.advanceAsync(MINUTE);
    expect(errors).toEqual(["/app.db: away"]);
    store = whole;
    await put(0, 1n, 1n);
    await put(0, 3n, 3n);
    await platform.clock.advanceAsync(MINUTE);
    expect(faults).toHaveLength(1);
  });

  test("startValidation() ends when told to", async () => {
    end();
    await platform.clock.advanceAsync(5 * MINUTE);
    expect(opened).toBe(0);
  });
});
