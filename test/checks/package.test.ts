/** @module */

import { expect, test } from "vitest";
import { compareSizes } from "../../scripts/package/size.ts";

test("compareSizes() refuses growth, an entry without a budget and a budget without an entry", () => {
  expect(compareSizes({ ".": 100 }, { ".": 100 })).toEqual([]);
  expect(compareSizes({ ".": 101 }, { ".": 100 })).toEqual(['"." is 101 B, the budget is 100 B']);
  expect(compareSizes({ ".": 1, "./x": 1 }, { ".": 1 })).toHaveLength(1);
  expect(compareSizes({ ".": 1 }, { ".": 1, "./x": 1 })).toHaveLength(1);
});
