/** @module */
import { memoryStore } from "pagestream/transports/memory";
import { describe, expect, test } from "vitest";
import { serveApp, type ServeOptions } from "./serve-app.ts";

const NAME = "0000000000000001-0000000000000001.ltx";
const FILE = `/ltx/0/${NAME}`;
const TOKEN = "0123456789abcdef";

async function ask(
  path: string,
  headers: Record<string, string>,
  options: ServeOptions,
): Promise<Response> {
  const store = memoryStore();
  await store.put(`ltx/0/${NAME}`, new Uint8Array(100));
  const { app, close } = serveApp(store, options);
  const response = await app.request(path, { headers });
  await close();
  return response;
}

describe("serveApp()", () => {
  test("serveApp() asks for the token, and lets nobody else keep what it gave for it", async () => {
    const statusOf = async (path: string, authorization?: string): Promise<number> => {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      return (await ask(path, headers, { token: TOKEN })).status;
    };
    for (const path of [FILE, "/", "/info", "/pagestream-index.json", "/lock.json"]) {
      expect(await statusOf(path)).toBe(401);
    }
    for (const wrong of ["Bearer", `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
      expect(await statusOf(FILE, wrong)).toBe(401);
    }
    expect(await statusOf(FILE, `bearer ${TOKEN}`)).toBe(200);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const { headers: given } = await ask(FILE, headers, { token: TOKEN });
    expect(given.get("cache-control")).toBe("private, max-age=31536000, immutable");
    const refused = await ask(FILE, {}, { token: TOKEN });
    expect(refused.headers.get("www-authenticate")).toBe('Bearer realm="pagestream"');
  });

  test.each([
    ["localhost", 200],
    ["LOCALHOST:8081", 200],
    ["127.0.0.1:8081", 200],
    ["[::1]:8081", 200],
    ["", 421],
    ["rebound.example", 421],
    ["rebound.example:8081", 421],
    ["127.0.0.1.example", 421],
    ["localhost.example:80", 421],
  ])("serveApp() answers the name %j on a loopback address with %i", async (host, status) => {
    expect((await ask(FILE, { host }, { isLoopback: true })).status).toBe(status);
    expect((await ask(FILE, { host }, {})).status).toBe(200);
  });
});
