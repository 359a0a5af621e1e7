/**
 * How an encrypted object is told from a plain one.
 *
 * @module
 */

/** What every object of an encrypted store begins with: `PSCRYPT`, then the version of the format. */
export const ENCRYPTION_MARK: Uint8Array = Uint8Array.from("PSCRYPT", (c) => c.charCodeAt(0));

/** Tells whether bytes from the beginning of an object are those of an encrypted one, of any version. */
export function isEncrypted(bytes: Uint8Array): boolean {
  return ENCRYPTION_MARK.every((byte, i) => bytes[i] === byte);
}
