/**
 * Requests to the JSON interface of Google Cloud Storage: addressed, authorized, and their failures told.
 *
 * @module
 */
import { InvalidArgumentError, type PagestreamError } from "../core/errors.ts";
import { tokenCache, type TokenSource } from "./access-token.ts";
import { NotFoundError } from "./errors.ts";
import { type GoogleCredentials, googleToken } from "./gcs-credentials.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import type { HttpRequest, HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { asObject, listField, parseJson, textField } from "./json.ts";
import { checkEndpoint, encodeName, encodeQuery, type KeyPath, keyPath } from "./location.ts";

/** Where a bucket is and what lets requests in. */
export interface GcsAccess extends HttpOptions {
  /** Name of the bucket; it must exist. */
  readonly bucket: string;
  /** Folder of the replica in the bucket. @default the bucket itself */
  readonly path?: string | undefined;
  /** Address of the service. @default "https://storage.googleapis.com" */
  readonly endpoint?: string | undefined;
  /** What a credentials file holds, parsed or as text: a service account, or a user of gcloud. */
  readonly credentials?: GoogleCredentials | string | undefined;
  /** Gives tokens, where there are no `credentials`; see `googleMetadataServer`. */
  readonly token?: TokenSource | undefined;
}

/** Longest text of a failure that is read. */
const ERROR_LIMIT = 65_536;

/** A request to the bucket or to an object in it. */
export interface GcsRequest extends Omit<HttpRequest, "url" | "object"> {
  /** Key of the object; the bucket itself where it is left out. */
  readonly key?: string | undefined;
  /** Whether this begins an upload, which has an address of its own. */
  readonly upload?: boolean | undefined;
  /** Parameters; undefined ones are left out. */
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
}

/** Sends requests to one bucket. */
export interface GcsRequests {
  /** Address of the replica. */
  readonly description: string;
  /** Where in the bucket its keys lie. */
  readonly place: KeyPath;
  /** The client underneath: for its `retry`, and for addresses that need no credentials. */
  readonly client: HttpClient;
  /** Sends a request and returns its answer, whatever the status. */
  send(request: GcsRequest): Promise<HttpResponse>;
}

/** Makes the requests of a bucket; options that cannot work are `InvalidArgumentError`. */
export function gcsRequests(options: GcsAccess): GcsRequests {
  const { bucket, credentials } = options;
  checkBucket(bucket);
  const service = checkEndpoint(
    options.endpoint ?? "https://storage.googleapis.com",
    "a Google Cloud Storage store",
  );
  const client = new HttpClient(options);
  const source = credentials === undefined ? options.token : googleToken(credentials, options);
  const tokens = source && tokenCache(source, client.platform.clock);
  const place = keyPath(options.path, "a Google Cloud Storage store");
  const description = [service, bucket, place.path].filter(Boolean).join("/");

  const addressed = ({ key, upload, query, ...request }: GcsRequest): HttpRequest => {
    const objects = `/storage/v1/b/${encodeName(bucket)}/o`;
    const name = key === undefined ? undefined : place.prefix + key;
    const path = upload === true ? `/upload${objects}` : objects;
    const below = name === undefined || upload === true ? "" : `/${encodeName(name)}`;
    const search = encodeQuery({ ...query, name: upload === true ? name : undefined });
    const url = `${service}${path}${below}${search === "" ? "" : `?${search}`}`;
    return { ...request, object: key ?? description, url };
  };

  return {
    description,
    place,
    client,

    async send(request) {
      const plain = addressed(request);
      for (let attempt = 1; ; attempt++) {
        const token = await tokens?.get(plain);
        const authorization = token === undefined ? undefined : `Bearer ${token}`;
        const headers = { ...plain.headers, authorization };
        const response = await client.send({ ...plain, headers });
        if (attempt > 1 || tokens?.refusedBy(response) !== true) return response;
        await response.discard();
      }
    },
  };
}

/** The error that an answer stands for, where the object need not exist: then 404 is about the bucket. */
export async function gcsError(response: HttpResponse): Promise<PagestreamError> {
  return statusError(response, failureOf(await failureText(response)));
}

/** The error that an answer about an object stands for; `NotFoundError` unless it is the bucket that is missing. */
export async function objectError(response: HttpResponse): Promise<PagestreamError> {
  const text = await failureText(response);
  if (response.status !== 404 || /bucket does not exist/i.test(text)) {
    return statusError(response, failureOf(text));
  }
  const { operation, object } = response.request;
  return new NotFoundError({ operation, object, what: "the bucket holds no such object" });
}

async function failureText(response: HttpResponse): Promise<string> {
  return await response.text(ERROR_LIMIT).catch(() => "");
}

function failureOf(text: string): { code: string | undefined; message: string | undefined } {
  const error = asObject(parseJson(text)["error"]);
  const code = textField(asObject(listField(error, "errors")[0]), "reason");
  return { code, message: textField(error, "message") };
}

function checkBucket(bucket: string): void {
  if (/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket)) return;
  throw new InvalidArgumentError({
    operation: "use",
    object: JSON.stringify(bucket),
    what: "it is no name of a bucket",
    next: "Give 3 or more small letters, digits, hyphens, dots and underscores; a folder goes into path",
  });
}
