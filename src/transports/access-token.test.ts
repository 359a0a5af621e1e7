import { inspect } from "node:util";
import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { failure } from "../testing/test-kit.ts";
import { type AccessToken, exchangeToken, tokenCache, type TokenSource } from "./access-token.ts";
import { HttpClient } from "./http-client.ts";
import type { HttpResponse } from "./http-response.ts";

const REQUEST = { operation: "read", object: "key" };
const MINUTE = 60_000;

/** A source that numbers its tokens, each good for an hour. */
function hourly(now: () => number): { readonly source: TokenSource; count: number } {
  const counter = { count: 0, source: (): AccessToken => next() };
  const next = (): AccessToken => ({
    token: `token-${++counter.count}`,
    expiresAt: new Date(now() + 60 * MINUTE),
  });
  return counter;
}

function answerTo(token: string, status: number): Promise<HttpResponse> {
  const client = new HttpClient({ fetch: () => Promise.resolve(new Response(null, { status })) });
  const headers = { authorization: `Bearer ${token}` };
  return client.send({ ...REQUEST, method: "GET", url: "https://h/key", headers });
}

test("tokenCache() fetches once, and again five minutes before the end", async () => {
  const { clock } = fakePlatform(1);
  const tokens = hourly(() => clock.now());
  const cache = tokenCache(tokens.source, clock);
  const both = await Promise.all([cache.get(REQUEST), cache.get(REQUEST)]);
  expect(both).toEqual(["token-1", "token-1"]);
  clock.advance(54 * MINUTE);
  expect(await cache.get(REQUEST)).toBe("token-1");
  clock.advance(2 * MINUTE);
  expect(await cache.get(REQUEST)).toBe("token-2");
});

test("tokenCache() fetches anew after a refusal, and for a source that keeps its own", async () => {
  const { clock } = fakePlatform(1);
  const cache = tokenCache(hourly(() => clock.now()).source, clock);
  const refuse = async (status: number, token: string): Promise<boolean> =>
    cache.refusedBy(await answerTo(token, status));
  expect(await cache.get(REQUEST)).toBe("token-1");
  expect([await refuse(403, "token-1"), await refuse(401, "other")]).toEqual([false, true]);
  expect(await cache.get(REQUEST)).toBe("token-1");
  expect(await refuse(401, "token-1")).toBe(true);
  expect([await cache.get(REQUEST), await cache.get(REQUEST)]).toEqual(["token-2", "token-2"]);
  let count = 0;
  const own = tokenCache(() => ({ token: String(++count) }), clock);
  expect([await own.get(REQUEST), await own.get(REQUEST)]).toEqual(["1", "2"]);
});

test("tokenCache() uses a token to its end while no other can be had", async () => {
  const { clock } = fakePlatform(1);
  let down = false;
  const tokens = hourly(() => clock.now());
  const cache = tokenCache(() => {
    if (down) throw new Error("down");
    return tokens.source();
  }, clock);
  await cache.get(REQUEST);
  down = true;
  clock.advance(58 * MINUTE);
  expect(await cache.get(REQUEST)).toBe("token-1");
  clock.advance(2 * MINUTE);
  expect(await failure(() => cache.get(REQUEST))).toBe("Error: down");
  down = false;
  expect(await cache.get(REQUEST)).toBe("token-2");
});

test("tokenCache() lets one request give up without failing the others", async () => {
  const { clock } = fakePlatform(1);
  let arrive: (token: AccessToken) => void = () => undefined;
  const cache = tokenCache(
    () =>
      new Promise((resolve) => {
        arrive = resolve;
      }),
    clock,
  );
  const aborter = new AbortController();
  const first = failure(() => cache.get({ ...REQUEST, signal: aborter.signal }));
  const second = cache.get(REQUEST);
  aborter.abort();
  expect(await first).toBe("ABORTED");
  arrive({ token: "late" });
  expect(await second).toBe("late");
});

test("exchangeToken() reads when a token expires by the clock of the request", async () => {
  const platform = fakePlatform(1);
  const sent: string[] = [];
  const client = new HttpClient({
    platform,
    fetch: (url, init) => {
      sent.push(`${init.method} ${url} ${String(init.body)}`);
      return Promise.resolve(Response.json({ access_token: "t", expires_in: 3600 }));
    },
  });
  const url = "https://login/token";
  const token = await exchangeToken({ object: "login", url, form: { a: "b c" } }, client);
  expect(token).toEqual({ token: "t", expiresAt: new Date(platform.clock.now() + 3_600_000) });
  await exchangeToken({ object: "login", url }, client);
  expect(sent).toEqual([`POST ${url} a=b+c`, `GET ${url} null`]);
});

test("exchangeToken() says why it failed, and nothing of what it sent", async () => {
  const secret = "a+very/secret=value";
  const refuse = (body: string, status = 401): HttpClient =>
    new HttpClient({
      platform: fakePlatform(1),
      fetch: () => Promise.resolve(new Response(body, { status })),
    });
  const exchange = { object: "login", url: "https://login/token", form: { client_secret: secret } };
  const attempt = async (client: HttpClient): Promise<string> => {
    try {
      return JSON.stringify(await exchangeToken(exchange, client));
    } catch (error) {
      return inspect(error);
    }
  };
  const body = { error: "invalid_client", error_description: `wrong ${secret} given` };
  const text = await attempt(refuse(JSON.stringify(body)));
  expect(text).toContain("Cannot get an access token from login: the server answered 401");
  expect(text).toContain("invalid_client, wrong [hidden]");
  expect(text).not.toContain("a+very");
  expect(await attempt(refuse("{}", 200))).toContain("the answer holds no access_token");
  expect(await attempt(refuse("<html>", 403))).toContain("the server answered 403. Check");
});
