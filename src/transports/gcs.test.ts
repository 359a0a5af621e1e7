import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { failure as refusal, type GcsFake, gcsFake } from "../../test/helpers/gcs-fake.ts";
import type { Platform } from "../core/platform.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { collect, difference, failure, readBody } from "../testing/test-kit.ts";
import { testObjectStore } from "../testing/test-object-store.ts";
import { StoreError } from "./errors.ts";
import { googleMetadataServer, gcsStore, type GcsStoreOptions } from "./gcs.ts";
import type { ObjectStore } from "./object-store.ts";
import { webPlatform } from "./web-platform.ts";

const UNIT = 256 * 1024;
const MINUTE = 60_000;
const RETRY = { attempts: 4, baseMs: 0, capMs: 0, budgetMs: 60_000 };

const keys = await crypto.subtle.generateKey(
  {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
  true,
  ["sign", "verify"],
);
const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
const PEM = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;

const ACCOUNT = {
  type: "service_account",
  project_id: "p",
  private_key_id: "key-1",
  private_key: PEM,
  client_email: "backup@p.iam.gserviceaccount.com",
} as const;

/** A clock that tells what it is set to, over the timers of the runtime. */
class SetClock {
  nowMs: number = Date.UTC(2026, 0, 1);
  readonly platform: Platform = {
    ...webPlatform,
    clock: { ...webPlatform.clock, now: () => this.nowMs },
  };
}

interface Setup {
  readonly fake: GcsFake;
  readonly store: ObjectStore;
  readonly clock: SetClock;
}

function setup(options: Partial<GcsStoreOptions> = {}, guarded = false): Setup {
  const clock = new SetClock();
  const fake = gcsFake({ now: () => clock.nowMs, publicKey: keys.publicKey, guarded });
  const store = gcsStore({
    bucket: "backups",
    chunkSize: UNIT,
    fetch: fake.fetch,
    platform: clock.platform,
    retry: RETRY,
    ...options,
  });
  return { fake, store, clock };
}

function seen(fake: GcsFake): string[] {
  return fake.seen.map(({ method, url }) => `${method} ${url.pathname}${url.search}`);
}

async function caught(call: () => unknown): Promise<StoreError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** A fault that happens a number of times. */
function times(fake: GcsFake, count: number, ...fault: GcsFake["faults"]): void {
  let left = count;
  fake.faults.push((request) => {
    const answer = left > 0 ? fault[0]?.(request) : undefined;
    if (answer !== undefined) left--;
    return answer;
  });
}

testObjectStore(
  () => setup({ credentials: ACCOUNT, path: "a folder/key", pageSize: 7 }, true).store,
  {
    describe,
    test,
    expect,
    name: "gcsStore: contract",
    manyObjects: 20,
    largeSize: 3_200_000,
  },
);

test("gcsStore() asks for what it needs and no more", async () => {
  const { fake, store } = setup({ path: "app" });
  await store.put("ltx/0/a b", new Uint8Array([1]), { ifNoneMatch: "*" });
  const { etag } = await store.head("ltx/0/a b");
  await store.get("ltx/0/a b", { offset: 0, length: 1, ifMatch: etag });
  await collect(store.list({ prefix: "ltx/0/", startAfter: "ltx/0/Z" }));
  await store.deleteOne("ltx/0/a b", { ifMatch: etag });
  const fields = "name%2Csize%2Cgeneration%2CtimeCreated%2Cmetadata";
  const object = "/storage/v1/b/backups/o/app%2Fltx%2F0%2Fa%20b";
  expect(seen(fake)).toEqual([
    `POST /upload/storage/v1/b/backups/o?uploadType=multipart&ifGenerationMatch=0&fields=${fields}&name=app%2Fltx%2F0%2Fa%20b`,
    `GET ${object}?fields=${fields}`,
    `GET ${object}?alt=media&ifGenerationMatch=${etag}`,
    `GET /storage/v1/b/backups/o?prefix=app%2Fltx%2F0%2F&startOffset=app%2Fltx%2F0%2FZ&maxResults=1000&fields=kind%2Citems%28${fields}%29%2CnextPageToken`,
    `DELETE ${object}?ifGenerationMatch=${etag}`,
  ]);
  expect(fake.seen[2]?.headers.get("range")).toBe("bytes=0-0");
  expect(fake.seen.some(({ headers }) => headers.has("authorization"))).toBe(false);
});

test("get() of a range past the end asks again for the size when the connection is lost", async () => {
  const { fake, store } = setup();
  await store.put("a", new Uint8Array(3));
  let lost = 0;
  const reader = setup({
    fetch: async (url, init) => {
      if (!url.includes("alt=media") && lost++ === 0) throw new TypeError("fetch failed");
      return await fake.fetch(url, init);
    },
  }).store;
  const { body, size } = await reader.get("a", { offset: 3 });
  expect([size, (await readBody(body)).length, lost]).toEqual([3, 0, 2]);
});

describe("gcsStore: tokens", () => {
  test("a service account signs an assertion once, and anew before the token ends", async () => {
    const { fake, store, clock } = setup({ credentials: JSON.stringify(ACCOUNT) }, true);
    const issuedAt = clock.nowMs / 1000;
    await Promise.all([store.put("a", new Uint8Array([1])), store.put("b", new Uint8Array([1]))]);
    expect(fake.claims).toEqual([
      {
        iss: ACCOUNT.client_email,
        scope: "https://www.googleapis.com/auth/devstorage.read_write",
        aud: "https://oauth2.googleapis.com/token",
        iat: issuedAt,
        exp: issuedAt + 3600,
      },
    ]);
    clock.nowMs += 54 * MINUTE;
    await store.head("a");
    expect(fake.claims.length).toBe(1);
    clock.nowMs += 2 * MINUTE;
    await store.head("a");
    expect(fake.claims.length).toBe(2);
  });

  test("a token that is refused is replaced once", async () => {
    const { fake, store } = setup({ credentials: ACCOUNT }, true);
    await store.put("a", new Uint8Array([1]));
    times(fake, 1, ({ url }) =>
      url.pathname.includes("/o/") ? refusal(401, "Invalid Credentials", "authError") : undefined,
    );
    expect((await store.head("a")).size).toBe(1);
    expect(fake.claims.length).toBe(2);
    times(fake, 9, ({ url }) => (url.pathname.includes("/o/") ? refusal(401, "no") : undefined));
    const error = await caught(() => store.head("a"));
    expect([error.retryable, error.message]).toEqual([
      false,
      "Cannot look up a: the server answered 401, notFound, no. Check the credentials and what they allow",
    ]);
    expect(fake.claims.length).toBe(3);
  });

  test("an assertion is signed again by the server's clock where ours is wrong", async () => {
    const clock = new SetClock();
    const serverMs = clock.nowMs - 20 * MINUTE;
    const fake = gcsFake({ now: () => serverMs, publicKey: keys.publicKey, guarded: true });
    const options = { bucket: "backups", credentials: ACCOUNT, fetch: fake.fetch, retry: RETRY };
    const store = gcsStore({ ...options, platform: clock.platform });
    await store.put("a", new Uint8Array([1]));
    expect(fake.claims.map(({ iat }) => iat)).toEqual([serverMs / 1000]);
  });

  test("a user's refresh token and the metadata server give tokens, too", async () => {
    const user = {
      type: "authorized_user",
      client_id: "id",
      client_secret: "client-secret-value",
      refresh_token: "refresh-me",
    } as const;
    const first = setup({ credentials: user }, true);
    await first.store.put("a", new Uint8Array([1]));
    const wrong = setup({ credentials: { ...user, refresh_token: "revoked-token" } }, true);
    const error = await caught(() => wrong.store.head("a"));
    expect(error.message).toContain("the server answered 400, invalid_grant, Bad Request");
    expect(inspect(error)).not.toMatch(/revoked-token|client-secret-value/);

    const { fake } = setup({}, true);
    const token = googleMetadataServer({ fetch: fake.fetch });
    const store = gcsStore({ bucket: "backups", token, fetch: fake.fetch });
    await store.put("a", new Uint8Array([1]));
    expect(seen(fake)[0]).toBe("GET /computeMetadata/v1/instance/service-accounts/default/token");
  });

  test("credentials that cannot work are refused, without showing them", async () => {
    const bad = (credentials: string | object): string => {
      try {
        gcsStore({ bucket: "backups", credentials: credentials as never });
        return "no error";
      } catch (error) {
        return inspect(error);
      }
    };
    expect(bad("not json")).toContain("they are not JSON with a type");
    expect(bad({ type: "external_account" })).toContain("their type external_account is not known");
    expect(bad({ ...ACCOUNT, client_email: "" })).toContain("they have no client_email");
    expect(bad({ ...ACCOUNT, private_key: "c2VjcmV0" })).toContain("no RSA key of PKCS #8 in PEM");
    expect(bad({ ...ACCOUNT, private_key: "c2VjcmV0" })).not.toContain("c2VjcmV0");
    const broken = PEM.replace(/[A-Za-z0-9]{40}/, "");
    const { store } = setup({ credentials: { ...ACCOUNT, private_key: broken } }, true);
    expect(await failure(() => store.head("a"))).toBe("INVALID_ARGUMENT");
  });

  test("a store shows nothing of its credentials", async () => {
    const { store } = setup({ credentials: ACCOUNT }, true);
    await store.put("a", new Uint8Array([1]));
    expect(inspect(store, { depth: 9, showHidden: true })).not.toMatch(/PRIVATE KEY|ya29/);
    expect(store.description).toBe("https://storage.googleapis.com/backups");
  });
});

describe("gcsStore: upload sessions", () => {
  const bytes = seededRandom(1).bytes(3 * UNIT + 1000);

  test("is for bodies above a chunk alone", async () => {
    for (const [size, requests] of [
      [0, 1],
      [UNIT - 1, 1],
      [UNIT, 1],
      [UNIT + 1, 3],
    ] as const) {
      const { fake, store } = setup();
      await store.put("a", bytes.subarray(0, size));
      expect([size, fake.seen.length]).toEqual([size, requests]);
      expect(fake.seen[0]?.url.searchParams.get("uploadType")).toBe(
        requests === 1 ? "multipart" : "resumable",
      );
      expect((await store.head("a")).size).toBe(size);
    }
  });

  test("goes on where the server is that keeps a part of a chunk", async () => {
    for (const kept of [0, UNIT / 2, UNIT - 1]) {
      const { fake, store } = setup();
      let short = true;
      fake.keep = (length) => {
        short = !short;
        return short || length > 2 * UNIT ? length : length - UNIT + kept;
      };
      await store.put("a", bytes);
      const { body } = await store.get("a");
      expect([kept, difference(await readBody(body), bytes)]).toEqual([kept, ""]);
    }
  });

  test("asks how far it is after an answer was lost, also the last one", async () => {
    for (const lost of [1, 2, 4]) {
      const { fake, store } = setup();
      let chunk = 0;
      const inner = fake.fetch;
      const losing: typeof inner = async (url, init) => {
        const answer = await inner(url, init);
        if (init.method !== "PUT" || ++chunk !== lost) return answer;
        throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
      };
      const other = gcsStore({ bucket: "backups", chunkSize: UNIT, fetch: losing, retry: RETRY });
      // The last chunk's object is there and its session gone, which the answer to the question cannot tell.
      const outcome = await failure(() => other.put("a", bytes));
      expect([lost, outcome]).toEqual([lost, lost === 4 ? "STORE" : "no error"]);
      const { body } = await store.get("a");
      expect([lost, difference(await readBody(body), bytes)]).toEqual([lost, ""]);
      const asked = fake.seen.filter(({ headers }) =>
        headers.get("content-range")?.startsWith("bytes */"),
      );
      expect(asked.length).toBe(1);
    }
  });

  test("rides out a storm, and sends no token to the session", async () => {
    const { fake, store } = setup({ credentials: ACCOUNT }, true);
    times(fake, 3, ({ method }) => (method === "PUT" ? refusal(503, "busy") : undefined));
    await store.put("a", bytes);
    const { body } = await store.get("a");
    expect(difference(await readBody(body), bytes)).toBe("");
  });

  test("ends the session and tells the first failure when the server refuses a chunk", async () => {
    const { fake, store } = setup();
    times(fake, 1, ({ headers }) =>
      headers.get("content-range")?.startsWith(`bytes ${UNIT}-`)
        ? refusal(400, "no session-secret-1 for you", "invalid")
        : undefined,
    );
    const error = await caught(() => store.put("a", bytes));
    expect(error.message).toContain("the server answered 400, invalid, no [hidden]");
    expect(fake.seen.at(-1)?.method).toBe("DELETE");
    expect(fake.sessions.size).toBe(0);
    expect(await failure(() => store.head("a"))).toBe("NOT_FOUND");
  });

  test("is to be repeated as a whole when the server has given the session up", async () => {
    const { fake, store } = setup();
    times(fake, 1, ({ method, headers }) =>
      method === "PUT" && headers.get("content-range") !== `bytes 0-${UNIT - 1}/*`
        ? refusal(410, "Gone")
        : undefined,
    );
    const error = await caught(() => store.put("a", bytes));
    expect([error.retryable, error.message]).toEqual([
      true,
      "Cannot write a: the server has given the upload up",
    ]);
  });

  test("ends in an error where the server forgets what it has confirmed", async () => {
    const { fake, store } = setup();
    times(fake, 99, ({ headers }) =>
      headers.get("content-range")?.startsWith(`bytes ${UNIT}-`)
        ? new Response(null, { status: 308, headers: { range: "bytes=0-9" } })
        : undefined,
    );
    expect((await caught(() => store.put("a", bytes))).message).toContain("keeps 10 bytes");
  });

  test("applies the condition when the last byte comes", async () => {
    const { store } = setup();
    async function* racing(): AsyncGenerator<Uint8Array, void, undefined> {
      yield bytes.subarray(0, 2 * UNIT);
      await store.put("a", new Uint8Array([1]));
      yield bytes.subarray(2 * UNIT);
    }
    const put = (): unknown => store.put("a", racing(), { ifNoneMatch: "*" });
    expect(await failure(put)).toBe("PRECONDITION_FAILED");
    expect((await store.head("a")).size).toBe(1);
  });

  test("knows a chunk was taken by the header that browsers are shown", async () => {
    const { fake } = setup();
    const translating: typeof fake.fetch = async (url, init) => {
      const answer = await fake.fetch(url, init);
      if (answer.status !== 308) return answer;
      expect(new Headers(init.headers).get("x-guploader-no-308")).toBe("yes");
      const headers = new Headers(answer.headers);
      headers.set("x-http-status-code-override", "308");
      return new Response("", { headers });
    };
    const store = gcsStore({ bucket: "backups", chunkSize: UNIT, fetch: translating });
    await store.put("a", bytes);
    expect((await store.head("a")).size).toBe(bytes.length);
  });
});

test("gcsStore() makes one attempt per call, and repeats only what is inside one", async () => {
  const { fake, store } = setup({ pageSize: 2 });
  for (const key of ["a", "b", "c", "d"]) await store.put(key, new Uint8Array([1]));
  const slow = (): Response => new Response("", { status: 429, headers: { "retry-after": "7" } });
  const calls = [
    () => store.put("e", new Uint8Array([1])),
    () => store.get("a"),
    () => store.head("a"),
    () => store.deleteOne("a"),
    () => store.delete(["a"]),
    () => collect(store.list()),
  ];
  for (const call of calls) {
    times(fake, 1, slow);
    const error = await caught(call);
    expect([error.retryable, error.retryAfterMs]).toEqual([true, 7000]);
  }
  const busy = (): Response => refusal(503, "busy", "backendError");
  times(fake, 2, ({ url }) => (url.searchParams.has("pageToken") ? busy() : undefined));
  expect((await collect(store.list())).map(({ key }) => key)).toEqual(["a", "b", "c", "d"]);
  times(fake, 3, ({ method }) => (method === "DELETE" ? busy() : undefined));
  await store.delete(["a", "b", "c", "missing"]);
  expect((await collect(store.list())).map(({ key }) => key)).toEqual(["d"]);
});

test("gcsStore() never takes a strange tag for a condition that is left out", async () => {
  const { store } = setup();
  await store.put("a", new Uint8Array([1]));
  for (const ifMatch of ["", "0", "*", '"1"', "01", "-1", "x"]) {
    const codes = [
      await failure(() => store.put("a", new Uint8Array([2]), { ifMatch })),
      await failure(() => store.put("new", new Uint8Array([2]), { ifMatch })),
      await failure(() => store.get("a", { ifMatch })),
      await failure(() => store.deleteOne("a", { ifMatch })),
    ];
    expect([ifMatch, ...codes]).toEqual([ifMatch, ...codes.map(() => "PRECONDITION_FAILED")]);
  }
  expect((await collect(store.list())).map(({ key, size }) => [key, size])).toEqual([["a", 1]]);
});

test("gcsStore() takes no list for complete that may not be", async () => {
  const { fake, store } = setup();
  const answers = [
    "{}",
    '{"kind":"storage#objects","items":[{"name":"a"}]}',
    '{"kind":"storage#objects","nextPageToken":"same"}',
    '{"kind":"storage#objects","items":[',
    "<html>",
  ];
  for (const answer of answers) {
    fake.faults.splice(0, 1, () => new Response(answer));
    expect([answer, await failure(() => collect(store.list()))]).toEqual([answer, "STORE"]);
  }
  const item = (name: string): object => ({
    name,
    size: "1",
    generation: "1",
    timeCreated: "2026-01-01",
  });
  const items = [item("b"), item("a")];
  fake.faults.splice(0, 1, () => Response.json({ kind: "storage#objects", items }));
  const error = await caught(() => collect(store.list()));
  expect(error.message).toContain('the server lists "a" after "b"');
});

test("gcsStore() lists what has a key, and skips the names of others", async () => {
  const { fake, store } = setup({ path: "app" });
  const items = ["app/", "app/a", "app/b//c", "app/d/", "other/e"].map((name) => ({
    name,
    size: "1",
    generation: "7",
    timeCreated: "2026-01-01T00:00:00.5Z",
    metadata: { "Litestream-Timestamp": "t" },
  }));
  fake.faults.push(() => Response.json({ kind: "storage#objects", items }));
  expect(await collect(store.list())).toEqual([
    {
      key: "a",
      size: 1,
      etag: "7",
      lastModified: new Date("2026-01-01T00:00:00.5Z"),
      metadata: { "litestream-timestamp": "t" },
    },
  ]);
});

test("gcsStore() tells a missing bucket from a missing object", async () => {
  const { fake, store } = setup();
  expect(await failure(() => store.get("a"))).toBe("NOT_FOUND");
  const options = { bucket: "other", fetch: fake.fetch };
  for (const call of [
    () => gcsStore(options).get("a"),
    () => gcsStore(options).head("a"),
    () => gcsStore(options).deleteOne("a"),
    () => collect(gcsStore(options).list()),
  ]) {
    expect((await caught(call)).message).toContain("The specified bucket does not exist");
  }
});

test("gcsStore() refuses options and metadata that cannot work", async () => {
  const bad: Partial<GcsStoreOptions>[] = [
    { bucket: "UPPER" },
    { bucket: "a/b" },
    { chunkSize: UNIT + 1 },
    { chunkSize: 0 },
    { concurrency: 0 },
    { pageSize: 1001 },
    { path: "a//b" },
    { endpoint: "https://user:secret@host" },
  ];
  for (const options of bad) {
    const make = (): unknown => gcsStore({ bucket: "backups", ...options });
    expect([options, await failure(make)]).toEqual([options, "INVALID_ARGUMENT"]);
  }
  const { store } = setup();
  for (const metadata of [{ A: "x" }, { "a b": "x" }, { a: "é" }, { a: " x" }, { a: "" }]) {
    const put = (): unknown => store.put("a", new Uint8Array([1]), { metadata });
    expect([metadata, await failure(put)]).toEqual([metadata, "INVALID_ARGUMENT"]);
  }
});
