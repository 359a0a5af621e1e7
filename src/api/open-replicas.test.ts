import { describe, expect, test } from "vitest";
import { fakePlatform } from "../testing/index.ts";
import { StoreError } from "../transports/errors.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { newestReplica, openReplicas } from "./open-replicas.ts";

const platform = fakePlatform(1);

/** A store with one L0 file, whose content nobody reads here. */
async function storeAt(description: string, txid: number): Promise<ObjectStore> {
  const store = memoryStore({ description });
  const name = txid.toString(16).padStart(16, "0");
  if (txid > 0) await store.put(`ltx/0/${name}-${name}.ltx`, new Uint8Array(200));
  return store;
}

function dead(description: string): ObjectStore {
  return {
    ...memoryStore({ description }),
    // oxlint-disable-next-line require-yield
    async *list() {
      const what = { operation: "list", object: description, what: "no connection" };
      throw new StoreError(what, { retryable: false });
    },
  };
}

describe("openReplicas()", () => {
  test("opens one store, or several in their order", () => {
    const [a, b] = [memoryStore({ description: "a" }), memoryStore({ description: "b" })];
    expect(openReplicas(a, platform).map(({ store }) => store)).toEqual([a]);
    expect(openReplicas([b, a], platform).map(({ store }) => store)).toEqual([b, a]);
  });

  test("refuses none, and the same place twice", () => {
    expect(() => openReplicas([], platform)).toThrow(/the list is empty/);
    const twice = [memoryStore({ description: "a" }), memoryStore({ description: "a" })];
    expect(() => openReplicas(twice, platform)).toThrow(/a is given twice/);
  });
});

describe("newestReplica()", () => {
  const newest = async (...stores: ObjectStore[]): Promise<string> => {
    const replica = await newestReplica(openReplicas(stores, platform), undefined);
    return replica.description;
  };

  test("finds the one that goes furthest", async () => {
    expect(await newest(await storeAt("a", 3), await storeAt("b", 5), await storeAt("c", 0))).toBe(
      "b",
    );
    expect(await newest(await storeAt("a", 3), await storeAt("b", 3))).toBe("a");
  });

  test("restores from those that answer, but begins nothing anew while one is silent", async () => {
    expect(await newest(dead("a"), await storeAt("b", 5))).toBe("b");
    await expect(newest(dead("a"), await storeAt("b", 0))).rejects.toMatchObject({ code: "STORE" });
  });

  test("asks nothing of a single one", async () => {
    expect(await newest(dead("a"))).toBe("a");
  });
});
