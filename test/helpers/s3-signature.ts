/**
 * Checks signatures of version 4 from what a server sees, with nothing of what the client signs with.
 *
 * @module
 */
import { createHash, createHmac } from "node:crypto";

/** What a server sees of a request. */
export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Whom and what the server lets in. */
export interface SignatureRules {
  readonly secrets: Readonly<Record<string, string>>;
  readonly region: string;
  /** Tokens by the access key that needs one. */
  readonly tokens?: Readonly<Record<string, string>> | undefined;
  readonly now: number;
}

/** Code of the refusal; `undefined` for a request that is signed as it must be. */
export function refusedSignature(request: SeenRequest, rules: SignatureRules): string | undefined {
  const { url, headers, body } = request;
  const query = url.searchParams.has("X-Amz-Signature");
  const header =
    /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/;
  const match = header.exec(headers.get("authorization") ?? "");
  if (!query && match === null) return "AccessDenied";
  const param = (name: string): string => url.searchParams.get(`X-Amz-${name}`) ?? "";
  const [credential, names, signature] = query
    ? [param("Credential"), param("SignedHeaders"), param("Signature")]
    : (match!.slice(1) as [string, string, string]);
  const date = query ? param("Date") : (headers.get("x-amz-date") ?? "");
  const [key = "", day, region, service, end] = credential.split("/");
  const secret = rules.secrets[key];
  if (secret === undefined) return "InvalidAccessKeyId";
  if (service !== "s3" || end !== "aws4_request" || !date.startsWith(day ?? "-")) {
    return "AuthorizationHeaderMalformed";
  }
  if (region !== rules.region) return "AuthorizationHeaderMalformed";
  const token = query ? param("Security-Token") : (headers.get("x-amz-security-token") ?? "");
  if (token !== (rules.tokens?.[key] ?? "")) return "InvalidToken";
  const signed = names.split(";");
  const mustBeSigned = [...headers.keys()].filter((name) => name.startsWith("x-amz-"));
  if (!signed.includes("host") || mustBeSigned.some((name) => !signed.includes(name))) {
    return "AccessDenied";
  }
  const hash = query ? "UNSIGNED-PAYLOAD" : (headers.get("x-amz-content-sha256") ?? "");
  const canonical = [
    request.method,
    canonicalPath(url.pathname),
    canonicalQuery(url),
    ...signed.map((name) => `${name}:${name === "host" ? url.host : headers.get(name)?.trim()}`),
    "",
    names,
    hash,
  ].join("\n");
  const scope = [day, region, service, end].join("/");
  const text = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
  const derived = [day, region, service, end].reduce<Buffer | string>(
    (previous, part) =>
      createHmac("sha256", previous)
        .update(part ?? "")
        .digest(),
    `AWS4${secret}`,
  );
  if (createHmac("sha256", derived).update(text).digest("hex") !== signature) {
    return "SignatureDoesNotMatch";
  }
  if (hash !== "UNSIGNED-PAYLOAD" && hash !== sha256(body)) return "XAmzContentSHA256Mismatch";
  const at = Date.parse(date.replace(/(....)(..)(..)T(..)(..)(..)Z/, "$1-$2-$3T$4:$5:$6Z"));
  if (query) {
    const end = at + Number(param("Expires")) * 1000;
    return rules.now > end ? "AccessDenied" : undefined;
  }
  return Math.abs(rules.now - at) > 15 * 60_000 ? "RequestTimeTooSkewed" : undefined;
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function strict(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9_.~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}

/** As AWS has it: what came, decoded once and encoded by the book. A plus sign is a plus sign. */
function canonicalPath(pathname: string): string {
  return pathname.split("/").map(decodeURIComponent).map(strict).join("/");
}

function canonicalQuery(url: URL): string {
  const pairs = url.search
    .slice(1)
    .split("&")
    .filter((pair) => pair !== "" && !pair.startsWith("X-Amz-Signature="))
    .map((pair) => {
      const at = pair.includes("=") ? pair.indexOf("=") : pair.length;
      return [pair.slice(0, at), pair.slice(at + 1)].map((text) =>
        strict(decodeURIComponent(text)),
      );
    });
  return pairs
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join("&");
}
