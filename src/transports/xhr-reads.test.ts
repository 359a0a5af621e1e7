import { isPagestreamError, type PagestreamError } from "pagestream";
import { xhrReads } from "pagestream/transports/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const OBJECT = Uint8Array.from({ length: 100 }, (_, i) => i);
const ETAG = '"v1"';
const SECRET = "c2VjcmV0LXRva2Vu";

/** How the server answers instead of as it should. */
interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** Name of what `send` throws. */
  readonly fails?: string;
  readonly responseUrl?: string;
}

let answer: Answer;
let sent: Record<string, string>;

/** A server of one object, as a synchronous XMLHttpRequest sees it. */
class FakeXhr {
  responseType = "";
  timeout = 0;
  status = 0;
  response = new ArrayBuffer();
  responseURL = "";
  #headers: Readonly<Record<string, string | null>> = {};

  open(method: string, url: string, asynchronous: boolean): void {
    expect([method, asynchronous]).toEqual(["GET", false]);
    this.responseURL = answer.responseUrl ?? url;
  }

  setRequestHeader(name: string, value: string): void {
    sent[name] = value;
  }

  getResponseHeader(name: string): string | null {
    return this.#headers[name] ?? null;
  }

  send(): void {
    expect([this.responseType, this.timeout]).toEqual(["arraybuffer", 30_000]);
    if (answer.fails !== undefined) throw new DOMException(`no ${SECRET}`, answer.fails);
    const [start, last] = sent["range"]!.slice("bytes=".length).split("-").map(Number);
    this.status = answer.status ?? 206;
    const whole = this.status === 200;
    this.response = (answer.bytes ?? (whole ? OBJECT : OBJECT.slice(start, last! + 1))).buffer;
    this.#headers = {
      etag: ETAG,
      "last-modified": "Sun, 22 Nov 2026 12:00:00 GMT",
      "content-range": whole ? null : `bytes ${start}-${Math.min(last!, 99)}/100`,
      ...answer.headers,
    };
  }
}

beforeEach(() => {
  answer = {};
  sent = {};
  vi.stubGlobal("XMLHttpRequest", FakeXhr);
  vi.stubGlobal("WorkerGlobalScope", FakeXhr);
});
afterEach(() => vi.unstubAllGlobals());

function read(range: { offset?: number; length?: number; etag?: string } = {}): Uint8Array {
  const reads = xhrReads("https://files.test/db/", { headers: { authorization: SECRET } });
  return reads.read("ltx/0/a b", { offset: 10, length: 20, etag: ETAG, ...range });
}

function failure(): PagestreamError {
  try {
    read();
  } catch (error) {
    if (isPagestreamError(error)) return error;
    throw error;
  }
  throw new Error("it was read");
}

describe("xhrReads()", () => {
  test("xhrReads() asks for the range with its headers, and gives exactly that", () => {
    expect(read()).toEqual(OBJECT.slice(10, 30));
    expect(sent).toEqual({ authorization: SECRET, range: "bytes=10-29" });
    expect(read({ etag: "" })).toEqual(OBJECT.slice(10, 30));
    expect(read({ length: 0 })).toEqual(new Uint8Array());
  });

  test("xhrReads() cuts the range out of a whole object", () => {
    answer = { status: 200 };
    expect(read()).toEqual(OBJECT.slice(10, 30));
    expect(() => read({ offset: 90 })).toThrow("the object ends before the range does");
  });

  test.for<[Answer, string, string]>([
    [{ status: 404 }, "NOT_FOUND", "no such object"],
    [{ status: 410 }, "NOT_FOUND", "no such object"],
    [{ status: 412 }, "PRECONDITION_FAILED", "version"],
    [{ headers: { etag: '"v2"' } }, "PRECONDITION_FAILED", "not the version asked for"],
    [{ status: 403 }, "STORE", "the server answered 403. Check the credentials"],
    [{ status: 416 }, "STORE", "the object ends before the range does"],
    [{ headers: { "content-range": null } }, "STORE", "let the CORS rules of the store expose"],
    [{ headers: { "content-range": "bytes 10-28/100" } }, "STORE", "instead of 10 to 30"],
    [{ headers: { "content-range": "bytes 10-28/29" } }, "STORE", "the object ends before"],
    [{ headers: { "content-range": "bytes 0-19/100" } }, "STORE", "sent bytes 0 to 20 of 100"],
    [{ bytes: OBJECT.slice(0, 19) }, "STORE", "19 bytes instead of 20"],
    [{ headers: { "content-encoding": "gzip" } }, "STORE", "compresses the object"],
    [{ fails: "TimeoutError" }, "STORE", "did not answer within 30 s"],
    [{ fails: "NetworkError" }, "STORE", "blocked, refused or lost"],
    [{ responseUrl: `https://other.test/?${SECRET}` }, "STORE", "redirects to another address"],
  ])("xhrReads() tells what is wrong with %j", ([wrong, code, text]) => {
    answer = wrong;
    const error = failure();
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(error.message).toMatch(/^Cannot read ltx\/0\/a b: /);
    expect(`${error.message} ${String(error.cause)}`).not.toContain(SECRET);
  });

  test("xhrReads() says which failures may pass", () => {
    answer = { status: 503, headers: { "retry-after": "7" } };
    expect(failure()).toMatchObject({ retryable: true, retryAfterMs: 7000, status: 503 });
  });

  test("xhrReads() is refused outside a worker of a browser, and for a range or an address that is none", () => {
    expect(() => read({ offset: -1 })).toThrow("are no range");
    expect(() => xhrReads("https://files.test/?signature=1")).toThrow("without user info, query");
    vi.stubGlobal("WorkerGlobalScope", undefined);
    expect(() => xhrReads("https://files.test")).toThrow("this is no worker of a browser");
  });
});
