import { expect, test } from "vitest";
import { PAGE_SIZES } from "./database-header.ts";
import { LOCK_OFFSET, lockPage } from "./lock-page.ts";

test("lockPage() is the page that holds byte 1 GiB, for every page size", () => {
  expect(PAGE_SIZES.map(lockPage)).toEqual([
    2097153, 1048577, 524289, 262145, 131073, 65537, 32769, 16385,
  ]);
  for (const pageSize of PAGE_SIZES) {
    const start = (lockPage(pageSize) - 1) * pageSize;
    expect(start <= LOCK_OFFSET && LOCK_OFFSET < start + pageSize).toBe(true);
  }
});
