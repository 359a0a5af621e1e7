import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterEach, expect, test } from "vitest";
import { failure, readBody } from "../testing/test-kit.ts";
import { fakePlatform } from "../testing/fake-platform.ts";
import { StoreError } from "./errors.ts";
import { HttpClient, RedirectError } from "./http-client.ts";
import type { HttpRequest } from "./http-response.ts";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function get(url: string, more: Partial<HttpRequest> = {}): HttpRequest {
  return { operation: "read", object: "key", method: "GET", url, ...more };
}

async function caught(call: () => Promise<unknown>): Promise<StoreError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("send() passes method, headers and body on, and reads the answer", async () => {
  const url = await serve((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      response.writeHead(201, { "x-meta-a": "1", "x-meta-b": "2", etag: '"e"' });
      response.end(`${request.method} ${request.headers["x-one"]} ${body}`);
    });
  });
  const answer = await new HttpClient().send(
    get(url, { method: "PUT", headers: { "x-one": "1", "x-two": undefined }, body: "hello" }),
  );
  expect([answer.status, answer.header("etag"), answer.header("absent")]).toEqual([
    201,
    '"e"',
    undefined,
  ]);
  expect(answer.headersWith("x-meta-")).toEqual({ a: "1", b: "2" });
  expect(await answer.text()).toBe("PUT 1 hello");
});

test("send() takes a 308 without an address as an answer", async () => {
  const url = await serve((_, response) => {
    response.writeHead(308, { range: "bytes=0-9" }).end();
  });
  const answer = await new HttpClient().send(get(url));
  expect([answer.status, answer.header("range")]).toEqual([308, "bytes=0-9"]);
  await answer.discard();
});

test("send() follows no redirect, and tells where S3 says a bucket is", async () => {
  let seen = 0;
  const target = await serve((_, response) => {
    seen++;
    response.end();
  });
  const url = await serve((_, response) => {
    response.writeHead(301, { location: target, "x-amz-bucket-region": "eu-west-1" }).end("moved");
  });
  const error = await caught(() => new HttpClient().send(get(url)));
  expect(error).toBeInstanceOf(RedirectError);
  expect((error as RedirectError).region).toBe("eu-west-1");
  expect([error.retryable, seen]).toEqual([false, 0]);
});

test("send() gives a silent server up after its time, by the platform's clock", async () => {
  const platform = fakePlatform(1);
  const url = await serve(() => undefined);
  const client = new HttpClient({ platform, timeoutMs: 5000 });
  const waiting = caught(() => client.send(get(url, { method: "PUT", body: "x".repeat(655_360) })));
  // Ten seconds more for ten times 64 KiB.
  await platform.clock.advanceAsync(14_999);
  let ended = false;
  void waiting.then(() => (ended = true));
  await platform.clock.advanceAsync(0);
  expect(ended).toBe(false);
  await platform.clock.advanceAsync(10);
  const error = await waiting;
  expect(error.message).toContain("did not answer within 15 s");
  expect(error.retryable).toBe(true);
});

test("send() with an aborted signal asks nothing, and ends while it waits", async () => {
  let seen = 0;
  const url = await serve(() => void seen++);
  const client = new HttpClient();
  const aborted = AbortSignal.abort(new Error("enough"));
  expect(await failure(() => client.send(get(url, { signal: aborted })))).toBe("ABORTED");
  const aborter = new AbortController();
  const waiting = failure(() => client.send(get(url, { signal: aborter.signal })));
  aborter.abort();
  expect(await waiting).toBe("ABORTED");
  expect(seen).toBeLessThanOrEqual(1);
});

test("send() rebuilds what fetch throws, without its text and cause", async () => {
  const secret = "X-Amz-Signature=c0ffee";
  const client = new HttpClient({
    fetch: () => Promise.reject(new TypeError(`fetch failed for https://h/?${secret}`)),
  });
  const error = await caught(() => client.send(get(`https://h/?${secret}`)));
  expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("c0ffee");
  expect(error.cause).toBe(undefined);
  expect(error.retryable).toBe(true);
});

test("body() is whole or ends in an error", async () => {
  const url = await serve((request, response) => {
    if (request.url === "/cut") {
      response.writeHead(200, { "content-length": 10 });
      response.write("12345", () => setImmediate(() => response.destroy()));
    } else response.end("12345");
  });
  const client = new HttpClient();
  const body = async (path: string, length?: number): Promise<Uint8Array> =>
    readBody((await client.send(get(`${url}${path}`))).body(length));
  expect((await body("/")).length).toBe(5);
  expect((await caught(() => body("/", 6))).message).toContain("ended after 5 of 6 bytes");
  expect((await caught(() => body("/", 4))).message).toContain("longer than its 4 bytes");
  const cut = await caught(() => body("/cut"));
  expect([cut.retryable, cut.message]).toEqual([
    true,
    "Cannot read key: the transfer broke off after 5 bytes",
  ]);
});

test("body() ends in an error when the server falls silent", async () => {
  const platform = fakePlatform(1);
  const url = await serve((_, response) => void response.writeHead(200).write("12345"));
  const client = new HttpClient({ platform, timeoutMs: 1000 });
  const reader = (await client.send(get(url))).body().getReader();
  expect((await reader.read()).value?.length).toBe(5);
  const waiting = caught(() => reader.read());
  await platform.clock.advanceAsync(1000);
  expect((await waiting).message).toContain("fell silent after 5 bytes");
});

test("text() reads no more than its limit", async () => {
  const url = await serve((_, response) => response.end("x".repeat(1000)));
  const answer = await new HttpClient().send(get(url));
  const error = await caught(() => answer.text(999));
  expect(error.message).toContain("more than 999 bytes");
});

test("discard() frees the connection of a long answer and of a short one", async () => {
  let closed = 0;
  const url = await serve((request, response) => {
    request.socket.once("close", () => closed++);
    response.end(request.url === "/long" ? "x".repeat(10_000_000) : "x");
  });
  const client = new HttpClient();
  await (await client.send(get(`${url}/short`))).discard();
  await (await client.send(get(`${url}/long`))).discard();
  await expect.poll(() => closed).toBe(1);
});

test("retry() repeats what may pass, by the policy", async () => {
  const platform = fakePlatform(1);
  const client = new HttpClient({
    platform,
    retry: { attempts: 3, baseMs: 100, capMs: 100, budgetMs: 10_000 },
  });
  let tries = 0;
  const what = { operation: "upload part 1 of", object: "key" };
  const failing = caught(() =>
    client.retry(what, async () => {
      tries++;
      throw new StoreError({ ...what, what: "it failed" }, { retryable: true });
    }),
  );
  await platform.clock.advanceAsync(1000);
  await failing;
  expect(tries).toBe(3);
});

test("clockOffsetMs tells how far the server's clock is ahead, as its last answer told", async () => {
  const platform = fakePlatform(1);
  let date: string | undefined;
  const answer = (): Response => new Response("", { headers: date === undefined ? {} : { date } });
  const client = new HttpClient({ platform, fetch: async () => answer() });
  const offset = async (aheadMs: number | undefined): Promise<number | undefined> => {
    const at = platform.clock.now() + (aheadMs ?? 0);
    date = aheadMs === undefined ? undefined : new Date(at).toUTCString();
    await (await client.send(get("http://127.0.0.1/"))).discard();
    return client.clockOffsetMs;
  };
  expect(await offset(undefined)).toBe(undefined);
  expect(await offset(90_000)).toBe(90_500);
  expect(await offset(-3_600_000)).toBe(-3_599_500);
  expect(await offset(undefined)).toBe(-3_599_500);
});
