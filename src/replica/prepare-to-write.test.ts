import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { storeFault } from "../testing/faulty-store.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore, StoreCapabilities } from "../transports/object-store.ts";
import { openReplica } from "./replica.ts";

test("prepareToWrite() asks the store, again after a passing failure, and plans with the answer", async () => {
  const platform = fakePlatform(1);
  const inner = memoryStore();
  let capabilities: StoreCapabilities = { ...inner.capabilities, conditionalPut: false };
  let asked = 0;
  const store: ObjectStore = {
    ...inner,
    get capabilities() {
      return capabilities;
    },
    async probe() {
      if (++asked === 1) throw storeFault();
      capabilities = inner.capabilities;
      return capabilities;
    },
  };
  const replica = openReplica(store, { platform });
  const file = { level: 0, minTxid: 1n, maxTxid: 1n, timestamp: 0n };
  await replica.write(file, new Uint8Array([1]));
  await replica.write(file, new Uint8Array([2]));

  const prepared = replica.prepareToWrite();
  await platform.clock.advanceAsync(60_000);
  await prepared;
  expect(asked).toBe(2);
  await expect(replica.write(file, new Uint8Array([3]))).rejects.toMatchObject({
    code: "PRECONDITION_FAILED",
  });
});

test("prepareToWrite() asks nothing of a store that knows", async () => {
  const platform = fakePlatform(1);
  await expect(openReplica(memoryStore(), { platform }).prepareToWrite()).resolves.toBeUndefined();
});
