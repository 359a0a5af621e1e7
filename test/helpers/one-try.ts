/**
 * No request is repeated.
 *
 * @module
 */
import type { RetryPolicy } from "../../src/core/retry.ts";

/** Retry policy of tests that count requests, or let some of them fail. */
export const ONE_TRY: RetryPolicy = { attempts: 1, baseMs: 1, capMs: 1, budgetMs: 1 };
