/**
 * A suite against the servers that stores over the web are tried on.
 *
 * @module
 */
import { afterAll, describe, test } from "vitest";
import type { WebAddresses } from "../runtime/web-stores.ts";
import { startWebServers } from "./web.ts";

const web = await startWebServers();

/**
 * Registers a suite for running servers. Where they are not installed it is reported as skipped, with what installs them;
 * where skipping is forbidden it fails.
 */
export function describeWebStores(name: string, body: (addresses: WebAddresses) => void): void {
  if ("addresses" in web) {
    describe(name, () => {
      afterAll(() => web.end());
      body(web.addresses);
    });
    return;
  }
  const title = `${name}: servers are not installed, run ${web.missing.join(", ")}`;
  if (process.env["PAGESTREAM_NO_SKIP"] === "1") {
    test(title, () => {
      throw new Error(title);
    });
    return;
  }
  describe.skip(title, () => test("needs the servers", () => undefined));
}
