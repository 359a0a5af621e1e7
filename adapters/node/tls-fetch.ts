/**
 * A `fetch` over TLS with certificates of one's own, which the runtime's has no options for.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { Readable } from "node:stream";
import { getCACertificates, rootCertificates } from "node:tls";
import type { Fetch } from "pagestream/transports/store-from-url";

/** How connections are made. */
export interface TlsFetchOptions {
  /** Accept any certificate. @default false */
  readonly skipVerify?: boolean | undefined;
  /** Authorities to trust beside those that this process trusts, in PEM. @default none */
  readonly authorities?: readonly string[] | undefined;
  /** The client's certificate in PEM. */
  readonly cert?: string | undefined;
  /** Its key in PEM. */
  readonly key?: string | undefined;
}

/**
 * Makes a `fetch` for stores: it takes a whole URL and a body of known length, follows no redirect and unpacks no body.
 * Connections are kept between requests and do not keep the process alive. Over plain HTTP it is the runtime's.
 */
export function tlsFetch({
  skipVerify = false,
  authorities = [],
  cert,
  key,
}: TlsFetchOptions): Fetch {
  const agent = new Agent({
    keepAlive: true,
    rejectUnauthorized: !skipVerify,
    ...(authorities.length === 0 ? {} : { ca: [...trusted(), ...authorities] }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  return async (url, init) =>
    url.startsWith("https:") ? await send(url, init, agent) : await fetch(url, init);
}

/** To name authorities takes away the others. Node 22 knows the bundled ones only. */
function trusted(): readonly string[] {
  return (
    (getCACertificates as typeof getCACertificates | undefined)?.("default") ?? rootCertificates
  );
}

async function send(url: string, init: RequestInit, agent: Agent): Promise<Response> {
  const { method = "GET", signal } = init;
  const headers = Object.fromEntries(new Headers(init.headers ?? {}));
  const body = init.body ? await new Response(init.body).bytes() : undefined;
  if (body !== undefined) headers["content-length"] = String(body.length);
  return await new Promise((resolve, reject) => {
    const options = { method, headers, agent, ...(signal ? { signal } : {}) };
    request(url, options, (answer) => resolve(responseOf(answer, method)))
      .on("error", reject)
      .end(body);
  });
}

function responseOf(answer: IncomingMessage, method: string): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
    headers.append(answer.rawHeaders[i] as string, answer.rawHeaders[i + 1] as string);
  }
  const status = answer.statusCode ?? 0;
  const isEmpty = method === "HEAD" || status === 204 || status === 205 || status === 304;
  if (isEmpty) answer.resume();
  const body = isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
  return new Response(body, { status, headers });
}
