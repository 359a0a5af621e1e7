/**
 * A strict S3 in the process of the test, as a `fetch`: it checks every signature and the hash of every body, and fails as
 * told, which no real server does on demand.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { refusedSignature, type SeenRequest } from "./s3-signature.ts";

/** How this S3 differs from others. */
export interface S3FakeOptions {
  readonly bucket: string;
  /** What the path of its addresses begins with. @default "" */
  readonly base?: string;
  /** Secrets by access key. @default one pair, `AKTEST` */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Session tokens by the access key that needs one. */
  readonly tokens?: Readonly<Record<string, string>>;
  /** @default "us-east-1" */
  readonly region?: string;
  /** The server's clock. @default the runtime's */
  readonly now?: () => number;
  /** @default 1000 */
  readonly pageSize?: number;
  /** Order of listings: by bytes as in S3, or folder by folder. @default "bytes" */
  readonly order?: "bytes" | "tree";
  /** How `encoding-type=url` writes a space; "ignored" where it is. @default "+" */
  readonly space?: "+" | "%20" | "ignored";
  /** Conditions it takes no notice of. */
  readonly ignores?: readonly ("put" | "replace" | "large" | "delete")[];
  /** Whether it compares tags with what stands in the header, quotes included; in reads it does not. */
  readonly bareTags?: boolean;
}

/** A request as tests look at it. */
export interface FakeRequest extends SeenRequest {
  /** From 1. */
  readonly count: number;
  /** The key; empty for the bucket. */
  readonly key: string;
  /** `PUT`, `POST uploads`, `GET list-type`: the method and what of the query tells the call. */
  readonly call: string;
}

/** What the server does instead of answering as it should. */
export interface FakeFault {
  readonly status: number;
  readonly code?: string;
  /** More elements of the document. */
  readonly more?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The request has its effect all the same. */
  readonly done?: boolean;
  /** The connection breaks instead of an answer. */
  readonly lost?: boolean;
}

interface StoredObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  readonly time: number;
  readonly headers: Readonly<Record<string, string>>;
}

interface Upload {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, { readonly bytes: Uint8Array<ArrayBuffer>; readonly etag: string }>;
}

/** Calls that the query tells. */
const CALLS = ["uploads", "partNumber", "uploadId", "delete", "list-type"];

const MIN_PART = 5 * 2 ** 20;

/** The server. */
export class S3Fake {
  /** All requests so far. */
  readonly requests: FakeRequest[] = [];
  readonly objects: Map<string, StoredObject> = new Map();
  readonly uploads: Map<string, Upload> = new Map();
  /** Asked before each request what shall go wrong. */
  fault: (request: FakeRequest) => FakeFault | undefined = () => undefined;
  readonly #options: S3FakeOptions;

  constructor(options: S3FakeOptions) {
    this.#options = options;
  }

  /** Keys that `AKTEST` lets in with. */
  static readonly credentials: { accessKeyId: string; secretAccessKey: string } = {
    accessKeyId: "AKTEST",
    secretAccessKey: "SKTESTSECRET/+=",
  };

  /** The calls so far, without their keys. */
  get calls(): string[] {
    return this.requests.map(({ call }) => call);
  }

  get #now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  /** Answers a request. */
  readonly fetch = async (address: string, init: RequestInit): Promise<Response> => {
    if (init.signal?.aborted === true) throw new DOMException("aborted", "AbortError");
    const url = new URL(address);
    const request = new Request(address, init);
    const body = new Uint8Array(await request.arrayBuffer());
    const { method, headers } = request;
    const path = decodeURIComponent(url.pathname).slice(this.#options.base?.length ?? 0);
    const inPath = !url.hostname.startsWith(`${this.#options.bucket}.`);
    const [, bucket, ...rest] = path.split("/");
    const key = inPath ? rest.join("/") : path.slice(1);
    const named = CALLS.find((name) => url.searchParams.has(name));
    const call = [method, named].filter(Boolean).join(" ");
    const count = this.requests.length + 1;
    const seen: FakeRequest = { method, url, headers, body, key, call, count };
    this.requests.push(seen);
    const fault = this.fault(seen);
    const real =
      fault === undefined || fault.done === true
        ? (this.#refusal(seen, inPath ? bucket : this.#options.bucket) ?? this.#serve(seen))
        : undefined;
    if (fault?.lost === true) throw new TypeError("fetch failed: ECONNRESET");
    if (fault !== undefined) return this.#error(seen, fault);
    return real!;
  };

  #refusal(seen: FakeRequest, bucket: string | undefined): Response | undefined {
    const { secrets, tokens, region = "us-east-1" } = this.#options;
    const { accessKeyId, secretAccessKey } = S3Fake.credentials;
    const code = refusedSignature(seen, {
      secrets: secrets ?? { [accessKeyId]: secretAccessKey },
      tokens,
      region,
      now: this.#now,
    });
    if (code === "AuthorizationHeaderMalformed") {
      const headers = { "x-amz-bucket-region": region };
      return this.#error(seen, { status: 400, code, more: `<Region>${region}</Region>`, headers });
    }
    if (code === "RequestTimeTooSkewed") {
      const more = `<ServerTime>${new Date(this.#now).toISOString()}</ServerTime>`;
      return this.#error(seen, { status: 403, code, more });
    }
    if (code !== undefined) {
      return this.#error(seen, { status: code.startsWith("XAmz") ? 400 : 403, code });
    }
    if (bucket !== this.#options.bucket) {
      return this.#error(seen, { status: 404, code: "NoSuchBucket" });
    }
    return undefined;
  }

  #serve(seen: FakeRequest): Response {
    const { call, key } = seen;
    if (call === "GET list-type") return this.#list(seen);
    if (call === "POST delete") return this.#deleteAll(seen);
    if (call === "POST uploads") return this.#begin(seen);
    if (call === "PUT partNumber") return this.#part(seen);
    if (call === "POST uploadId") return this.#complete(seen);
    if (call === "DELETE uploadId") {
      const there = this.uploads.delete(seen.url.searchParams.get("uploadId") ?? "");
      return there ? this.#answer(204) : this.#error(seen, { status: 404, code: "NoSuchUpload" });
    }
    const object = this.objects.get(key);
    if (call === "PUT") {
      const refused = this.#condition(seen, "put", "replace");
      if (refused !== undefined) return refused;
      const etag = this.#store(key, seen.body, kept(seen.headers));
      return this.#answer(200, { etag });
    }
    if (call === "DELETE") {
      const refused = object === undefined ? undefined : this.#condition(seen, "delete", "delete");
      if (refused === undefined) this.objects.delete(key);
      return refused ?? this.#answer(204);
    }
    if (object === undefined) return this.#error(seen, { status: 404, code: "NoSuchKey" });
    return this.#read(seen, object);
  }

