/**
 * What a contract suite needs of a test runner, and the few helpers that all suites share. Vitest, Jest, Bun and Deno's
 * `@std/testing/bdd` with `@std/expect` fit as they are.
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { isPagestreamError } from "../core/errors.ts";

/** The matchers that the suites use. */
export interface Expectation {
  /** Fails unless both are the same value, by `Object.is`. */
  toBe(expected: unknown): unknown;
  /** Fails unless both have the same structure and content. */
  toEqual(expected: unknown): unknown;
}

/** The functions of a test runner that a suite is written with. */
export interface TestKit {
  /** Groups the tests that `body` registers under a title. */
  readonly describe: (name: string, body: () => void) => unknown;
  /** Registers one test; it fails when `body` throws or its promise rejects. */
  readonly test: (name: string, body: () => void | Promise<void>) => unknown;
  /** Holds a value for a matcher, which throws on failure. */
  readonly expect: (actual: unknown) => Expectation;
}

/**
 * The `code` a call fails with, its message where it fails with something else, `"no error"` where it succeeds: to be
 * compared with `toBe`, so that a failing test shows what happened instead.
 */
export async function failure(call: () => unknown): Promise<string> {
  try {
    await call();
    return "no error";
  } catch (error) {
    return isPagestreamError(error) ? error.code : String(error);
  }
}

/** All bytes of a body. */
export async function readBody(body: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
  }
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** Everything an async iterable yields. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}

/**
 * Where two arrays of bytes differ, in words; an empty string when they do not. Deep equality of test runners takes
 * seconds for a few megabytes.
 */
export function difference(actual: Uint8Array, expected: Uint8Array): string {
  if (actual.length !== expected.length) {
    return `${actual.length} bytes instead of ${expected.length}`;
  }
  const { length } = actual;
  const [left, right] = [viewOf(actual), viewOf(expected)];
  let i = 0;
  // Four bytes at a time: tests compare many megabytes.
  while (i + 4 <= length && left.getInt32(i) === right.getInt32(i)) i += 4;
  while (i < length && actual[i] === expected[i]) i++;
  return i === length ? "" : `byte ${i} is ${actual[i]} instead of ${expected[i]}`;
}
