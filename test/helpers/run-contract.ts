/**
 * Runs the contract of a store where there is no test runner: in a Worker, or on a page.
 *
 * @module
 */
import type { TestKit } from "pagestream/testing";

/** How a test ended; an empty `detail` means passed. Plain data, to be posted. */
export interface ContractResult {
  readonly name: string;
  readonly detail: string;
}

/** Runs all tests that `register` registers, one after the other. */
export async function runContract(register: (kit: TestKit) => void): Promise<ContractResult[]> {
  const tests: { readonly name: string; readonly body: () => void | Promise<void> }[] = [];
  register({
    describe: (_title, body) => void body(),
    test: (name, body) => void tests.push({ name, body }),
    expect: (actual) => ({
      toBe: (expected) => equal(Object.is(actual, expected), actual, expected),
      toEqual: (expected) => equal(text(actual) === text(expected), actual, expected),
    }),
  });
  const results: ContractResult[] = [];
  for (const { name, body } of tests) {
    let detail = "";
    try {
      await body();
    } catch (error) {
      detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    results.push({ name, detail });
  }
  return results;
}

function equal(same: boolean, actual: unknown, expected: unknown): void {
  if (!same) throw new Error(`${text(actual)} instead of ${text(expected)}`);
}

/** What the contract compares is plain data; `undefined` must not look like nothing. */
function text(value: unknown): string {
  return (
    JSON.stringify(value, (_, each: unknown) => (each === undefined ? "(undefined)" : each)) ??
    "(undefined)"
  );
}