  #read(seen: FakeRequest, object: StoredObject): Response {
    const { bytes, etag, time, headers } = object;
    const ifMatch = seen.headers.get("if-match");
    if (ifMatch !== null && ifMatch.replaceAll('"', "") !== etag.replaceAll('"', "")) {
      return this.#error(seen, { status: 412, code: "PreconditionFailed" });
    }
    const known = { ...headers, etag, "last-modified": new Date(time).toUTCString() };
    const range = /^bytes=(\d+)-(\d*)$/.exec(seen.headers.get("range") ?? "");
    if (range === null) {
      const length = { "content-length": String(bytes.length) };
      return this.#answer(200, { ...known, ...length }, seen.method === "HEAD" ? null : bytes);
    }
    const start = Number(range[1]);
    if (start >= bytes.length) return this.#error(seen, { status: 416, code: "InvalidRange" });
    const part = bytes.slice(start, range[2] === "" ? undefined : Number(range[2]) + 1);
    const length = { "content-length": String(part.length) };
    const where = `bytes ${start}-${start + part.length - 1}/${bytes.length}`;
    return this.#answer(206, { ...known, ...length, "content-range": where }, part);
  }

  /** The refusal that a condition on a write asks for. */
  #condition(
    seen: FakeRequest,
    create: "put" | "large" | "delete",
    replace: "replace" | "large" | "delete",
  ): Response | undefined {
    const { ignores = [], bareTags = false } = this.#options;
    const object = this.objects.get(seen.key);
    const refused = this.#error(seen, { status: 412, code: "PreconditionFailed" });
    if (seen.headers.has("if-none-match") && !ignores.includes(create)) {
      if (object !== undefined) return refused;
    }
    const ifMatch = seen.headers.get("if-match");
    if (ifMatch === null || ignores.includes(replace)) return undefined;
    if (object === undefined) return this.#error(seen, { status: 404, code: "NoSuchKey" });
    const etag = bareTags ? object.etag.replaceAll('"', "") : object.etag;
    return ifMatch === etag ? undefined : refused;
  }

  #store(key: string, body: Uint8Array, headers: StoredObject["headers"], tag?: string): string {
    const etag = `"${tag ?? md5(body)}"`;
    this.objects.set(key, { bytes: body.slice(), etag, time: this.#now, headers });
    return etag;
  }

  #begin(seen: FakeRequest): Response {
    const id = `upload ${this.requests.length}/+=`;
    this.uploads.set(id, { key: seen.key, headers: kept(seen.headers), parts: new Map() });
    const text = `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`;
    return this.#xml(text);
  }

  #part(seen: FakeRequest): Response {
    const { searchParams } = seen.url;
    const upload = this.uploads.get(searchParams.get("uploadId") ?? "");
    if (upload === undefined) return this.#error(seen, { status: 404, code: "NoSuchUpload" });
    const etag = `"${md5(seen.body)}"`;
    const bytes = seen.body.slice();
    upload.parts.set(Number(searchParams.get("partNumber")), { bytes, etag });
    return this.#answer(200, { etag });
  }

  #complete(seen: FakeRequest): Response {
    const id = seen.url.searchParams.get("uploadId") ?? "";
    const upload = this.uploads.get(id);
    if (upload === undefined) return this.#error(seen, { status: 404, code: "NoSuchUpload" });
    const listed = [...text(seen.body).matchAll(/<PartNumber>(\d+)<.*?<ETag>(.*?)<\/ETag>/g)];
    const parts = listed.map(([, number, etag], i) => {
      const part = upload.parts.get(Number(number));
      return Number(number) === i + 1 && unescape(etag) === part?.etag ? part : undefined;
    });
    if (parts.length === 0 || parts.includes(undefined)) {
      return this.#error(seen, { status: 400, code: "InvalidPart" });
    }
    const whole = parts as { bytes: Uint8Array<ArrayBuffer>; etag: string }[];
    if (whole.slice(0, -1).some(({ bytes }) => bytes.length < MIN_PART)) {
      return this.#error(seen, { status: 400, code: "EntityTooSmall" });
    }
    const refused = this.#condition(seen, "large", "large");
    if (refused !== undefined) return refused;
    this.uploads.delete(id);
    const hashes = whole.map(({ etag }) => Buffer.from(etag.slice(1, -1), "hex"));
    const bytes = Buffer.concat(whole.map((part) => part.bytes));
    const tag = `${md5(Buffer.concat(hashes))}-${whole.length}`;
    const etag = this.#store(seen.key, bytes, upload.headers, tag);
    return this.#xml(
      `<CompleteMultipartUploadResult><ETag>${escape(etag)}</ETag></CompleteMultipartUploadResult>`,
    );
  }

  #deleteAll(seen: FakeRequest): Response {
    const sent = seen.headers.get("content-md5");
    if (sent !== createHash("md5").update(seen.body).digest("base64")) {
      const code = sent === null ? "InvalidRequest" : "BadDigest";
      return this.#error(seen, { status: 400, code });
    }
    const keys = [...text(seen.body).matchAll(/<Key>(.*?)<\/Key>/gs)].map((match) => match[1]);
    if (keys.length > 1000) return this.#error(seen, { status: 400, code: "MalformedXML" });
    for (const key of keys) this.objects.delete(unescape(key));
    return this.#xml("<DeleteResult></DeleteResult>");
  }

  #list(seen: FakeRequest): Response {
    const { pageSize = 1000, order = "bytes", space = "+" } = this.#options;
    const query = (name: string): string => seen.url.searchParams.get(name) ?? "";
    // In a tree the slash is the lowest character.
    const rank = (key: string): string => (order === "tree" ? key.replaceAll("/", "\u0001") : key);
    const from = query("continuation-token").slice("after ".length) || query("start-after");
    const all = [...this.objects.keys()]
      .filter((key) => key.startsWith(query("prefix")) && rank(key) > rank(from))
      // A walk that starts at a folder's own name leaves the folder out.
      .filter(
        (key) => order === "bytes" || from === "" || !key.startsWith(`${query("start-after")}/`),
      )
      .sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
    const size = Math.min(pageSize, Number(query("max-keys")) || 1000);
    const page = all.slice(0, size);
    const encoded = query("encoding-type") === "url" && space !== "ignored";
    const written = (key: string): string =>
      encoded
        ? encodeURIComponent(key).replaceAll("%20", space).replaceAll("%2F", "/")
        : escape(key);
    const contents = page.map((key) => {
      const { bytes, etag, time } = this.objects.get(key)!;
      return (
        `<Contents><Key>${written(key)}</Key><LastModified>${new Date(time).toISOString()}</LastModified>` +
        `<ETag>${escape(etag)}</ETag><Size>${bytes.length}</Size></Contents>`
      );
    });
    const more = all.length > size;
    const token = more
      ? `<NextContinuationToken>after ${escape(page.at(-1)!)}</NextContinuationToken>`
      : "";
    return this.#xml(
      `<ListBucketResult>${encoded ? "<EncodingType>url</EncodingType>" : ""}` +
        `<IsTruncated>${more}</IsTruncated>${token}${contents.join("")}</ListBucketResult>`,
    );
  }

  #error(seen: FakeRequest, { status, code, more = "", headers }: FakeFault): Response {
    const known = { "content-type": "application/xml", ...headers };
    if (seen.method === "HEAD" || code === undefined) return this.#answer(status, known);
    const document = `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>It says ${code}</Message>${more}</Error>`;
    return this.#answer(status, known, new TextEncoder().encode(document));
  }

  #xml(document: string): Response {
    return this.#answer(
      200,
      { "content-type": "application/xml" },
      new TextEncoder().encode(`<?xml version="1.0" encoding="UTF-8"?>\n${document}`),
    );
  }

  #answer(
    status: number,
    headers: Readonly<Record<string, string>> = {},
    body: Uint8Array<ArrayBuffer> | null = null,
  ): Response {
    const date = new Date(this.#now).toUTCString();
    return new Response(body, { status, headers: { date, ...headers } });
  }
}

/** What of the headers of a write comes back when the object is read. */
function kept(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    [...headers].filter(([name]) => name === "content-type" || name.startsWith("x-amz-meta-")),
  );
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function escape(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

function unescape(value = ""): string {
  return value.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)));
}
