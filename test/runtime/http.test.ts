/**
 * The routes on the server of each runtime, read by a client that knows nothing of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";
import { bytesSink, restore } from "pagestream";
import { replicaRoutes } from "pagestream/http";
import { buildLtx, seededRandom } from "pagestream/testing";
import { httpStore } from "pagestream/transports/http";
import { memoryStore } from "pagestream/transports/memory";
import { describe, runtime, test } from "./kit.ts";

type Fetch = (request: Request) => Response | Promise<Response>;

interface Listening {
  readonly port: number;
  stop(): Promise<void>;
}

interface DenoServer {
  readonly addr: { readonly port: number };
  shutdown(): Promise<void>;
}

async function listen(fetch: Fetch): Promise<Listening> {
  const hostname = "127.0.0.1";
  if (runtime === "bun") {
    const { Bun } = globalThis as unknown as {
      readonly Bun: {
        serve(options: object): { readonly port: number; stop(force: boolean): Promise<void> };
      };
    };
    const server = Bun.serve({ hostname, port: 0, fetch, idleTimeout: 60 });
    return { port: server.port, stop: () => server.stop(true) };
  }
  if (runtime === "deno") {
    const { Deno } = globalThis as unknown as {
      readonly Deno: { serve(options: object, handler: Fetch): DenoServer };
    };
    const server = Deno.serve({ hostname, port: 0, onListen: () => undefined }, fetch);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  const { getRequestListener } = await import("@hono/node-server");
  const server = createServer(getRequestListener(fetch));
  await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const PAGES = 600;
const SIZE = PAGES * 4096;

describe("replicaRoutes()", () => {
  test("serves a replica to a client over the network", async () => {
    const random = seededRandom(8);
    const pages = Object.fromEntries(
      Array.from({ length: PAGES }, (_, i) => [i + 1, random.bytes(4096)]),
    );
    const image = new Uint8Array(SIZE);
    for (const [pgno, page] of Object.entries(pages)) image.set(page, (Number(pgno) - 1) * 4096);
    const store = memoryStore();
    const file = buildLtx({ pages });
    await store.put(`ltx/0/${file.name}`, file.bytes);

    const routes = replicaRoutes({
      replica: () => store,
      authorize: "public",
      pollMs: 20,
      freshMs: 10,
    });
    const server = await listen(new Hono().route("/db", routes).fetch);
    try {
      const url = `http://127.0.0.1:${server.port}/db`;
      const info = (await (await fetch(url)).json()) as { readonly txid: string };
      assert.equal(info.txid, "0000000000000001");

      const whole = await fetch(`${url}/snapshot`, { headers: { "accept-encoding": "gzip" } });
      assert.deepEqual(new Uint8Array(await whole.arrayBuffer()), image);
      const range = `bytes=${SIZE - 5000}-`;
      const part = await fetch(`${url}/snapshot?txid=${info.txid}`, { headers: { range } });
      assert.equal(part.status, 206);
      assert.deepEqual(new Uint8Array(await part.arrayBuffer()), image.subarray(SIZE - 5000));
      const head = await fetch(`${url}/snapshot`, {
        method: "HEAD",
        headers: { "accept-encoding": "identity" },
      });
      assert.equal(head.headers.get("content-length"), String(SIZE));
      const page = await fetch(`${url}/pages/600`);
      assert.deepEqual(new Uint8Array(await page.arrayBuffer()), pages[600]);

      const sink = bytesSink();
      assert.equal((await restore(httpStore(url), sink)).txid, 1n);

      const changes = await fetch(`${url}/changes`);
      assert.ok(changes.body !== null);
      const reader = changes.body.getReader();
      const next = async (): Promise<string> =>
        new TextDecoder().decode((await reader.read()).value);
      assert.match(await next(), /^id: 0{15}1\nevent: position\n/);
      const second = buildLtx({ minTxid: 2n, pages: { 5: 1 }, commit: PAGES });
      await store.put(`ltx/0/${second.name}`, second.bytes);
      assert.match(await next(), /^id: 0{15}2\nevent: change\n.*"pages":\[5\]/);
      await reader.cancel();

      const wrong = await fetch(url, { method: "DELETE" });
      assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "GET, HEAD"]);
      await wrong.body?.cancel();
    } finally {
      await server.stop();
      await routes.close();
    }
  });
});
