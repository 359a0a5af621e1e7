import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { afterAll, expect, test } from "vitest";
import { bundleWorker, startWorker } from "../helpers/bundle-worker.ts";
import type { ContractResult } from "../helpers/run-contract.ts";
import { recordGuarantees } from "../stores/guarantees.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-r2-"));
const modules = await bundleWorker(new URL("r2-worker.ts", import.meta.url));
const worker = startWorker(modules, { r2: { bucket: "BUCKET", folder } });

afterAll(async () => {
  await worker.dispose();
  rmSync(folder, { recursive: true, force: true });
});

test("r2Store() meets the contract in workerd", async () => {
  const results = (await (
    await worker.dispatchFetch("http://worker/")
  ).json()) as readonly ContractResult[];
  expect(results.filter(({ detail }) => detail !== "")).toEqual([]);
  expect(results.length).toBeGreaterThan(35);
});

test("r2Store() guarantees what the page says", () => {
  const { capabilities } = r2Store({} as R2Bucket);
  const row = {
    store: "R2 binding",
    server: "workerd",
    capabilities,
    timeFrom: "metadata",
  } as const;
  expect(recordGuarantees(row)).toEqual([]);
});
