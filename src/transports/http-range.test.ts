import { expect, test } from "vitest";
import { fakePlatform } from "../testing/fake-platform.ts";
import { failure, readBody } from "../testing/test-kit.ts";
import { askedRange, emptyBody, rangedBody } from "./http-range.ts";
import { HttpClient } from "./http-client.ts";
import type { GetOptions } from "./object-store.ts";

interface Answer {
  readonly status: number;
  readonly body: readonly number[];
  readonly range?: string;
}

/** What `rangedBody` makes of an answer, as numbers and the size; the error's code where it throws. */
async function read(options: GetOptions, answer: Answer): Promise<unknown> {
  const headers: Record<string, string> = { "content-length": String(answer.body.length) };
  if (answer.range !== undefined) headers["content-range"] = answer.range;
  const client = new HttpClient({
    platform: fakePlatform(1),
    fetch: () =>
      Promise.resolve(
        new Response(new Uint8Array(answer.body), { status: answer.status, headers }),
      ),
  });
  const request = { operation: "read", object: "key", method: "GET", url: "https://h/key" };
  const response = await client.send(request);
  let result: unknown;
  const code = await failure(async () => {
    const part = await rangedBody(response, askedRange(options, "key"));
    result = part && [[...(await readBody(part.body))], part.size];
  });
  return code === "no error" ? result : code;
}

test("askedRange() names the first byte of every range, and nothing where all or none is asked for", () => {
  const header = (options?: GetOptions): string | undefined => askedRange(options, "key").header;
  expect(header()).toBe(undefined);
  expect(header({ offset: 0 })).toBe(undefined);
  expect(header({ length: 0 })).toBe(undefined);
  expect(header({ offset: 5, length: 0 })).toBe(undefined);
  expect(header({ offset: 5 })).toBe("bytes=5-");
  expect(header({ length: 10 })).toBe("bytes=0-9");
  expect(header({ offset: 5, length: 10 })).toBe("bytes=5-14");
});

test("rangedBody() takes the part that was asked for", async () => {
  expect(await read({}, { status: 200, body: [1, 2, 3] })).toEqual([[1, 2, 3], 3]);
  const middle: Answer = { status: 206, body: [2, 3], range: "bytes 1-2/9" };
  expect(await read({ offset: 1, length: 2 }, middle)).toEqual([[2, 3], 9]);
  const end: Answer = { status: 206, body: [2, 3], range: "bytes 7-8/9" };
  expect(await read({ offset: 7 }, end)).toEqual([[2, 3], 9]);
  expect(await read({ offset: 7, length: 100 }, end)).toEqual([[2, 3], 9]);
});

test("rangedBody() cuts the range out of a whole object", async () => {
  const whole: Answer = { status: 200, body: [0, 1, 2, 3, 4] };
  expect(await read({ offset: 1, length: 2 }, whole)).toEqual([[1, 2], 5]);
  expect(await read({ offset: 3 }, whole)).toEqual([[3, 4], 5]);
  expect(await read({ offset: 5 }, whole)).toEqual([[], 5]);
  expect(await read({ offset: 9, length: 2 }, whole)).toEqual([[], 5]);
});

test("rangedBody() refuses another part than the one asked for", async () => {
  const part = (range?: string): Answer => ({ status: 206, body: [2, 3], ...(range && { range }) });
  for (const range of [undefined, "bytes 1-2/*", "bytes 0-1/9", "bytes 1-1/9", "bytes 1-3/9"]) {
    expect([range, await read({ offset: 1, length: 2 }, part(range))]).toEqual([range, "STORE"]);
  }
  // The header is right and the body is not.
  const short: Answer = { status: 206, body: [2], range: "bytes 1-2/9" };
  expect(await read({ offset: 1, length: 2 }, short)).toBe("STORE");
});

test("rangedBody() knows a part of no bytes as one past the end", async () => {
  expect(await read({ offset: 9 }, { status: 206, body: [] })).toBe(undefined);
});

test("emptyBody() ends at once", async () => {
  expect((await readBody(emptyBody())).length).toBe(0);
});
