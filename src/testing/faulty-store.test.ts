import { describe, expect, test } from "vitest";
import { memoryStore } from "../transports/memory.ts";
import { fakeClock } from "./fake-clock.ts";
import { faultyStore, storeFault } from "./faulty-store.ts";
import { collect, failure, readBody } from "./test-kit.ts";
import { testObjectStore } from "./test-object-store.ts";

testObjectStore(() => faultyStore(memoryStore()), {
  describe,
  test,
  expect,
  name: "faultyStore() without faults keeps the contract",
});

describe("faultyStore", () => {
  test("faultyStore() throws before the operation, which then has not happened", async () => {
    const store = faultyStore(memoryStore());
    store.failNext("put", { before: storeFault() });
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("STORE");
    expect(await failure(() => store.head("a"))).toBe("NOT_FOUND");
    await store.put("a", new Uint8Array(1));
  });

  test("faultyStore() loses the response of an operation that has happened", async () => {
    const store = faultyStore(memoryStore());
    store.failNext("put", { after: storeFault() });
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("STORE");
    expect((await store.head("a")).size).toBe(1);
    store.failNext("delete", { after: storeFault() });
    expect(await failure(() => store.delete(["a"]))).toBe("STORE");
    expect(await failure(() => store.head("a"))).toBe("NOT_FOUND");
  });

  test("faultyStore() logs and counts every call", async () => {
    const store = faultyStore(memoryStore());
    await store.put("a", new Uint8Array(9));
    await store.get("a", { offset: 2, length: 3 });
    await failure(() => store.get("b"));
    await store.delete(["a", "c"]);
    await collect(store.list({ prefix: "x" }));
    expect(store.requests.map((r) => [r.sequence, r.operation, r.count, r.keys])).toEqual([
      [1, "put", 1, ["a"]],
      [2, "get", 1, ["a"]],
      [3, "get", 2, ["b"]],
      [4, "delete", 1, ["a", "c"]],
      [5, "list", 1, ["x"]],
    ]);
    expect(store.requests[1]).toMatchObject({ offset: 2, length: 3 });
    expect([store.count(), store.count("get"), store.count("head")]).toEqual([5, 2, 0]);
    store.reset();
    expect(store.count()).toBe(0);
  });

  test("faultyStore() asks its plan at each call", async () => {
    const store = faultyStore(memoryStore(), {
      fault: ({ operation, count }) =>
        operation === "put" && count % 2 === 1 ? { before: new Error(`put ${count}`) } : undefined,
    });
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("Error: put 1");
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("no error");
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("Error: put 3");
  });

  test("faultyStore() cuts bodies and listings with an error", async () => {
    const store = faultyStore(memoryStore());
    await store.put("a", new Uint8Array([1, 2, 3, 4, 5]));
    await store.put("b", new Uint8Array(1));
    for (const cutAfter of [0, 3, 5, 9]) {
      store.failNext("get", { cutAfter });
      const { body } = await store.get("a");
      const seen: number[] = [];
      const read = async (): Promise<void> => {
        for await (const chunk of body) seen.push(...chunk);
      };
      expect(await failure(read)).toBe("STORE");
      expect(seen).toEqual([1, 2, 3, 4, 5].slice(0, cutAfter));
    }
    for (const cutAfter of [0, 1, 2]) {
      store.failNext("list", { cutAfter });
      const seen: string[] = [];
      const read = async (): Promise<void> => {
        for await (const { key } of store.list()) seen.push(key);
      };
      expect(await failure(read)).toBe("STORE");
      expect(seen).toEqual(["a", "b"].slice(0, cutAfter));
    }
    expect((await readBody((await store.get("a")).body)).length).toBe(5);
  });

  test("faultyStore() delays by the clock of its plan", async () => {
    const clock = fakeClock();
    const store = faultyStore(memoryStore(), { clock, fault: () => ({ delayMs: 500 }) });
    let done = false;
    const put = store.put("a", new Uint8Array(1)).then(() => (done = true));
    await clock.advanceAsync(499);
    expect(done).toBe(false);
    await clock.advanceAsync(1);
    await put;
    expect(done).toBe(true);
  });
});
