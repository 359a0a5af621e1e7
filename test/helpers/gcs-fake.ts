/**
 * The JSON interface of Google Cloud Storage as a `fetch`, with what the emulators leave out: tokens that must be good,
 * conditions on every call, upload sessions that keep a part of what they get, and faults on demand.
 *
 * @module
 */
import type { Fetch } from "pagestream/transports/gcs";

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Answers a request instead of the fake, or lets it pass. */
export type Fault = (request: SeenRequest) => Response | undefined | Promise<Response | undefined>;

interface StoredObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly generation: string;
  readonly timeCreated: string;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Session {
  readonly name: string;
  readonly condition: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  bytes: Uint8Array<ArrayBuffer>;
}

/** What the fake is made with. */
export interface GcsFakeOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now?: (() => number) | undefined;
  /** Key that assertions must be signed with. */
  readonly publicKey?: CryptoKey | undefined;
  /** Whether requests need a token. @default false */
  readonly guarded?: boolean | undefined;
}

/** A running fake. */
export interface GcsFake {
  readonly fetch: Fetch;
  /** All requests, oldest first. */
  readonly seen: SeenRequest[];
  /** Tried in turn on each request, until one answers. */
  readonly faults: Fault[];
  readonly sessions: ReadonlyMap<string, unknown>;
  /** How many of the bytes that a session has are kept. */
  keep: (length: number) => number;
  /** Claims of the assertions that were accepted. */
  readonly claims: Readonly<Record<string, unknown>>[];
}

const ORIGIN = "https://storage.googleapis.com";
const TOKEN_SECONDS = 3600;

