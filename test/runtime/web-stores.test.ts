/**
 * The contract of the stores over the web, in each runtime, against the servers that the runner has started.
 *
 * @module
 */
import process from "node:process";
import { describe, expect, runtime, test } from "./kit.ts";
import { type WebAddresses, webStores } from "./web-stores.ts";

const addresses = JSON.parse(process.env["PAGESTREAM_WEB_STORES"] ?? "{}") as WebAddresses;

for (const { register } of webStores(addresses)) {
  register({ describe, test, expect }, `${runtime}-${process.pid}`);
}
