/**
 * Requests to Azure Blob Storage: addressed, authorized, and their failures told.
 *
 * @module
 */
import { InvalidArgumentError, type PagestreamError } from "../core/errors.ts";
import { type TokenCache, tokenCache, type TokenSource } from "./access-token.ts";
import { type SharedKeySigner, sharedKeySigner } from "./azure-signing.ts";
import { NotFoundError, PreconditionFailedError, StoreError } from "./errors.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import type { HttpRequest, HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { checkEndpoint, encodePath, encodeQuery, type KeyPath, keyPath } from "./location.ts";
import { tryParseXml } from "./xml.ts";

/** Where a container is and what lets requests in. */
export interface AzureAccess extends HttpOptions {
  /** Name of the container; it must exist. */
  readonly container: string;
  /** Folder of the replica in the container. @default the container itself */
  readonly path?: string | undefined;
  /** Name of the storage account; needed with `accountKey`, and without `endpoint`. */
  readonly accountName?: string | undefined;
  /** Address of the blob service. @default "https://ACCOUNT.blob.core.windows.net" */
  readonly endpoint?: string | undefined;
  /** A shared access signature, with or without `?`. Used instead of a key where both are given. */
  readonly sasToken?: string | undefined;
  /** A key of the account, in base64. */
  readonly accountKey?: string | undefined;
  /** Gives tokens of Microsoft Entra, where there is neither of the two; see `entraClientCredentials`. */
  readonly token?: TokenSource | undefined;
}

/** The version of the REST interface. The first with batches per container is 2020-04-08. */
const API_VERSION = "2021-12-02";

/** A difference of the clocks that is worth a second attempt; the service allows 15 minutes. */
const SKEW_MS = 5 * 60_000;

/** Longest text of a failure that is read. */
const ERROR_LIMIT = 65_536;

/** A request to the container or to a blob in it. */
export interface AzureRequest extends Omit<HttpRequest, "url" | "object"> {
  /** Key of the blob; the container itself where it is left out. */
  readonly key?: string | undefined;
  /** Parameters; undefined ones are left out. */
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
}

