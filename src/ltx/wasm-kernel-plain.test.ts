/**
 * The tests of decoder, merge and vectors once more, on the kernel in TypeScript; elsewhere they run on the other one.
 *
 * @module
 */
import { expect, test } from "vitest";
import { PLAIN_KERNEL, pageKernel, usePageKernel } from "./wasm-kernel.ts";

usePageKernel(PLAIN_KERNEL);
await import("./decoder.test.ts");
await import("./merge.test.ts");
await import("./vectors.test.ts");

test("usePageKernel() lets these tests run on the kernel in TypeScript", () => {
  expect(pageKernel()).toBe(PLAIN_KERNEL);
});
