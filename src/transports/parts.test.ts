import { expect, test } from "vitest";
import { streamOf } from "../testing/object-store-suite.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { bodyParts, inParallel } from "./parts.ts";

const CONTEXT = { operation: "write", object: "key" };

/** Lengths of the parts, that of the last one negative. */
async function cut(body: Uint8Array | AsyncIterable<Uint8Array>, size: number): Promise<number[]> {
  const lengths: number[] = [];
  const whole: number[] = [];
  for await (const part of bodyParts(body, size, CONTEXT)) {
    expect(part.index).toBe(lengths.length);
    whole.push(...part.bytes);
    lengths.push(part.last ? -part.bytes.length : part.bytes.length);
  }
  const expected = body instanceof Uint8Array ? [...body] : undefined;
  if (expected !== undefined) expect(whole).toEqual(expected);
  return lengths;
}

test("bodyParts() cuts at the size of a part and knows the last", async () => {
  for (const length of [0, 1, 9, 10, 11, 20, 25]) {
    const bytes = seededRandom(length).bytes(length);
    const expected: number[] = [];
    for (let rest = length; rest > 10; rest -= 10) expected.push(10);
    expected.push(-(length - 10 * expected.length));
    expect(await cut(bytes, 10)).toEqual(expected);
    expect(await cut(streamOf(bytes, [3, 1, 12]), 10)).toEqual(expected);
  }
});

test("bodyParts() keeps bytes of a source that uses its array again", async () => {
  const bytes = seededRandom(7).bytes(1000);
  const parts: Uint8Array[] = [];
  for await (const part of bodyParts(streamOf(bytes, [7, 100]), 64, CONTEXT))
    parts.push(part.bytes);
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

test("inParallel() keeps the order, and never more at once than told", async () => {
  let running = 0;
  let most = 0;
  const results = await inParallel([5, 1, 4, 2, 3], 2, async (item) => {
    most = Math.max(most, ++running);
    for (let i = 0; i < item; i++) await Promise.resolve();
    running--;
    return item * 10;
  });
  expect(results).toEqual([50, 10, 40, 20, 30]);
  expect(most).toBe(2);
});

test("inParallel() stops at the first failure, tells the others and waits for them", async () => {
  const begun: number[] = [];
  let ended = 0;
  const working = inParallel([0, 1, 2, 3, 4], 2, async (item, signal) => {
    begun.push(item);
    if (item === 1) throw new Error("the second fails");
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    ended++;
    return item;
  });
  await expect(working).rejects.toThrow("the second fails");
  expect([begun, ended]).toEqual([[0, 1], 1]);
});

test("inParallel() ends with the failure of its source", async () => {
  async function* source(): AsyncGenerator<number> {
    yield 1;
    throw new Error("no more");
  }
  await expect(inParallel(source(), 4, async (item) => item)).rejects.toThrow("no more");
});
