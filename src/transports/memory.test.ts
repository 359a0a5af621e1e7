import { describe, expect, test } from "vitest";
import { fakeClock } from "../testing/fake-clock.ts";
import { readBody } from "../testing/test-kit.ts";
import { testObjectStore } from "../testing/test-object-store.ts";
import { memoryStore } from "./memory.ts";

testObjectStore(() => memoryStore(), { describe, test, expect, name: "memoryStore() contract" });

describe("memoryStore", () => {
  test("memoryStore() gives each version its own tag", async () => {
    const store = memoryStore();
    const tags = new Set<string>();
    for (let i = 0; i < 10; i++) tags.add((await store.put("a", new Uint8Array([1]))).etag);
    expect(tags.size).toBe(10);
  });

  test("memoryStore() dates objects by the clock it is given", async () => {
    const clock = fakeClock(1000);
    const store = memoryStore({ platform: { clock }, description: "here" });
    expect(store.description).toBe("here");
    const put = await store.put("a", new Uint8Array(1));
    put.lastModified.setTime(0);
    clock.advance(500);
    await store.put("b", new Uint8Array(1));
    expect((await store.head("a")).lastModified.getTime()).toBe(1000);
    expect((await store.head("b")).lastModified.getTime()).toBe(1500);
  });

  test("get() goes on with the version it began, chunk by chunk", async () => {
    const store = memoryStore();
    await store.put("a", new Uint8Array(3 << 20).fill(1));
    const { body } = await store.get("a");
    await store.put("a", new Uint8Array(3 << 20).fill(2));
    const bytes = await readBody(body);
    expect(bytes.length).toBe(3 << 20);
    expect(bytes.every((byte) => byte === 1)).toBe(true);
  });

  test("get() ends its body with an error when the signal is aborted", async () => {
    const store = memoryStore();
    await store.put("a", new Uint8Array(3 << 20));
    const aborter = new AbortController();
    const { body } = await store.get("a", { signal: aborter.signal });
    const reader = body.getReader();
    await reader.read();
    aborter.abort();
    await expect(reader.read()).rejects.toMatchObject({ code: "ABORTED" });
  });
});
