import { Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleWorker } from "../helpers/bundle-worker.ts";
import type { ContractResult } from "../helpers/run-contract.ts";
import { SHORT_CONTRACT_TESTS } from "../runtime/short-contract.ts";
import { webStores } from "../runtime/web-stores.ts";
import { describeWebStores } from "../servers/web-suite.ts";

describeWebStores("workerd", (addresses) => {
  let worker: Miniflare;

  beforeAll(async () => {
    worker = new Miniflare({
      modules: await bundleWorker(new URL("stores-worker.ts", import.meta.url)),
      modulesRoot: "/worker",
      compatibilityDate: "2026-07-01",
      bindings: { STORES: JSON.stringify(addresses) },
    });
    await worker.ready;
  });
  afterAll(() => worker.dispose());

  test.each(webStores(addresses))("the $name store passes its contract", async ({ name }) => {
    const response = await worker.dispatchFetch(`http://worker/?store=${name}`);
    const text = await response.text();
    expect(response.status, text).toBe(200);
    const results = JSON.parse(text) as ContractResult[];
    expect(results.filter(({ detail }) => detail !== "")).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(SHORT_CONTRACT_TESTS);
  });
});
