/**
 * The store of a replica of the configuration.
 *
 * @module
 */
import type { ObjectStore } from "pagestream";
import { storeFromConfig } from "../store-from-url.ts";
import type { ReplicaConfig } from "./config.ts";

/** Makes the store of a replica. Sends no request; whoever made it closes it. */
export async function storeOf(
  replica: ReplicaConfig,
  access: "read" | "write" = "write",
): Promise<ObjectStore> {
  return await storeFromConfig(replica.keys, { access });
}
