/**
 * The store of a replica of the configuration.
 *
 * @module
 */
import type { ObjectStore } from "pagestream";
import { withEncryption } from "../cli/encryption.ts";
import { storeFromConfig } from "../store-from-url.ts";
import type { ReplicaConfig } from "./config.ts";

/**
 * Makes the store of a replica, encrypted where the command line or the configuration has keys. Sends no request; whoever
 * made it closes it.
 */
export async function storeOf(
  replica: ReplicaConfig,
  access: "read" | "write" = "write",
): Promise<ObjectStore> {
  const { encryptionKeys, encryptionContext } = replica;
  const store = await storeFromConfig(replica.keys, { access });
  return await withEncryption(store, { encryptionKey: encryptionKeys, encryptionContext });
}
