/**
 * Suites that need a server, and what they share.
 *
 * @module
 */
import type { ObjectStore } from "pagestream";
import { testObjectStore, type ObjectStoreTestOptions } from "pagestream/testing";
import { describe, expect, inject, test } from "vitest";
import { shortContract } from "../runtime/short-contract.ts";
import type { ServerAddress } from "../servers/server.ts";
import { recordGuarantees } from "./guarantees.ts";

export { part } from "../servers/server.ts";

/**
 * A suite against a running server. Where the server is not installed it is reported as skipped, with the command that
 * installs it; where skipping is forbidden it fails.
 */
export function describeWithServer(name: string, body: (address: ServerAddress) => void): void {
  const state = inject("servers")[name];
  if (state !== undefined && "address" in state) {
    describe(name, () => body(state.address));
    return;
  }
  const reason =
    state === undefined ? "it was not asked for" : `it is not installed, run ${state.missing}`;
  if (process.env["PAGESTREAM_NO_SKIP"] === "1") {
    test(`${name} runs`, () => {
      throw new Error(`${name} does not run: ${reason}`);
    });
    return;
  }
  describe.skip(`${name}: ${reason}`, () => test("needs the server", () => undefined));
}

/** A store under the contract, for the table of guarantees in `docs/stores.md`. */
export interface ContractSubject {
  /** The store as users know it: `S3`. */
  readonly store: string;
  /** What answered: `SeaweedFS 4.48`. */
  readonly server: string;
  /** Makes it; called once per test. Probed before use where it can be. */
  readonly make: () => ObjectStore | Promise<ObjectStore>;
}

/**
 * Runs the contract on a store and records what it guarantees. `short` where the same requests meet the whole contract
 * in another suite.
 */
export function storeContract(
  subject: ContractSubject,
  options: Partial<ObjectStoreTestOptions> & { readonly short?: boolean } = {},
): void {
  const make = async (): Promise<ObjectStore> => {
    const store = await subject.make();
    await store.probe?.();
    return store;
  };
  const name = `${subject.store} on ${subject.server}: contract`;
  const { short = false, ...asked } = options;
  const runner = { describe, test, expect };
  testObjectStore(make, { ...(short ? shortContract(runner) : runner), name, ...asked });
  test(`${subject.store} on ${subject.server}: guarantees`, async () => {
    const { capabilities } = await make();
    const { timeFrom = "metadata" } = options;
    expect(recordGuarantees({ ...subject, capabilities, timeFrom })).toEqual([]);
  });
}
