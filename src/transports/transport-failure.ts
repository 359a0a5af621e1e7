/**
 * What a failed `fetch` means, in words of ours: the runtime's own error may carry a signed URL.
 *
 * @module
 */

/** How a request failed before any answer came. */
export interface TransportFailure {
  /** What happened, for a message. */
  readonly what: string;
  /** What the reader can do, where there is something to do. */
  readonly next?: string | undefined;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
}

interface Pattern extends TransportFailure {
  readonly matches: RegExp;
}

/** By the codes of Node's and Bun's errors, and the words of Deno's and workerd's. The first that matches counts. */
const PATTERNS: readonly Pattern[] = [
  {
    matches:
      /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|ERR_TLS|certificate|UnknownIssuer|NotValidForName|ERR_SSL|EPROTO|wrong version number|InvalidContentType|tls handshake/i,
    what: "no secure connection: TLS or the server's certificate was refused",
    next: "Check the host name, the certificate and the clock; a private authority must be known to the runtime",
    retryable: false,
  },
  {
    matches: /ENOTFOUND|EAI_AGAIN|EAI_FAIL|dns error|DNS lookup|failed to lookup|getaddrinfo/i,
    what: "the host name was not found",
    next: "Check the endpoint and the name server",
    retryable: true,
  },
  {
    matches: /ECONNREFUSED|ConnectionRefused|connection refused|FailedToOpenSocket/i,
    what: "the connection was refused",
    next: "Check that the server runs and the port is right",
    retryable: true,
  },
  {
    matches:
      /ECONNRESET|ConnectionClosed|EPIPE|UND_ERR_SOCKET|connection reset|connection closed|connection lost|closed unexpectedly|other side closed|IncompleteMessage|sendrequest/i,
    what: "the connection was lost before the answer began",
    retryable: true,
  },
  {
    matches: /ETIMEDOUT|TIMEOUT|timed out|EHOSTUNREACH|ENETUNREACH|unreachable/i,
    what: "the server could not be reached in time",
    retryable: true,
  },
];

/** Where a browser, say, tells nothing at all. */
const UNKNOWN: TransportFailure = {
  what: "the request was blocked, refused or lost before an answer came",
  next: "Check the network, the endpoint and, in a browser, the CORS rules of the store: some servers leave their CORS headers out of a refusal",
  retryable: true,
};

/** Names what a failed `fetch` threw. Nothing of its text is passed on. */
export function describeTransportError(error: unknown): TransportFailure {
  const text = describe(error);
  return PATTERNS.find(({ matches }) => matches.test(text)) ?? UNKNOWN;
}

/** Codes and messages of an error and of what caused it, without the addresses in them. */
function describe(error: unknown): string {
  const words: string[] = [];
  let each = error;
  for (let depth = 0; depth < 4 && typeof each === "object" && each !== null; depth++) {
    const { code, name, message, cause } = each as Record<"code" | "name" | "message", unknown> & {
      cause?: unknown;
    };
    words.push(String(code ?? ""), String(name ?? ""));
    // An address may hold any word, a bucket called "certificates" among them.
    words.push(String(message ?? "").replace(/\w+:\/\/[^\s)]+/g, ""));
    each = cause;
  }
  return words.join(" ");
}
