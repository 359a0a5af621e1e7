/**
 * The keys of an encrypted store: the user's, and the one of each object that they seal.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { InvalidArgumentError } from "../core/errors.ts";
import {
  decodeHeader,
  encodeHeader,
  KEY_ID_SIZE,
  KEY_SIZE,
  SEALED_OFFSET,
} from "./encrypted-format.ts";
import { DecryptError } from "./errors.ts";

/** Keys by their ids, and which of them seals new objects. */
export interface EncryptionKeys {
  /**
   * Keys of 32 random bytes each, by ids of up to 32 printable ASCII characters. They are copied. All of them open objects,
   * so a key that was replaced stays here as long as objects of its time do.
   */
  readonly keys: Readonly<Record<string, Uint8Array>>;
  /** Id of the key for new objects. */
  readonly keyId: string;
  /**
   * Whose objects these are: the name of the database, say. Objects written with another context are refused, so that two
   * replicas with the same key cannot be exchanged for one another. @default ""
   */
  readonly context?: string | undefined;
}

/** A new object's header and key. */
export interface NewObjectKey {
  readonly header: Uint8Array<ArrayBuffer>;
  readonly objectKey: CryptoKey;
}

/** What a header seals. */
export interface OpenedObjectKey {
  readonly objectKey: CryptoKey;
  readonly timeMs: number | undefined;
}

const INFO = utf8("pagestream object key");

/** Each wrapping key seals one object key, so one nonce does for all. */
const WRAP_NONCE = new Uint8Array(12);

/** Seals and opens the keys of objects. */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, Promise<CryptoKey>>;
  readonly #keyId: string;
  readonly #context: string;

  /** Imports the keys; `InvalidArgumentError` for what cannot be one. */
  constructor({ keys, keyId, context = "" }: EncryptionKeys) {
    for (const [id, bytes] of Object.entries(keys)) {
      if (!/^[!-~]+$/.test(id) || id.length > KEY_ID_SIZE) {
        throw refused(`an id of ${id.length} characters is not of 1 to 32 printable ones of ASCII`);
      }
      if (bytes.length !== KEY_SIZE) {
        throw refused(`the key ${id} has ${bytes.length} bytes`, "Give 32 random bytes");
      }
    }
    if (!Object.hasOwn(keys, keyId)) throw refused(`there is no key of the id ${keyId}`);
    if (context.includes("\0")) throw refused("the context holds a zero character");
    this.#keys = new Map(Object.entries(keys).map(([id, bytes]) => [id, importKey(bytes)]));
    this.#keyId = keyId;
    this.#context = context;
  }

  /** Makes the key of an object that is to be stored at `key`. */
  async create(key: string, timeMs: number | undefined): Promise<NewObjectKey> {
    const raw = crypto.getRandomValues(new Uint8Array(KEY_SIZE));
    const salt = crypto.getRandomValues(new Uint8Array(KEY_SIZE));
    const header = encodeHeader({ timeMs, keyId: this.#keyId, salt });
    const user = await (this.#keys.get(this.#keyId) as Promise<CryptoKey>);
    const wrapping = await wrappingKey(user, salt);
    const sealed = await crypto.subtle.encrypt(this.#wrap(header, key), wrapping, raw);
    header.set(new Uint8Array(sealed), SEALED_OFFSET);
    return { header, objectKey: await importObjectKey(raw) };
  }

  /** Opens the key of the object at `key`, whose header this is; `DecryptError` where it cannot be. */
  async open(header: Uint8Array<ArrayBuffer>, key: string): Promise<OpenedObjectKey> {
    const { keyId, salt, timeMs } = decodeHeader(header, key);
    const user = this.#keys.get(keyId);
    if (user === undefined) {
      throw new DecryptError(
        {
          operation: "decrypt",
          object: key,
          what: `it was written with the key ${JSON.stringify(keyId)}, which is not given`,
          next: "Give that key too; others may stay the one for new objects",
        },
        { reason: "unknown-key" },
      );
    }
    const wrapping = await wrappingKey(await user, salt);
    const wrap = this.#wrap(header, key);
    let raw: ArrayBuffer;
    try {
      raw = await crypto.subtle.decrypt(wrap, wrapping, header.subarray(SEALED_OFFSET));
    } catch {
      throw new DecryptError(
        {
          operation: "decrypt",
          object: key,
          what: `the key ${JSON.stringify(keyId)} does not open it`,
          next: "Check key and context; if they are right, the object was changed or comes from another name",
        },
        { reason: "wrong-key" },
      );
    }
    return { objectKey: await importObjectKey(raw), timeMs };
  }

  /** How an object's key is sealed: all that is to be the same when it is opened. */
  #wrap(header: Uint8Array, key: string): AesGcmParams {
    const name = utf8(`${this.#context}\0${key}`);
    const additionalData = concatBytes([header.subarray(0, SEALED_OFFSET), name]);
    return { name: "AES-GCM", iv: WRAP_NONCE, additionalData };
  }
}

function importKey(bytes: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes.slice(), "HKDF", false, ["deriveKey"]);
}

function importObjectKey(raw: BufferSource): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** A key for one object alone: with the user's key itself, random nonces would run out after some billion objects. */
function wrappingKey(user: CryptoKey, salt: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  const derive = { name: "HKDF", hash: "SHA-256", salt, info: INFO };
  const usages: KeyUsage[] = ["encrypt", "decrypt"];
  return crypto.subtle.deriveKey(derive, user, { name: "AES-GCM", length: 256 }, false, usages);
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function refused(what: string, next?: string): InvalidArgumentError {
  return new InvalidArgumentError({
    operation: "use",
    object: "the keys of an encrypted store",
    what,
    next,
  });
}
