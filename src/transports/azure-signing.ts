/**
 * The Shared Key scheme of Azure Storage: a request signed with a key of the account.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** What is signed of a request. */
export interface SignableRequest {
  /** GET, PUT and so on. */
  readonly method: string;
  /** The whole address, encoded as it is sent. */
  readonly url: string;
  /** Names in lower case; undefined ones are not sent. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Bytes of the body. Not taken from the headers, for a browser sets that one itself. */
  readonly contentLength: number;
}

/** The headers that are signed by their value alone, in this order. */
const PLAIN_HEADERS: readonly string[] = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  // The date, which is in x-ms-date: a browser lets nobody set this one.
  "",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
];

/** @see https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
export function stringToSign(request: SignableRequest, accountName: string): string {
  const { method, contentLength } = request;
  const url = new URL(request.url);
  const headers: Readonly<Record<string, string | undefined>> = {
    ...request.headers,
    "content-length": contentLength === 0 ? "" : String(contentLength),
  };
  const lines = [method, ...PLAIN_HEADERS.map((name) => headers[name] ?? "")];
  const names = Object.keys(headers).filter((name) => name.startsWith("x-ms-"));
  for (const name of names.sort()) {
    const value = headers[name];
    if (value !== undefined) lines.push(`${name}:${value.trim()}`);
  }
  lines.push(`/${accountName}${url.pathname}`);
  const parameters = new Map<string, string[]>();
  for (const [name, value] of url.searchParams) {
    const values = parameters.get(name.toLowerCase()) ?? [];
    parameters.set(name.toLowerCase(), [...values, value].sort());
  }
  for (const name of [...parameters.keys()].sort()) {
    lines.push(`${name}:${parameters.get(name)?.join(",")}`);
  }
  return lines.join("\n");
}

/** Makes the value of `Authorization` for a request. */
export type SharedKeySigner = (request: SignableRequest) => Promise<string>;

/** A signer with an account's key in base64; `InvalidArgumentError` for a key that is none. */
export function sharedKeySigner(accountName: string, accountKey: string): SharedKeySigner {
  const key = crypto.subtle.importKey(
    "raw",
    keyBytes(accountKey),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return async (request) => {
    const text = new TextEncoder().encode(stringToSign(request, accountName));
    const signature = new Uint8Array(await crypto.subtle.sign("HMAC", await key, text));
    return `SharedKey ${accountName}:${btoa(String.fromCharCode(...signature))}`;
  };
}

function keyBytes(accountKey: string): Uint8Array<ArrayBuffer> {
  try {
    const bytes = Uint8Array.from(atob(accountKey.trim()), (character) => character.charCodeAt(0));
    if (bytes.length > 0) return bytes;
  } catch {
    // Told below, without the text that holds a part of the secret.
  }
  throw new InvalidArgumentError({
    operation: "use",
    object: "the account key of an Azure store",
    what: "it is not base64",
    next: "Copy it whole from the access keys of the storage account",
  });
}
