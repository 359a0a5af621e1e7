/**
 * The workers of the blocking reads: the helper that reads, and a server of one object that knows no ranges.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parentPort } from "node:worker_threads";
import { httpStore } from "pagestream/transports/http";
import { type RequestPort, serveReads } from "pagestream/read-worker";

/** The object, of which each byte tells where it is. */
export const sample = (offset: number, length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => ((offset + i) * 31 + ((offset + i) >> 8)) & 255);

/** Its size in bytes. */
export const SAMPLE_SIZE = 300_000;

interface Scope {
  onmessage: unknown;
  postMessage(message: unknown): void;
}

/** `self` of a web worker, which Bun gives a parent's port too. */
const scope = globalThis as unknown as Scope;

if (parentPort !== null || "WorkerGlobalScope" in scope) {
  const begin = (server: string, port: RequestPort, say: (message: string) => void): void => {
    if (server === "") {
      const served = createServer((request, response) => {
        if (request.url === "/absent") return void response.writeHead(404).end();
        response.writeHead(200, {
          "content-length": SAMPLE_SIZE,
          "last-modified": new Date(0).toUTCString(),
          etag: '"1"',
        });
        response.end(sample(0, SAMPLE_SIZE));
      });
      served.listen(0, "127.0.0.1", () => say(String((served.address() as AddressInfo).port)));
      return;
    }
    serveReads(port, httpStore(server));
    say("up");
  };
  // The first message tells what this worker is. In Bun it comes by both ways, and so does each request after it.
  const first = (data: unknown): data is { readonly server: string } =>
    typeof (data as { readonly server?: unknown } | null)?.server === "string";
  parentPort?.on("message", (data: unknown) => {
    if (first(data)) begin(data.server, parentPort!, (text) => parentPort!.postMessage(text));
  });
  scope.onmessage = ({ data }: { readonly data: unknown }): void => {
    if (first(data)) begin(data.server, scope, (text) => scope.postMessage(text));
  };
}