/** A request of a batch: it has no connection of its own. */
export interface AzureSubrequest {
  /** Path and parameters. */
  readonly path: string;
  /** Headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends requests to one container. */
export interface AzureRequests {
  /** Address of the replica without any secret. */
  readonly description: string;
  /** Where in the container its keys lie. */
  readonly place: KeyPath;
  /** The client underneath, for its `retry` and clock. */
  readonly client: HttpClient;
  /** Sends a request and returns its answer, whatever the status. */
  send(request: AzureRequest): Promise<HttpResponse>;
  /** A request as it stands in a batch. */
  subrequest(request: AzureRequest): Promise<AzureSubrequest>;
}

/** Makes the requests of a container; options that cannot work are `InvalidArgumentError`. */
export function azureRequests(options: AzureAccess): AzureRequests {
  const { container, accountName, endpoint } = options;
  checkContainer(container);
  if (endpoint === undefined) checkAccount(accountName);
  const service = checkEndpoint(
    endpoint ?? `https://${accountName}.blob.core.windows.net`,
    "an Azure store",
  );
  const client = new HttpClient(options);
  const authorization = makeAuthorization(options, client);
  const place = keyPath(options.path, "an Azure store");
  const root = `${service}/${encodePath(container)}`;
  const description = [root, place.path].filter(Boolean).join("/");
  const addressed = ({ key, query, ...request }: AzureRequest): HttpRequest => {
    const path = key === undefined ? root : `${root}/${encodePath(place.prefix + key)}`;
    const search = [encodeQuery(query ?? {}), authorization.query].filter(Boolean).join("&");
    return {
      ...request,
      object: key ?? description,
      url: search === "" ? path : `${path}?${search}`,
    };
  };

  return {
    description,
    place,
    client,

    async send(request) {
      const plain = addressed(request);
      const headers = { ...plain.headers, "x-ms-version": API_VERSION };
      for (let attempt = 1; ; attempt++) {
        const more = await authorization.headers({ ...plain, headers });
        const response = await client.send({ ...plain, headers: { ...headers, ...more } });
        if (attempt > 1 || !authorization.renew(response)) return response;
        await response.discard();
      }
    },

    async subrequest(request) {
      const plain = addressed(request);
      const headers = await authorization.headers(plain);
      return { path: plain.url.slice(new URL(plain.url).origin.length), headers };
    },
  };
}

/** One of the ways to be let in. */
interface Authorization {
  /** Parameters of every request. */
  readonly query: string;
  /** Headers of a request. */
  headers(request: HttpRequest): Promise<Record<string, string>>;
  /** Whether a request that was refused may be accepted now: with a fresh token, or another time. */
  renew(response: HttpResponse): boolean;
}

function makeAuthorization(options: AzureAccess, client: HttpClient): Authorization {
  const { accountName, accountKey, sasToken, token } = options;
  if (sasToken !== undefined) return signedAccess(sasToken);
  if (accountKey !== undefined) {
    checkAccount(accountName);
    return sharedKey(sharedKeySigner(accountName, accountKey), client);
  }
  if (token !== undefined) return bearer(tokenCache(token, client.platform.clock));
  return { query: "", headers: () => Promise.resolve({}), renew: () => false };
}

function signedAccess(sasToken: string): Authorization {
  const query = sasToken.trim().replace(/^\?/, "");
  if (!/(^|&)sig=[^&\s]+/.test(query) || /[#\s]/.test(query)) {
    throw new InvalidArgumentError({
      operation: "use",
      object: "the SAS token of an Azure store",
      what: "it holds no signature",
      next: "Copy the whole query string, from sv= to the end of sig=, without an address",
    });
  }
  return { query, headers: () => Promise.resolve({}), renew: () => false };
}

function sharedKey(sign: SharedKeySigner, { platform }: HttpClient): Authorization {
  let offsetMs = 0;
  return {
    query: "",
    async headers({ method, url, headers, body }) {
      const date = new Date(platform.clock.now() + offsetMs).toUTCString();
      const contentLength = body instanceof Blob ? body.size : (body?.length ?? 0);
      const signed = { ...headers, "x-ms-date": date };
      const authorization = await sign({ method, url, headers: signed, contentLength });
      return { "x-ms-date": date, authorization };
    },
    renew(response) {
      if (response.status !== 403) return false;
      const theirs = Date.parse(response.header("date") ?? "");
      const offset = theirs - platform.clock.now();
      if (Number.isNaN(offset) || Math.abs(offset - offsetMs) < SKEW_MS) return false;
      offsetMs = offset;
      return true;
    },
  };
}

function bearer(tokens: TokenCache): Authorization {
  return {
    query: "",
    headers: async (request) => ({ authorization: `Bearer ${await tokens.get(request)}` }),
    renew: (response) => tokens.refusedBy(response),
  };
}

/** Codes of a 412 that is not about the version of the blob. */
const LEASED: readonly string[] = ["LeaseIdMissing", "LeaseIdMismatchWithBlobOperation"];

/**
 * The error that an answer stands for. A missing blob is `NotFoundError`; a missing container is not, since nothing can be
 * written or listed there.
 */
export async function azureError(response: HttpResponse): Promise<PagestreamError> {
  const { operation, object, method } = response.request;
  const { status } = response;
  const text = method === "HEAD" ? "" : await response.text(ERROR_LIMIT).catch(() => "");
  if (method === "HEAD") await response.discard();
  const document = tryParseXml(text);
  const code = response.header("x-ms-error-code") ?? document?.textOf("Code");
  const message = document?.textOf("Message");
  if (code === "BlobNotFound" || (status === 404 && method === "HEAD" && code === undefined)) {
    return new NotFoundError({ operation, object, what: "the container holds no such blob" });
  }
  if (code === "BlobAlreadyExists") {
    return new PreconditionFailedError({
      operation,
      object,
      what: "the blob already exists",
      next: "Read it to learn whose it is",
    });
  }
  if (status === 412 && code !== undefined && LEASED.includes(code)) {
    const next = "End the lease of the blob, which no writer of replicas takes";
    return new StoreError({ operation, object, what: "the blob is leased", next });
  }
  return statusError(response, { code, message });
}

function checkContainer(container: string): void {
  if (/^(?:\$root|\$web|(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*)$/.test(container)) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: JSON.stringify(container),
    what: "it is no name of a container",
    next: "Give 3 to 63 small letters, digits and single hyphens; a folder goes into path",
  });
}

function checkAccount(accountName: string | undefined): asserts accountName is string {
  if (accountName !== undefined && /^[a-z0-9]{3,24}$/.test(accountName)) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: "an Azure store",
    what:
      accountName === undefined ? "accountName is missing" : "accountName is no name of an account",
    next: "Give 3 to 24 small letters and digits, as in ACCOUNT.blob.core.windows.net",
  });
}