/** Makes a fake with one bucket, `backups`. */
export function gcsFake(options: GcsFakeOptions = {}): GcsFake {
  const { now = Date.now, publicKey, guarded = false } = options;
  const objects = new Map<string, StoredObject>();
  const sessions = new Map<string, Session>();
  const tokens = new Map<string, number>();
  const fake: GcsFake = {
    fetch,
    seen: [],
    faults: [],
    sessions,
    claims: [],
    keep: (length) => length,
  };
  let count = 0;

  async function fetch(address: string, init: RequestInit): Promise<Response> {
    const body = init.body;
    const request: SeenRequest = {
      method: init.method ?? "GET",
      url: new URL(address),
      headers: new Headers(init.headers),
      body: typeof body === "string" ? text(body) : ((body ?? text("")) as Uint8Array<ArrayBuffer>),
    };
    fake.seen.push(request);
    for (const fault of fake.faults) {
      const answer = await fault(request);
      if (answer !== undefined) return answer;
    }
    const { url, headers } = request;
    if (url.hostname === "oauth2.googleapis.com") return await exchange(request);
    if (url.hostname === "metadata.google.internal") {
      return headers.get("metadata-flavor") === "Google" ? grant() : failure(403, "no flavor");
    }
    if (url.origin !== ORIGIN) return failure(404, "wrong host");
    const session = url.searchParams.get("upload_id");
    if (session !== null) return upload(request, session);
    const token = headers.get("authorization")?.replace(/^Bearer /, "") ?? "";
    if (guarded && (tokens.get(token) ?? 0) <= now()) {
      return failure(401, "Invalid Credentials", "authError");
    }
    const match = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname);
    if (match === null) return failure(404, "Not Found");
    if (match[2] !== "backups") return failure(404, "The specified bucket does not exist.");
    if (match[1] !== undefined) return begin(request);
    return match[3] === undefined ? list(url) : one(request, decodeURIComponent(match[3]));
  }

  function grant(): Response {
    const token = `ya29.token-number-${++count}`;
    tokens.set(token, now() + TOKEN_SECONDS * 1000);
    return Response.json({ access_token: token, expires_in: TOKEN_SECONDS, token_type: "Bearer" });
  }

  async function exchange({ body }: SeenRequest): Promise<Response> {
    const form = new URLSearchParams(new TextDecoder().decode(body));
    const date = new Date(now()).toUTCString();
    const refuse = (why: string): Response =>
      Response.json(
        { error: "invalid_grant", error_description: why },
        { status: 400, headers: { date } },
      );
    if (form.get("grant_type") === "refresh_token") {
      return form.get("refresh_token") === "refresh-me" ? grant() : refuse("Bad Request");
    }
    const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
    const algorithm = "RSASSA-PKCS1-v1_5";
    const signed = text(`${head}.${claims}`);
    const genuine =
      publicKey !== undefined &&
      (await crypto.subtle.verify(algorithm, publicKey, unBase64Url(signature), signed));
    if (!genuine) return refuse("Invalid JWT Signature.");
    const read = JSON.parse(new TextDecoder().decode(unBase64Url(claims))) as Record<
      string,
      unknown
    >;
    const lateness = now() / 1000 - Number(read["iat"]);
    if (lateness < -60 || now() / 1000 > Number(read["exp"])) {
      return refuse("Invalid JWT: Token must be a short-lived token");
    }
    fake.claims.push(read);
    return grant();
  }

  /** A refusal where the condition of a request does not hold. */
  function violation(name: string, condition: string | null): Response | undefined {
    if (condition === null || condition === (objects.get(name)?.generation ?? "0"))
      return undefined;
    return failure(412, "At least one of the pre-conditions you specified did not hold.");
  }

  function store(
    name: string,
    bytes: Uint8Array<ArrayBuffer>,
    metadata: StoredObject["metadata"],
  ): Response {
    const generation = String(1_700_000_000_000_000 + ++count);
    const timeCreated = new Date(now()).toISOString();
    objects.set(name, { bytes, generation, timeCreated, metadata });
    return Response.json(resource(name, objects.get(name)));
  }

  function begin({ url, headers, body }: SeenRequest): Response {
    const name = url.searchParams.get("name") ?? "";
    const condition = url.searchParams.get("ifGenerationMatch");
    if (url.searchParams.get("uploadType") === "resumable") {
      const refused = violation(name, condition);
      if (refused !== undefined) return refused;
      const { metadata } = JSON.parse(new TextDecoder().decode(body)) as Session;
      const id = `session-secret-${++count}`;
      sessions.set(id, { name, condition, metadata, bytes: text("") });
      const location = `${ORIGIN}/upload/storage/v1/b/backups/o?upload_id=${id}`;
      return new Response("", { headers: { location } });
    }
    const boundary = /^multipart\/related; boundary=(\S+)$/.exec(
      headers.get("content-type") ?? "",
    )?.[1];
    // One byte is one character here, so that offsets fit.
    const parts = latin1(body).split(`--${boundary}`);
    const content = (part: string | undefined): string =>
      part?.slice(part.indexOf("\r\n\r\n") + 4, -2) ?? "";
    const bytes = new Uint8Array(Buffer.from(content(parts[2]), "latin1"));
    const { metadata } = JSON.parse(content(parts[1])) as Session;
    return violation(name, condition) ?? store(name, bytes, metadata);
  }

  function upload({ method, headers, body }: SeenRequest, id: string): Response {
    const session = sessions.get(id);
    if (headers.has("authorization")) return failure(400, "a session needs no token");
    if (session === undefined) return failure(410, "Gone");
    if (method === "DELETE") {
      sessions.delete(id);
      return new Response("", { status: 499 });
    }
    const range = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    if (range === null) return failure(400, "no range");
    const [, from, to, total] = range;
    if (from !== undefined) {
      if (Number(from) !== session.bytes.length || Number(to) + 1 - Number(from) !== body.length) {
        return failure(400, "not where the upload is");
      }
      const kept = fake.keep(session.bytes.length + body.length);
      session.bytes = new Uint8Array(Buffer.concat([session.bytes, body]).subarray(0, kept));
    }
    if (String(session.bytes.length) === total) {
      sessions.delete(id);
      const { name, condition, bytes, metadata } = session;
      return violation(name, condition) ?? store(name, bytes, metadata);
    }
    const { length } = session.bytes;
    const stored = length === 0 ? undefined : { range: `bytes=0-${length - 1}` };
    return new Response(null, { status: 308, ...(stored && { headers: stored }) });
  }

  function list(url: URL): Response {
    const { searchParams: query } = url;
    const from = query.get("pageToken") ?? query.get("startOffset") ?? "";
    const prefix = query.get("prefix") ?? "";
    const names = [...objects.keys()]
      .filter((name) => name.startsWith(prefix) && name >= from)
      .sort();
    const most = Number(query.get("maxResults"));
    const items = names.slice(0, most).map((name) => resource(name, objects.get(name)));
    return Response.json({
      kind: "storage#objects",
      ...(items.length > 0 && { items }),
      ...(names.length > most && { nextPageToken: names[most] }),
    });
  }

  function one({ method, url, headers }: SeenRequest, name: string): Response {
    const object = objects.get(name);
    if (object === undefined) return failure(404, `No such object: backups/${name}`);
    const refused = violation(name, url.searchParams.get("ifGenerationMatch"));
    if (refused !== undefined) return refused;
    if (method === "DELETE") {
      objects.delete(name);
      return new Response(null, { status: 204 });
    }
    if (url.searchParams.get("alt") !== "media") return Response.json(resource(name, object));
    const { bytes } = object;
    const shown = new Headers({
      "x-goog-generation": object.generation,
      "x-goog-stored-content-length": String(bytes.length),
      "last-modified": new Date(object.timeCreated).toUTCString(),
    });
    for (const [key, value] of Object.entries(object.metadata ?? {})) {
      shown.set(`x-goog-meta-${key}`, value);
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.get("range") ?? "");
    if (range === null) return sized(bytes, 200, shown);
    const start = Number(range[1]);
    const end = Math.min(range[2] === "" ? bytes.length : Number(range[2]) + 1, bytes.length);
    if (start >= bytes.length) return failure(416, "Request range not satisfiable");
    shown.set("content-range", `bytes ${start}-${end - 1}/${bytes.length}`);
    return sized(bytes.slice(start, end), 206, shown);
  }

  return fake;
}

/** An error in Google's form. */
export function failure(status: number, message: string, reason = "notFound"): Response {
  const errors = [{ domain: "global", reason, message }];
  return Response.json({ error: { code: status, message, errors } }, { status });
}

function resource(name: string, object: StoredObject | undefined): unknown {
  return object && { ...object, name, size: String(object.bytes.length), bytes: undefined };
}

function sized(bytes: Uint8Array<ArrayBuffer>, status: number, headers: Headers): Response {
  headers.set("content-length", String(bytes.length));
  return new Response(bytes, { status, headers });
}

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function unBase64Url(value: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(value, "base64url"));
}
