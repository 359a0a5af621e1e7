/**
 * Who asks, as a WebDAV server wants to be told: Basic, or Digest of RFC 7616 with SHA-256 or MD5.
 *
 * @module
 */
import { md5 } from "@noble/hashes/legacy.js";
import { InvalidArgumentError } from "../core/errors.ts";

/** A user of the server. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** What a server asks for: a scheme in lower case and its parameters. */
export interface Challenge {
  readonly scheme: string;
  readonly params: Readonly<Record<string, string>>;
}

/** Answers the challenges of one server. Nothing is sent to it before it has asked. */
export interface Authenticator {
  /** The header `Authorization` for a request; `undefined` while nothing was asked. */
  header(method: string, url: string): Promise<string | undefined>;
  /**
   * Takes the header `WWW-Authenticate` of a refusal; true where another try makes sense: nothing was sent yet, or a
   * nonce has grown old.
   */
  learn(challenge: string | undefined, sent: boolean): boolean;
}

/** Makes an authenticator; without credentials it never answers. */
export function authenticator(
  credentials: Credentials | undefined,
  randomBytes: (length: number) => Uint8Array,
): Authenticator {
  let scheme: { readonly basic: string } | DigestSession | undefined;
  return {
    async header(method, url) {
      if (scheme === undefined || credentials === undefined) return undefined;
      if ("basic" in scheme) return scheme.basic;
      const { pathname, search } = new URL(url);
      const cnonce = hex(randomBytes(8));
      return await digestHeader(scheme, credentials, { method, uri: pathname + search, cnonce });
    },
    learn(header, sent) {
      if (credentials === undefined) return false;
      // To a page of another origin a browser shows the refusal without its header: the usual scheme then.
      if (header === undefined && !sent) {
        scheme = { basic: basicHeader(credentials) };
        return true;
      }
      const challenges = parseChallenges(header ?? "");
      const digest = bestDigest(challenges);
      if (digest !== undefined) {
        scheme = { params: digest, count: 0 };
        return !sent || digest["stale"]?.toLowerCase() === "true";
      }
      if (!challenges.some((each) => each.scheme === "basic")) return false;
      scheme = { basic: basicHeader(credentials) };
      return !sent;
    },
  };
}

function basicHeader({ username, password }: Credentials): string {
  if (username.includes(":")) {
    throw new InvalidArgumentError({
      operation: "use",
      object: "the user name of a WebDAV store",
      what: "it holds a colon, and the server asks for Basic authentication, which cannot carry one",
    });
  }
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** The challenges of a header, which may hold several, each with parameters that are quoted or not. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; params: Record<string, string> }[] = [];
  const pattern = /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([\w-]+)/g;
  for (const [, name, quoted, plain, word] of header.matchAll(pattern)) {
    if (word !== undefined) challenges.push({ scheme: word.toLowerCase(), params: {} });
    const params = challenges.at(-1)?.params;
    if (name === undefined || params === undefined) continue;
    params[name.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "";
  }
  return challenges;
}

interface DigestSession {
  readonly params: Challenge["params"];
  /** Requests that have used the nonce. */
  count: number;
}

/** Hashes by the name of their algorithm, the better one first. */
const HASHES: Readonly<Record<string, (text: string) => Promise<string>>> = {
  "SHA-256": async (text) =>
    hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))),
  MD5: async (text) => hex(md5(new TextEncoder().encode(text))),
};

function bestDigest(challenges: readonly Challenge[]): Challenge["params"] | undefined {
  for (const name of Object.keys(HASHES)) {
    const found = challenges.find(
      ({ scheme, params }) =>
        scheme === "digest" &&
        params["nonce"] !== undefined &&
        algorithmOf(params).replace(/-SESS$/, "") === name &&
        (params["qop"] === undefined || offersAuth(params["qop"])),
    );
    if (found !== undefined) return found.params;
  }
  return undefined;
}

function algorithmOf(params: Challenge["params"]): string {
  return (params["algorithm"] ?? "MD5").toUpperCase();
}

function offersAuth(qop: string): boolean {
  return qop.split(",").some((each) => each.trim().toLowerCase() === "auth");
}

/** What a digest is made for. */
export interface DigestRequest {
  readonly method: string;
  readonly uri: string;
  readonly cnonce: string;
}

/** The header for a request; counts it. */
export async function digestHeader(
  session: DigestSession,
  { username, password }: Credentials,
  { method, uri, cnonce }: DigestRequest,
): Promise<string> {
  const { params } = session;
  const { realm = "", nonce = "", opaque, qop } = params;
  const algorithm = algorithmOf(params);
  const hash = HASHES[algorithm.replace(/-SESS$/, "")] as (text: string) => Promise<string>;
  const nc = (++session.count).toString(16).padStart(8, "0");
  const secret = await hash(`${username}:${realm}:${password}`);
  const a1 = algorithm.endsWith("-SESS") ? await hash(`${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = await hash(`${method}:${uri}`);
  const middle = qop === undefined ? "" : `${nc}:${cnonce}:auth:`;
  const response = await hash(`${a1}:${nonce}:${middle}${a2}`);
  const fields = [
    `username=${quote(username)}`,
    `realm=${quote(realm)}`,
    `nonce=${quote(nonce)}`,
    `uri=${quote(uri)}`,
    `response="${response}"`,
    params["algorithm"] === undefined ? "" : `algorithm=${params["algorithm"]}`,
    opaque === undefined ? "" : `opaque=${quote(opaque)}`,
    qop === undefined ? "" : `qop=auth, nc=${nc}, cnonce="${cnonce}"`,
  ];
  return `Digest ${fields.filter((field) => field !== "").join(", ")}`;
}

/** Headers are made of bytes: what is not ASCII goes as UTF-8. */
function quote(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return `"${bytes.replace(/["\\]/g, "\\$&")}"`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
