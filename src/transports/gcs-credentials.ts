/**
 * Tokens of Google: for a service account by a signed assertion, for a user by a refresh token, for the machine this
 * runs on by its metadata server.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { exchangeToken, type TokenSource } from "./access-token.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import { type JsonObject, parseJson, textField } from "./json.ts";
import { checkEndpoint } from "./location.ts";

/** A service account, as its key file has it. Other members are ignored. */
export interface GoogleServiceAccount {
  /** What kind of file it is. */
  readonly type: "service_account";
  /** Who it is. */
  readonly client_email: string;
  /** Its RSA key: PKCS #8 in PEM. */
  readonly private_key: string;
  /** Which of its keys that is. */
  readonly private_key_id?: string | undefined;
  /** Where tokens are given out. @default "https://oauth2.googleapis.com/token" */
  readonly token_uri?: string | undefined;
}

/** A user, as `gcloud auth application-default login` writes it. Other members are ignored. */
export interface GoogleUser {
  /** What kind of file it is. */
  readonly type: "authorized_user";
  /** The application that the user let in. */
  readonly client_id: string;
  /** Secret of that application. */
  readonly client_secret: string;
  /** Secret: what is exchanged for tokens. */
  readonly refresh_token: string;
  /** Where tokens are given out. @default "https://oauth2.googleapis.com/token" */
  readonly token_uri?: string | undefined;
}

/** What a credentials file of Google holds. */
export type GoogleCredentials = GoogleServiceAccount | GoogleUser;

const SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";

const TOKEN_URI = "https://oauth2.googleapis.com/token";

/** How long an assertion may be used: as long as Google allows. */
const ASSERTION_SECONDS = 3600;

/**
 * Tokens for what a credentials file holds, parsed or as text. `InvalidArgumentError` where it cannot work. The store keeps
 * each token until five minutes before it expires.
 */
export function googleToken(
  credentials: GoogleCredentials | string,
  http: HttpOptions = {},
): TokenSource {
  const fields: JsonObject =
    typeof credentials === "string" ? parseJson(credentials) : { ...credentials };
  const client = new HttpClient(http);
  const type = textField(fields, "type");
  const url = checkEndpoint(textField(fields, "token_uri") ?? TOKEN_URI, "Google's tokens");
  if (type === "service_account") return serviceAccount(fields, url, client);
  if (type === "authorized_user") {
    const form = {
      grant_type: "refresh_token",
      client_id: required(fields, "client_id"),
      client_secret: required(fields, "client_secret"),
      refresh_token: required(fields, "refresh_token"),
    };
    return () => exchangeToken({ object: url, url, form }, client);
  }
  throw refused(
    type === undefined ? "they are not JSON with a type" : `their type ${type} is not known`,
    "Give the key file of a service account or the file of gcloud auth application-default login, or a token function",
  );
}

function serviceAccount(fields: JsonObject, url: string, client: HttpClient): TokenSource {
  const email = required(fields, "client_email");
  const pem = /-----BEGIN PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END PRIVATE KEY-----/.exec(
    required(fields, "private_key"),
  )?.[1];
  if (pem === undefined) throw badKey();
  const header = { alg: "RS256", typ: "JWT", kid: textField(fields, "private_key_id") };
  let key: Promise<CryptoKey> | undefined;
  const assertion = async (nowMs: number): Promise<string> => {
    key ??= importKey(pem);
    const issuedAt = Math.floor(nowMs / 1000);
    const exp = issuedAt + ASSERTION_SECONDS;
    const claims = { iss: email, scope: SCOPE, aud: url, iat: issuedAt, exp };
    const text = `${base64Url(JSON.stringify(header))}.${base64Url(JSON.stringify(claims))}`;
    const signature = await crypto.subtle.sign(
      "RSASSA-PKCS1-v1_5",
      await key,
      new TextEncoder().encode(text),
    );
    return `${text}.${base64Url(new Uint8Array(signature))}`;
  };
  const form = async (nowMs: number): Promise<Record<string, string>> => ({
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    assertion: await assertion(nowMs),
  });
  return () => exchangeToken({ object: url, url, form }, client);
}

async function importKey(pem: string): Promise<CryptoKey> {
  try {
    const bytes = Uint8Array.from(atob(pem.replace(/\s/g, "")), (c) => c.charCodeAt(0));
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    return await crypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]);
  } catch {
    // Rebuilt: what is thrown may hold a part of the key.
    throw badKey();
  }
}

function base64Url(data: string | Uint8Array): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function required(fields: JsonObject, name: string): string {
  const value = textField(fields, name);
  if (value !== undefined && value !== "") return value;
  throw refused(`they have no ${name}`, "Download the file anew");
}

function badKey(): InvalidArgumentError {
  return refused(
    "their private_key is no RSA key of PKCS #8 in PEM",
    "Give the key file as it was downloaded; its line breaks may be lost",
  );
}

function refused(what: string, next: string): InvalidArgumentError {
  const object = "the credentials of a Google Cloud Storage store";
  return new InvalidArgumentError({ operation: "use", object, what, next });
}

/** Options of {@linkcode googleMetadataServer}. */
export interface GoogleMetadataOptions extends HttpOptions {
  /** Host of the server, which the libraries of Google read from GCE_METADATA_HOST. @default "metadata.google.internal" */
  readonly host?: string | undefined;
  /** Which service account of the machine. @default "default" */
  readonly account?: string | undefined;
}

/** Where there is no such server, nobody shall wait for minutes to be told so. */
const METADATA_RETRY = { attempts: 3, baseMs: 250, capMs: 1000, budgetMs: 10_000 };

/** Tokens for the machine or service this runs on, in Google's cloud. */
export function googleMetadataServer(options: GoogleMetadataOptions = {}): TokenSource {
  const { host = "metadata.google.internal", account = "default" } = options;
  const object = checkEndpoint(`http://${host}`, "Google's metadata server");
  const path = `computeMetadata/v1/instance/service-accounts/${encodeURIComponent(account)}/token`;
  const client = new HttpClient({ retry: METADATA_RETRY, timeoutMs: 5000, ...options });
  const headers = { "metadata-flavor": "Google" };
  return () => exchangeToken({ object, url: `${object}/${path}`, headers }, client);
}
