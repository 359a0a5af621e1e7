/**
 * The store that a replica URL names, on a runtime with files and an environment.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { IoError, type ObjectStore } from "pagestream";
import {
  type ReplicaConfig,
  storeFromConfig as fromConfig,
  storeFromUrl as fromUrl,
  type StoreFromOptions,
  type StoreFromUrlOptions,
} from "pagestream/transports/store-from-url";
import { errnoOf } from "./errors.ts";
import { fileStore } from "./file-store.ts";

/**
 * Makes the store that a URL names: directories too, and with the variables of the process. Sends no request.
 *
 * @throws {InvalidArgumentError} for a URL that names no store; {UnsupportedError} for one that is not to be had here.
 */
export function storeFromUrl(url: string, options: StoreFromUrlOptions = {}): Promise<ObjectStore> {
  return fromUrl(url, withFiles(options));
}

/**
 * Makes the store that the keys of a replica in Litestream's configuration name. Sends no request.
 *
 * @throws {InvalidArgumentError} naming the key that is wrong; {UnsupportedError} for a store that is not to be had here.
 */
export function storeFromConfig(
  config: ReplicaConfig,
  options: StoreFromOptions = {},
): Promise<ObjectStore> {
  return fromConfig(config, withFiles(options));
}

/** Options with the environment and the files of the process, where they do not say otherwise. */
export function withFiles<T extends StoreFromOptions>(options: T): T {
  return {
    env: process.env,
    readFile: readText,
    ...options,
    schemes: { file: ({ path }) => fileStore(path), ...options.schemes },
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // Without a cause: what is read here are keys, and whoever prints an error need not know where they lie.
    const what = `the file cannot be read (${errnoOf(error)})`;
    throw new IoError({ operation: "read", object: path, what });
  }
}
