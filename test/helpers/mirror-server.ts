/**
 * A server that throws back at its client whatever it was sent, as careless servers and proxies do in their error pages.
 *
 * @module
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** A running server. */
export interface MirrorServer {
  readonly url: string;
  /** Status of the answers from now on. */
  status: number;
  /** Form of the answers from now on. */
  form: "html" | "json" | "xml";
  close(): Promise<void>;
}

/** Starts a server that repeats the request in every header and text of its answer. */
export async function mirrorServer(): Promise<MirrorServer> {
  const mirror = { status: 400, form: "xml" as MirrorServer["form"] };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const told = `${describe(request)} ${Buffer.concat(chunks).subarray(0, 2000)}`;
      const header = Buffer.from(told)
        .toString("latin1")
        .replace(/[^\t -~\u0080-\u00ff]/g, " ");
      response.writeHead(mirror.status, {
        location: `http://127.0.0.1:1${request.url}`,
        "x-ms-error-code": header,
        "www-authenticate": `Basic realm="${header.replaceAll('"', "")}"`,
        "x-amz-bucket-region": header,
      });
      response.end(request.method === "HEAD" ? undefined : body(told, mirror.form));
    });
    request.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(mirror, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: (): Promise<void> => {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  });
}

function describe(request: IncomingMessage): string {
  return `${request.method} ${request.url} ${request.rawHeaders.join(" ")}`;
}

function body(told: string, form: MirrorServer["form"]): string {
  if (form === "json") {
    const error = {
      code: told,
      message: told,
      status: told,
      errors: [{ reason: told, message: told }],
    };
    return JSON.stringify({ error, error_description: told, items: told, access_token: 7 });
  }
  const text = told.replace(/[&<>]/g, " ").replace(/[^\t\n -~\u00a0-\ud7ff]/g, " ");
  if (form === "html") return `<html><title>${text}</title>${text}</html>`;
  return (
    `<?xml version="1.0"?><Error><Code>${text}</Code><Message>${text}</Message>` +
    `<StringToSign>${text}</StringToSign><Region>${text}</Region></Error>`
  );
}
