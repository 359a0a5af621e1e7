/**
 * Asks a daemon through its control socket.
 *
 * @module
 */
import { request } from "node:http";

/** One question. */
export interface ControlRequest {
  /** The socket of the daemon. */
  readonly socket: string;
  /** Path of the API; with a `body` it is posted. */
  readonly route: string;
  readonly body?: object | undefined;
  /** How long the answer may take, in milliseconds. */
  readonly timeoutMs: number;
}

/** What the daemon said. */
export interface ControlAnswer {
  readonly status: number;
  /** The JSON of the answer, or its text where it is none. */
  readonly body: unknown;
}

/** Sends a question and reads the answer. Rejects where there is no daemon, and where it does not answer in time. */
export function askDaemon(question: ControlRequest): Promise<ControlAnswer> {
  const { socket, route, body, timeoutMs } = question;
  return new Promise((resolve, reject) => {
    const message = request({
      socketPath: socket,
      path: route,
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "content-type": "application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    message.on("error", reject);
    message.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: parse(text) }));
    });
    message.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text.trim();
  }
}
