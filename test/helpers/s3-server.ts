/**
 * The strict S3 of the tests as a server on 127.0.0.1, for what runs in another process.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { S3Fake, type S3FakeOptions } from "./s3-fake.ts";

/** A running server. */
export interface S3Server {
  readonly endpoint: string;
  readonly fake: S3Fake;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Starts a server on a free port. */
export async function startS3Server(options: S3FakeOptions): Promise<S3Server> {
  const fake = new S3Fake(options);
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "GET" } = request;
    const address = `http://${request.headers.host}${request.url}`;
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) {
      if (!UNSIGNED.includes(name)) headers.set(name, String(value));
    }
    const body = method === "GET" || method === "HEAD" ? null : Buffer.concat(chunks);
    const answer = await fake.fetch(address, { method, headers, body });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(new Uint8Array(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fake,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Headers of the connection, which a `fetch` may not be given. */
const UNSIGNED: readonly string[] = ["connection", "host", "transfer-encoding", "content-length"];
