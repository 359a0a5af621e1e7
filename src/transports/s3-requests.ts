/**
 * Requests in the manner of S3: signed, sent, and told from their failures.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import { conditionFailed, NotFoundError, StoreError } from "./errors.ts";
import { type HttpClient, RedirectError } from "./http-client.ts";
import type { HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import type { S3Refusal, S3Signer, S3SignRequest } from "./s3-signing.ts";
import { parseXml, tryParseXml, type XmlNode } from "./xml.ts";

/** A request to a bucket. */
export interface S3Request extends S3SignRequest {
  /** Verb phrase that completes "Cannot …" in an error. */
  readonly operation: string;
  /** The key, as errors name it. */
  readonly object: string;
  /** What is sent. */
  readonly body?: Uint8Array<ArrayBuffer> | string | undefined;
  /** Statuses of 300 and more that the caller takes as an answer. */
  readonly accept?: readonly number[] | undefined;
  /** Ends the request, or the reading of its answer, with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** A bucket that answers. */
export interface S3Door {
  /** Sends the requests, and repeats those inside a call. */
  readonly client: HttpClient;
  /** The server's clock, as far as it is known, in milliseconds since the Unix epoch. */
  now(): number;
  /** Sends a request; an answer of another status than a good one, or one of `accept`, is an error. */
  send(request: S3Request): Promise<HttpResponse>;
  /** The document that answers a request; one that tells of an error is an error whatever the status. */
  sendForXml(request: S3Request): Promise<XmlNode>;
}

/** Most of an error document that is read. */
const ERROR_LIMIT = 64 * 1024;

/** Makes requests through a signer. */
export function s3Door(client: HttpClient, signer: S3Signer): S3Door {
  const send = async (request: S3Request): Promise<HttpResponse> => {
    const { operation, object, signal, method, body, accept } = request;
    const tried = new Set<string>();
    for (;;) {
      throwIfAborted(signal, operation, object);
      const signature = await signer.sign(request, body, request);
      // Ranges are cut out of what is stored, so nothing may be packed on the way. Not signed: Google rewrites it.
      const identity = method === "GET" ? { "accept-encoding": "identity" } : {};
      const headers = { ...signature.headers, ...identity };
      const { url } = signature;
      let failure: Failure;
      try {
        const answer = await client.send({ operation, object, method, url, headers, body, signal });
        if (answer.status < 300 || accept?.includes(answer.status) === true) return answer;
        failure = await failureOf(answer);
      } catch (error) {
        if (!(error instanceof RedirectError)) throw error;
        failure = { error, status: 301, region: error.region };
      }
      // Each thing that can be learned is learned once: a server that contradicts itself gets no second chance.
      const remedy = signature.remedy(failure);
      if (remedy === undefined || tried.has(remedy)) throw failure.error;
      tried.add(remedy);
    }
  };
  return {
    client,
    now: () => client.platform.clock.now() + signer.skewMs,
    send,
    async sendForXml(request) {
      const answer = await send(request);
      // White space before the document keeps the connection alive while the server works.
      const root = parseXml((await answer.text()).trim(), request);
      if (root.name === "Error") throw errorOf(answer, root);
      return root;
    },
  };
}

interface Failure extends S3Refusal {
  readonly error: Error;
}

async function failureOf(answer: HttpResponse): Promise<Failure> {
  const { operation, object, signal } = answer.request;
  // A refusal that cannot be read whole is one nevertheless.
  const text = await answer.text(ERROR_LIMIT).catch(() => "");
  throwIfAborted(signal, operation, object);
  const document = tryParseXml(text.trim());
  const named = document?.textOf("Region") || answer.header("x-amz-bucket-region");
  const time = Date.parse(document?.textOf("ServerTime") || (answer.header("date") ?? ""));
  return {
    error: errorOf(answer, document),
    status: answer.status,
    code: document?.textOf("Code"),
    region: named,
    serverTime: Number.isNaN(time) ? undefined : time,
  };
}

/** What a refusal means. A bare 404 may be any server's: only a code, or HEAD, which has none, tells of a missing key. */
function errorOf(answer: HttpResponse, document: XmlNode | undefined): Error {
  const { operation, object, method } = answer.request;
  const code = document?.textOf("Code") ?? "";
  if (code === "NoSuchKey" || (method === "HEAD" && answer.status === 404)) {
    return new NotFoundError({ operation, object, what: "there is no such object" });
  }
  if (code === "NoSuchBucket") {
    const what = "there is no such bucket";
    return new StoreError({ operation, object, what, next: "Create it, or correct its name" });
  }
  if (code === "PreconditionFailed" || code === "FileAlreadyExists") {
    return conditionFailed({ operation, object });
  }
  return statusError(answer, { code, message: document?.textOf("Message") });
}
