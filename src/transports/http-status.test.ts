import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { StoreError } from "./errors.ts";
import { type HttpRequest, HttpResponse } from "./http-response.ts";
import { type ServerFailure, statusError } from "./http-status.ts";

function response(
  status: number,
  headers: Record<string, string> = {},
  request: Partial<HttpRequest> = {},
): HttpResponse {
  return new HttpResponse(new Response(null, { status, headers }), {
    request: { operation: "read", object: "key", method: "GET", url: "https://h/key", ...request },
    platform: fakePlatform(1),
    timeoutMs: 1000,
    abort: () => undefined,
    release: () => undefined,
  });
}

function storeError(status: number, failure?: ServerFailure): StoreError {
  const error = statusError(response(status), failure);
  if (!(error instanceof StoreError)) throw error;
  return error;
}

test("statusError() tells what may pass from what will not", () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504]) {
    expect([status, storeError(status).retryable]).toEqual([status, true]);
  }
  for (const status of [400, 401, 403, 404, 405, 409, 411, 413, 418]) {
    expect([status, storeError(status).retryable]).toEqual([status, false]);
  }
  expect(storeError(409, { code: "ConditionalRequestConflict" }).retryable).toBe(true);
  expect(storeError(403, { code: "RequestTimeTooSkewed" }).retryable).toBe(true);
  expect(storeError(403, { code: "AccessDenied" }).retryable).toBe(false);
});

test("statusError() knows a failed condition, and a server that lacks one", () => {
  expect(statusError(response(412)).code).toBe("PRECONDITION_FAILED");
  expect(statusError(response(501)).code).toBe("UNSUPPORTED");
});

test("statusError() passes the time to wait on, by seconds and by date", () => {
  const at = (headers: Record<string, string>): number | undefined =>
    (statusError(response(503, headers)) as StoreError).retryAfterMs;
  expect(at({ "retry-after": "12" })).toBe(12_000);
  const date = "Sun, 22 Nov 2026 10:00:00 GMT";
  expect(at({ date, "retry-after": "Sun, 22 Nov 2026 10:00:30 GMT" })).toBe(30_000);
  expect(at({ date, "retry-after": "Sun, 22 Nov 2026 09:00:00 GMT" })).toBe(0);
  expect(at({ "retry-after": "soon" })).toBe(undefined);
  expect(at({})).toBe(undefined);
});

test("statusError() shows what the server says, short and without what the request carried", () => {
  const headers = { authorization: "AWS4 Credential=AKIDEXAMPLE, Signature=deadbeefdeadbeef" };
  const url = "https://h/key?token=s%2Fecrettoken";
  const answer = response(403, {}, { headers, url });
  const message = `no:\nAKIDEXAMPLE deadbeefdeadbeef s/ecrettoken s%2Fecrettoken ${"x".repeat(300)}`;
  const text = statusError(answer, { code: "Denied", message }).message;
  expect(text).toContain(
    "the server answered 403, Denied, no: [hidden] [hidden] [hidden] [hidden]",
  );
  expect(text.length).toBeLessThan(400);
  expect(text).toContain("Check the credentials");
  expect(statusError(answer, { code: "a b\n<c>" }).message).not.toContain("<c>");
});
