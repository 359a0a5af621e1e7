/**
 * What every store over HTTP does when the network or the server fails.
 *
 * @module
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { isPagestreamError, type ObjectStore, openReplica, StoreError } from "pagestream";
import { seededRandom } from "pagestream/testing";
import type { HttpOptions } from "pagestream/transports/store-kit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type FaultProxy, faultProxy, type ProxyFault } from "../helpers/fault-proxy.ts";

/** A store over HTTP and its real server. */
export interface FaultSubject {
  /** Title of the suite. */
  readonly name: string;
  /** Where the real server answers. */
  readonly origin: string;
  /** A store that sends everything to `endpoint`, with these options besides its own. */
  readonly make: (endpoint: string, options: HttpOptions) => ObjectStore | Promise<ObjectStore>;
  /** Reads only: writing is not tried, and `fill` puts the object `a` there. */
  readonly fill?: ((key: string, bytes: Uint8Array) => Promise<void>) | undefined;
}

/** Longest silence that a store waits where silence is all there is. */
const SILENCE_MS = 50;

const PASSING = [408, 429, 500, 502, 503, 504];
const FOR_GOOD = [400, 401, 403, 405];

/** Registers the tests. */
export function testHttpFaults(subject: FaultSubject): void {
  describe(`${subject.name}: failures`, () => {
    let proxy: FaultProxy;
    let store: ObjectStore;
    let impatient: ObjectStore;
    const bytes = seededRandom(1).bytes(300_000);
    const key = `faults-${Date.now().toString(36)}/ltx/0/0000000000000001-0000000000000001.ltx`;
    const writable = subject.fill === undefined;

    beforeAll(async () => {
      proxy = await faultProxy(subject.origin);
      store = await subject.make(proxy.url, {});
      impatient = await subject.make(proxy.url, { timeoutMs: SILENCE_MS });
      await store.probe?.();
      await (subject.fill === undefined ? store.put(key, bytes) : subject.fill(key, bytes));
    });
    afterEach(() => proxy.plan());
    afterAll(async () => {
      if (writable) await store.delete([key]);
      await proxy.close();
    });

    const reads: Readonly<Record<string, (by: ObjectStore) => Promise<unknown>>> = {
      get: async (by) => readAll((await by.get(key)).body),
      head: (by) => by.head(key),
      list: (by) => listAll(by, key.slice(0, key.lastIndexOf("/") + 1)),
    };
    const writes: typeof reads = {
      put: (by) => by.put(`${key}-2`, new Uint8Array(10)),
      delete: (by) => by.delete([`${key}-3`]),
      deleteOne: (by) => by.deleteOne(`${key}-3`),
    };
    const calls = writable ? { ...reads, ...writes } : reads;

    for (const [name, call] of Object.entries(calls)) {
      test(`${name}() tells which statuses may pass and which will not`, async () => {
        for (const status of [...PASSING, ...FOR_GOOD]) {
          proxy.plan(() => ({ answer: { status, body: "it is not to be" } }));
          const error = await caught(() => call(store));
          const passing = error instanceof StoreError && error.retryable;
          expect([status, codeOf(error), passing]).toEqual([
            status,
            "STORE",
            PASSING.includes(status),
          ]);
        }
      });

      test(`${name}() passes on how long the server asks to wait`, async () => {
        proxy.plan(() => ({ answer: { status: 503, headers: { "retry-after": "7" } } }));
        const error = await caught(() => call(store));
        expect(error instanceof StoreError && error.retryAfterMs).toBe(7000);
      });

      test(`${name}() gives a server up that is silent, closes or is not there`, async () => {
        const faults: readonly ProxyFault[] = [{ silent: true }, { lose: "request" }];
        for (const fault of faults) {
          proxy.plan(() => fault);
          expect(retryable(await caught(() => call(impatient)))).toBe(true);
        }
      });

      test(`${name}() follows no redirect`, async () => {
        const elsewhere = await listener();
        proxy.plan(() => ({
          answer: { status: 307, headers: { location: `${elsewhere.url}/x` } },
        }));
        const error = await caught(() => call(store));
        expect([codeOf(error), retryable(error), elsewhere.count()]).toEqual(["STORE", false, 0]);
        elsewhere.close();
      });
    }

    test("list() never takes another page for an empty list", async () => {
      const body = "<html><body>Welcome to the airport</body></html>";
      for (const text of [body, "", "{}", "<?xml version='1.0'?><Other/>"]) {
        proxy.plan(() => ({ answer: { status: 200, body: text } }));
        expect([text, codeOf(await caught(() => reads["list"]?.(store)))]).toEqual([text, "STORE"]);
      }
    });

    test("get() ends a body that is cut in an error", async () => {
      for (const fault of [{ cutAfter: 0 }, { cutAfter: 1000 }, { cutAfter: 299_999 }]) {
        proxy.plan(() => fault);
        expect([fault.cutAfter, retryable(await caught(() => reads["get"]?.(store)))]).toEqual([
          fault.cutAfter,
          true,
        ]);
      }
    });

    test("get() ends a body that falls silent in an error", async () => {
      proxy.plan(() => ({ silentAfter: 1000 }));
      expect(retryable(await caught(() => reads["get"]?.(impatient)))).toBe(true);
    });

    test("get() ends a body at once when it is aborted", async () => {
      proxy.plan(() => ({ silentAfter: 1000 }));
      const aborter = new AbortController();
      const { body } = await store.get(key, { signal: aborter.signal });
      const reading = caught(() => readAll(body));
      aborter.abort();
      expect(codeOf(await reading)).toBe("ABORTED");
    });

    test("head() and list() end at once when they are aborted", async () => {
      proxy.plan(() => ({ silent: true }));
      for (const call of [
        (signal: AbortSignal) => store.head(key, { signal }),
        (signal: AbortSignal) => listAll(store, "", signal),
      ]) {
        const aborter = new AbortController();
        const calling = caught(() => call(aborter.signal));
        aborter.abort();
        expect(codeOf(await calling)).toBe("ABORTED");
      }
    });

    test("a reader resumes at the byte where a body broke off", async () => {
      const retry = { attempts: 5, baseMs: 1, capMs: 1, budgetMs: 60_000 };
      const replica = openReplica(store, { retry });
      const { size, etag } = await store.head(key);
      const info = { level: 0, minTxid: 1n, maxTxid: 1n, time: new Date(0), size, key, etag };
      proxy.plan(({ count }) => (count <= 3 ? { cutAfter: 70_000 } : undefined));
      expect(Buffer.compare(await replica.read(info), bytes)).toBe(0);
      const ranges = proxy.requests.map(({ headers }) => headers.range ?? headers["x-ms-range"]);
      expect(ranges.length).toBe(4);
      expect(new Set(ranges).size).toBe(4);
    });

    test("a name that does not exist and a port that nobody serves may pass, a bad certificate does not", async () => {
      const refused = await listener();
      refused.close();
      for (const [endpoint, passes] of [
        ["http://pagestream-test.invalid", true],
        [refused.url, true],
        // Nothing there speaks TLS.
        [proxy.url.replace("http:", "https:"), false],
      ] as const) {
        const other = await subject.make(endpoint, { timeoutMs: 10_000 });
        const error = await caught(() => other.head(key));
        expect([endpoint, codeOf(error), retryable(error)]).toEqual([endpoint, "STORE", passes]);
        expect(error instanceof Error && error.cause).toBe(undefined);
      }
    });

    if (!writable) return;

    test("a lost answer to a write is found out by looking", async () => {
      if (!store.capabilities.conditionalPut) return;
      const name = `${key}-lost`;
      proxy.plan(({ method, count }) =>
        count === 1 && ["PUT", "POST", "MOVE"].includes(method) ? { lose: "answer" } : undefined,
      );
      const first = await caught(() =>
        store.put(name, new Uint8Array([1, 2]), { ifNoneMatch: "*" }),
      );
      proxy.plan();
      if (first !== undefined) expect(retryable(first)).toBe(true);
      const second = await caught(() =>
        store.put(name, new Uint8Array([1, 2]), { ifNoneMatch: "*" }),
      );
      expect([undefined, "PRECONDITION_FAILED"]).toContain(codeOf(second));
      expect((await store.head(name)).size).toBe(2);
      await store.delete([name]);
    });
  });
}

async function readAll(body: ReadableStream<Uint8Array>): Promise<number> {
  let size = 0;
  const reader = body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length;
  }
  return size;
}

async function listAll(store: ObjectStore, prefix: string, signal?: AbortSignal): Promise<number> {
  let count = 0;
  for await (const _ of store.list({ prefix, signal })) count++;
  return count;
}

async function caught(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error;
  }
}

function codeOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return isPagestreamError(error) ? error.code : `not ours: ${String(error)}`;
}

function retryable(error: unknown): boolean | string | undefined {
  return error instanceof StoreError ? error.retryable : codeOf(error);
}

/** A server that counts what reaches it. */
async function listener(): Promise<{ url: string; count(): number; close(): void }> {
  let count = 0;
  const server: Server = createServer((_, response) => {
    count++;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    count: () => count,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
