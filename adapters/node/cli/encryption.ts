/**
 * The keys of encrypted replicas, as the command line or the configuration names them.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { ObjectStore } from "pagestream";
import { usageError } from "./failure.ts";

/** Flags that every command takes. */
export interface EncryptionFlags {
  /** `ID=PATH`, of files of 32 bytes; the last one is for new objects. */
  readonly encryptionKey?: readonly string[] | undefined;
  readonly encryptionContext?: string | undefined;
}

let flags: EncryptionFlags = {};

/** Keeps the flags of the command that runs. */
export function setEncryption(given: EncryptionFlags): void {
  flags = given;
}

/** The store as it is, or with the keys of the command line, or else those that its configuration names. */
export async function withEncryption(
  store: ObjectStore,
  configured: EncryptionFlags = {},
): Promise<ObjectStore> {
  const isTyped = flags.encryptionKey !== undefined || flags.encryptionContext !== undefined;
  const { encryptionKey = [], encryptionContext: context } = isTyped ? flags : configured;
  if (encryptionKey.length === 0 && context === undefined) return store;
  const keys = encryptionKey.map(readKey);
  const [keyId = ""] = keys.at(-1) ?? [];
  const { encryptedStore } = await import("pagestream/transports/encrypted");
  return encryptedStore(store, { keys: Object.fromEntries(keys), keyId, context });
}

function readKey(text: string): readonly [string, Uint8Array] {
  const [, id, path] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (id === undefined || path === undefined) {
    throw usageError(
      "invalid value for flag -encryption-key: an id and the path of a key are needed",
      "--encryption-key 2026=/path/to/key",
    );
  }
  try {
    return [id, readFileSync(path)];
  } catch (error) {
    throw usageError(`cannot read the key ${id}: ${error instanceof Error ? error.message : ""}`);
  }
}
