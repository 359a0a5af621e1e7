/**
 * A proxy over HTTP between a store and its server that loses, delays, cuts and forges what it is told to.
 *
 * The `Host` header goes through unchanged, so signatures hold.
 *
 * @module
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as forward,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** One request as a plan sees it. */
export interface ProxiedRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Counts the requests since the plan was set, from 1. */
  readonly count: number;
}

/** What happens to a request. */
export interface ProxyFault {
  /** Answered by the proxy; the server sees nothing. */
  readonly answer?:
    | {
        readonly status: number;
        readonly headers?: Readonly<Record<string, string>>;
        readonly body?: string;
      }
    | undefined;
  /** The connection ends: before the server sees the request, or after it has done what was asked. */
  readonly lose?: "request" | "answer" | undefined;
  /** No answer ever comes; the server sees nothing. */
  readonly silent?: boolean | undefined;
  /** The connection ends after this many bytes of the server's body. */
  readonly cutAfter?: number | undefined;
  /** Nothing more comes after this many bytes of the server's body. */
  readonly silentAfter?: number | undefined;
}

/** A running proxy. */
export interface FaultProxy {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** Requests since the plan was set. */
  readonly requests: readonly ProxiedRequest[];
  /** Bytes of bodies, towards the server and from it. */
  readonly bytes: { readonly received: number; readonly sent: number };
  /** Decides on each request from now on; without a plan all go through. */
  plan(plan?: (request: ProxiedRequest) => ProxyFault | undefined): void;
  close(): Promise<void>;
}

/** Starts a proxy in front of `origin`, such as `http://127.0.0.1:9101`. */
export async function faultProxy(origin: string): Promise<FaultProxy> {
  let requests: ProxiedRequest[] = [];
  let plan: ((request: ProxiedRequest) => ProxyFault | undefined) | undefined;
  const { hostname, port } = new URL(origin);
  const bytes = { received: 0, sent: 0 };
  const server = createServer((incoming, outgoing) => {
    const proxied: ProxiedRequest = {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: incoming.headers,
      count: requests.length + 1,
    };
    requests.push(proxied);
    const fault = plan?.(proxied) ?? {};
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    if (fault.lose === "request") return void incoming.socket.destroy();
    if (fault.silent === true) return void incoming.resume();
    if (fault.answer !== undefined) return answer(incoming, outgoing, fault.answer);
    const onward = forward(
      {
        hostname,
        port,
        method: incoming.method,
        path: incoming.url,
        headers: [...toPairs(incoming.rawHeaders), ...lengthOfNothing(incoming)],
        setHost: false,
        agent: false,
      },
      (reply) => {
        reply.on("data", (chunk: Buffer) => (bytes.sent += chunk.length));
        relay(reply, outgoing, fault);
      },
    );
    onward.on("error", () => incoming.socket.destroy());
    incoming.on("data", (chunk: Buffer) => (bytes.received += chunk.length));
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    bytes,
    plan(next) {
      requests = [];
      plan = next;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
}

function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { status, headers = {}, body = "" }: NonNullable<ProxyFault["answer"]>,
): void {
  // The request is read first: a server that answers early resets the connection under a large body.
  incoming.resume();
  incoming.on("end", () => {
    outgoing.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
    outgoing.end(incoming.method === "HEAD" ? undefined : body);
  });
}

function relay(reply: IncomingMessage, outgoing: ServerResponse, fault: ProxyFault): void {
  reply.on("error", () => outgoing.destroy());
  if (fault.lose === "answer") {
    reply.resume();
    reply.on("end", () => outgoing.destroy());
    return;
  }
  outgoing.writeHead(reply.statusCode ?? 502, toPairs(reply.rawHeaders));
  const limit = fault.cutAfter ?? fault.silentAfter;
  if (limit === undefined) {
    reply.pipe(outgoing);
    return;
  }
  let left = limit;
  outgoing.flushHeaders();
  const end = (): void => {
    reply.destroy();
    // What was written must be on its way before the connection ends.
    if (fault.cutAfter !== undefined) setImmediate(() => outgoing.destroy());
  };
  reply.on("data", (chunk: Buffer) => {
    const part = chunk.subarray(0, left);
    left -= part.length;
    if (part.length > 0) outgoing.write(part, left === 0 ? end : undefined);
    if (left === 0) reply.pause();
  });
  // A shorter answer is whole, and the client uses the connection again.
  reply.on("end", () => outgoing.end());
  if (limit === 0) end();
}

/** Node would send a request without a body in chunks if it does not know the method, which nginx refuses for MKCOL. */
function lengthOfNothing({ method, headers }: IncomingMessage): string[] {
  const hasBody = "content-length" in headers || "transfer-encoding" in headers;
  return hasBody || method === "GET" || method === "HEAD" ? [] : ["content-length", "0"];
}

/** Raw headers as Node takes them, repeated names and their case kept. */
function toPairs(raw: readonly string[]): string[] {
  return [...raw];
}
