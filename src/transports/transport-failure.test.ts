import { expect, test } from "vitest";
import { describeTransportError } from "./transport-failure.ts";

/** As the runtimes throw them. */
const FAILURES: readonly (readonly [string, unknown, string, boolean])[] = [
  ["Node, name", nodeError("ENOTFOUND", "getaddrinfo ENOTFOUND h"), "host name", true],
  ["Node, refused", nodeError("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:1"), "refused", true],
  ["Node, reset", nodeError("ECONNRESET", "read ECONNRESET"), "lost", true],
  ["Node, socket", nodeError("UND_ERR_SOCKET", "other side closed"), "lost", true],
  ["Node, expired", nodeError("CERT_HAS_EXPIRED", "certificate has expired"), "secure", false],
  ["Node, self-signed", nodeError("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed"), "secure", false],
  [
    "Node, no TLS",
    nodeError("ERR_SSL_WRONG_VERSION_NUMBER", "wrong version number"),
    "secure",
    false,
  ],
  ["Node, time", nodeError("UND_ERR_CONNECT_TIMEOUT", "Connect Timeout Error"), "in time", true],
  [
    "Deno, name",
    new TypeError("error sending request for url (https://certificate/?a=b): dns error: failed"),
    "host name",
    true,
  ],
  [
    "Deno, refused",
    new TypeError(
      "error sending request for url (http://h/): tcp connect error: Connection refused",
    ),
    "refused",
    true,
  ],
  [
    "Deno, certificate",
    new TypeError("error sending request: invalid peer certificate: UnknownIssuer"),
    "secure",
    false,
  ],
  ["Bun, refused", coded("ConnectionRefused", "Unable to connect."), "refused", true],
  ["Bun, closed", coded("ConnectionClosed", "The socket was closed unexpectedly"), "lost", true],
  ["workerd, lost", new Error("Network connection lost."), "lost", true],
  ["a browser", new TypeError("Failed to fetch"), "blocked", true],
  ["no error at all", "https://secret", "blocked", true],
];

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function nodeError(code: string, message: string): TypeError {
  return new TypeError("fetch failed", { cause: coded(code, message) });
}

for (const [name, error, what, retryable] of FAILURES) {
  test(`describeTransportError() knows ${name}`, () => {
    const failure = describeTransportError(error);
    expect(failure.what).toContain(what);
    expect(failure.retryable).toBe(retryable);
    expect(JSON.stringify(failure)).not.toContain("://");
  });
}
