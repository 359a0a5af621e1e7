import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { Platform } from "../core/platform.ts";
import { collect, failure, readBody } from "../testing/test-kit.ts";
import {
  azureStore,
  type AzureStoreOptions,
  entraClientCredentials,
  type Fetch,
  managedIdentity,
} from "./azure.ts";
import { StoreError } from "./errors.ts";
import type { ObjectStore } from "./object-store.ts";
import { webPlatform } from "./web-platform.ts";

const KEY = Buffer.from("a key that nobody may see, ever!").toString("base64");
const SAS = "sv=2021-12-02&sr=c&sp=racwdl&sig=c2VjcmV0LXNpZ25hdHVyZQ%3D%3D";
const RETRY = { attempts: 3, baseMs: 0, capMs: 0, budgetMs: 60_000 };
const NOW = Date.UTC(2026, 0, 1);
const TIME = "Thu, 01 Jan 2026 00:00:00 GMT";
const FACTS = { etag: '"0x1"', "last-modified": TIME };

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

type Answer = (request: Seen) => Response;

/** A store whose requests are answered in turn, the last answer for all that follow. */
function setup(
  options: Partial<AzureStoreOptions>,
  ...answers: readonly Answer[]
): { readonly store: ObjectStore; readonly seen: Seen[] } {
  const seen: Seen[] = [];
  const platform: Platform = { ...webPlatform, clock: { ...webPlatform.clock, now: () => NOW } };
  const store = azureStore({
    accountName: "account",
    container: "backups",
    platform,
    retry: RETRY,
    fetch: answering(seen, answers),
    ...options,
  });
  return { store, seen };
}

function answering(seen: Seen[], answers: readonly Answer[]): Fetch {
  return (url, init) => {
    const body =
      typeof init.body === "string"
        ? init.body
        : Buffer.from((init.body ?? new Uint8Array()) as Uint8Array).toString("latin1");
    const request = { method: init.method ?? "", url, headers: new Headers(init.headers), body };
    const answer = answers[Math.min(seen.length, answers.length - 1)];
    seen.push(request);
    if (answer === undefined) throw new Error("no answer is planned");
    return Promise.resolve(answer(request));
  };
}

function ok(status = 201, headers: Record<string, string> = {}): Answer {
  return () => new Response(null, { status, headers: { ...FACTS, ...headers } });
}

function refuse(status: number, code: string, headers: Record<string, string> = {}): Answer {
  const text = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>It is ${code}</Message></Error>`;
  return () => new Response(text, { status, headers: { "x-ms-error-code": code, ...headers } });
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

describe("azureStore: requests", () => {
  test("names the account's own address, and says what Litestream says", async () => {
    const { store, seen } = setup({ accountKey: KEY, path: "app" }, ok());
    const metadata = { "litestream-timestamp": "2026-01-01T00:00:00Z", other_name: "x" };
    await store.put("ltx/0/a b", new Uint8Array([1, 2]), { metadata, ifNoneMatch: "*" });
    expect(store.description).toBe("https://account.blob.core.windows.net/backups/app");
    const [request] = seen;
    expect(`${request?.method} ${request?.url}`).toBe(
      "PUT https://account.blob.core.windows.net/backups/app/ltx/0/a%20b",
    );
    const { authorization, ...headers } = Object.fromEntries(request?.headers ?? []);
    expect(authorization).toMatch(/^SharedKey account:[A-Za-z0-9+/]{43}=$/);
    expect(headers).toEqual({
      "if-none-match": "*",
      "x-ms-access-tier": "Hot",
      "x-ms-blob-content-type": "application/octet-stream",
      "x-ms-blob-type": "BlockBlob",
      "x-ms-date": TIME,
      "x-ms-meta-litestreamtimestamp": "2026-01-01T00:00:00Z",
      "x-ms-meta-other_name": "x",
      "x-ms-version": "2021-12-02",
    });
  });

  test("a signature goes before a key and stands in the address alone", async () => {
    const both = { accountKey: KEY, sasToken: `?${SAS}` };
    const { store, seen } = setup(both, ok(200, { "content-length": "1" }));
    await store.head("a");
    expect(seen[0]?.url).toBe(`https://account.blob.core.windows.net/backups/a?${SAS}`);
    expect(seen[0]?.headers.has("authorization")).toBe(false);
  });

  test("without credentials nothing is signed", async () => {
    const { store, seen } = setup({}, ok(200, { "content-length": "1" }));
    await store.head("a");
    expect(seen[0]?.url).toBe("https://account.blob.core.windows.net/backups/a");
    expect(seen[0]?.headers.has("authorization")).toBe(false);
  });

  test("a wrong clock is corrected once, by the server's", async () => {
    const theirs = "Thu, 01 Jan 2026 00:20:00 GMT";
    const skewed = refuse(403, "AuthenticationFailed", { date: theirs });
    const { store, seen } = setup({ accountKey: KEY }, skewed, ok(202), ok(202));
    await store.deleteOne("a");
    await store.deleteOne("a");
    expect(seen.map(({ headers }) => headers.get("x-ms-date"))).toEqual([TIME, theirs, theirs]);
    const wrongKey = setup(
      { accountKey: KEY },
      refuse(403, "AuthenticationFailed", { date: TIME }),
    );
    expect((await caught(() => wrongKey.store.deleteOne("a"))).message).toBe(
      "Cannot delete a: the server answered 403, AuthenticationFailed, It is AuthenticationFailed. Check the credentials and what they allow",
    );
    expect(wrongKey.seen.length).toBe(1);
  });

  test("nothing of a secret is shown, not even by a server that repeats it", async () => {
    const echo: Answer = ({ url, headers }) =>
      new Response(
        `<Error><Code>AuthenticationFailed</Code><Message>${url.replaceAll("&", "&amp;")} ${decodeURIComponent(url).replaceAll("&", "&amp;")} ${headers.get("authorization")}</Message></Error>`,
        { status: 400 },
      );
    const token = (): { token: string } => ({ token: "eyJ.bearer.token" });
    for (const options of [{ accountKey: KEY }, { sasToken: SAS }, { token }]) {
      const { store, seen } = setup(options, echo);
      const error = inspect(await caught(() => store.head("a")));
      const put = inspect(await caught(() => store.put("a", new Uint8Array([1]))));
      const signature = seen[1]?.headers.get("authorization")?.split(":")[1] ?? "no signature";
      for (const text of [error, put, inspect(store, { depth: 9, showHidden: true })]) {
        for (const secret of [KEY, "c2VjcmV0LXNpZ25hdHVyZQ", "eyJ.bearer.token", signature]) {
          expect(text).not.toContain(secret);
        }
      }
    }
  });

  test("options that cannot work are refused", async () => {
    const bad: Partial<AzureStoreOptions>[] = [
      { container: "ab" },
      { container: "Upper" },
      { container: "a--b" },
      { accountName: undefined },
      { accountName: undefined, endpoint: "https://host", accountKey: KEY },
      { accountName: "no-hyphens" },
      { endpoint: `https://host/?${SAS}` },
      { sasToken: "sv=1" },
      { sasToken: `https://host/?${SAS}#` },
      { accountKey: "%" },
      { blockSize: 0 },
      { concurrency: 1.5 },
      { pageSize: 5001 },
      { path: "../a" },
    ];
    for (const options of bad) {
      expect([options, await failure(() => setup(options))]).toEqual([options, "INVALID_ARGUMENT"]);
    }
  });

  test("metadata that would not come back as it is is refused", async () => {
    const { store, seen } = setup({});
    for (const name of ["litestreamtimestamp", "with-hyphen", "Upper", "1st", "a b", ""]) {
      const put = (): unknown => store.put("a", new Uint8Array(1), { metadata: { [name]: "x" } });
      expect([name, await failure(put)]).toEqual([name, "INVALID_ARGUMENT"]);
    }
    for (const value of ["", " x", "é", "a\nb"]) {
      const put = (): unknown => store.put("a", new Uint8Array(1), { metadata: { a: value } });
      expect([value, await failure(put)]).toEqual([value, "INVALID_ARGUMENT"]);
    }
    expect(seen.length).toBe(0);
  });
});

describe("azureStore: tokens", () => {
  test("a token of Entra is kept until five minutes before its end", async () => {
    let now = NOW;
    const platform: Platform = { ...webPlatform, clock: { ...webPlatform.clock, now: () => now } };
    const asked: Seen[] = [];
    const login = (): Response =>
      Response.json({ access_token: `token-${asked.length}`, expires_in: 3600 });
    const token = entraClientCredentials({
      tenantId: "tenant",
      clientId: "client",
      clientSecret: "a client secret",
      fetch: answering(asked, [login]),
      platform,
    });
    const { store, seen } = setup({ token, platform }, ok(202));
    await Promise.all([store.deleteOne("a"), store.deleteOne("b")]);
    now += 54 * 60_000;
    await store.deleteOne("c");
    now += 2 * 60_000;
    await store.deleteOne("d");
    expect(seen.map(({ headers }) => headers.get("authorization"))).toEqual([
      "Bearer token-1",
      "Bearer token-1",
      "Bearer token-1",
      "Bearer token-2",
    ]);
    expect(asked[0]?.url).toBe("https://login.microsoftonline.com/tenant/oauth2/v2.0/token");
    expect(Object.fromEntries(new URLSearchParams(asked[0]?.body))).toEqual({
      grant_type: "client_credentials",
      client_id: "client",
      client_secret: "a client secret",
      scope: "https://storage.azure.com/.default",
    });
  });

  test("a token that is refused is replaced once", async () => {
    let count = 0;
    const token = (): { token: string; expiresAt: Date } => ({
      token: `token-${++count}`,
      expiresAt: new Date(NOW + 3_600_000),
    });
    const { store, seen } = setup({ token }, refuse(401, "InvalidAuthenticationInfo"), ok(202));
    await store.deleteOne("a");
    expect(seen.map(({ headers }) => headers.get("authorization"))).toEqual([
      "Bearer token-1",
      "Bearer token-2",
    ]);
    const denied = setup({ token }, refuse(401, "InvalidAuthenticationInfo"));
    expect((await caught(() => denied.store.deleteOne("a"))).retryable).toBe(false);
    expect(denied.seen.length).toBe(2);
  });

  test("a federated workload gives an assertion, a machine its identity", async () => {
    const asked: Seen[] = [];
    const fetch = answering(asked, [
      () => Response.json({ access_token: "t", expires_in: "3600" }),
    ]);
    const clientAssertion = (): string => "signed.by.cluster";
    await entraClientCredentials({ tenantId: "t", clientId: "c", clientAssertion, fetch })();
    const machine = await managedIdentity({ clientId: "c", fetch })();
    expect((machine.expiresAt?.getTime() ?? 0) > Date.now() + 3_000_000).toBe(true);
    const expires_on = Math.floor(NOW / 1000);
    const service = await managedIdentity({
      endpoint: "http://127.0.0.1:41000/msi/token",
      identityHeader: "header-secret",
      fetch: answering(asked, [() => Response.json({ access_token: "t", expires_on })]),
    })();
    expect(service.expiresAt?.getTime()).toBe(NOW);
    expect(new URLSearchParams(asked[0]?.body).get("client_assertion")).toBe("signed.by.cluster");
    const resource = "resource=https%3A%2F%2Fstorage.azure.com%2F";
    expect(asked.slice(1).map(({ method, url }) => `${method} ${url}`)).toEqual([
      `GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&${resource}&client_id=c`,
      `GET http://127.0.0.1:41000/msi/token?api-version=2019-08-01&${resource}`,
    ]);
    expect(asked[1]?.headers.get("metadata")).toBe("true");
    expect(asked[2]?.headers.get("x-identity-header")).toBe("header-secret");
    const none = (): unknown => entraClientCredentials({ tenantId: "t", clientId: "c" });
    expect(await failure(none)).toBe("INVALID_ARGUMENT");
  });
});

describe("azureStore: blocks", () => {
  const large = { blockSize: 4, accountKey: KEY };
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9]);

  test("are for bodies above their size alone", async () => {
    for (const [size, requests] of [
      [0, 1],
      [3, 1],
      [4, 1],
      [5, 3],
    ] as const) {
      const { store, seen } = setup(large, ok());
      await store.put("a", bytes.subarray(0, size), { ifNoneMatch: "*" });
      expect([size, seen.length]).toEqual([size, requests]);
      const kinds = seen.map(({ headers }) => headers.get("x-ms-blob-type"));
      expect(kinds[0]).toBe(requests === 1 ? "BlockBlob" : null);
      expect(seen.at(-1)?.headers.get("if-none-match")).toBe("*");
      expect(seen.at(-1)?.headers.get("x-ms-access-tier")).toBe("Hot");
    }
  });

  test("are named anew for each upload, and committed with conditions and metadata", async () => {
    const { store, seen } = setup(large, ok());
    const metadata = { "litestream-timestamp": "2026-01-01T00:00:00Z" };
    await store.put("a", bytes, { metadata, ifMatch: "0x8" });
    await store.put("a", bytes);
    const ids = seen.flatMap(({ url }) => new URL(url).searchParams.get("blockid") ?? []);
    expect(new Set(ids).size).toBe(6);
    expect(ids.map((id) => Buffer.from(id, "base64").length)).toEqual(ids.map(() => 64));
    const commit = seen[3];
    expect(commit?.url).toContain("?comp=blocklist");
    expect(commit?.headers.get("if-match")).toBe('"0x8"');
    expect(commit?.headers.get("x-ms-meta-litestreamtimestamp")).toBe("2026-01-01T00:00:00Z");
    const listed = [...(commit?.body ?? "").matchAll(/<Latest>(.*?)<\/Latest>/g)].map((m) => m[1]);
    const sent = seen
      .slice(0, 3)
      .map(({ url, body }) => [new URL(url).searchParams.get("blockid"), body]);
    expect(listed.map((id) => sent.find(([each]) => each === id)?.[1])).toEqual([
      "\x01\x02\x03\x04",
      "\x05\x06\x07\x08",
      "\x09",
    ]);
    expect(seen[0]?.headers.has("if-match")).toBe(false);
  });

  test("are repeated by themselves, and the commit as well", async () => {
    const busy = refuse(503, "ServerBusy");
    const { store, seen } = setup({ ...large, concurrency: 1 }, busy, ok(), ok(), ok(), busy, ok());
    expect((await store.put("a", bytes)).etag).toBe('"0x1"');
    expect(seen.length).toBe(6);
    const given = setup(large, busy);
    expect((await caught(() => given.store.put("a", bytes))).retryable).toBe(true);
    expect(given.seen.some(({ url }) => url.includes("blocklist"))).toBe(false);
  });

  test("that another writer's commit has dropped tell whether the condition still holds", async () => {
    const lost = refuse(400, "InvalidBlockList");
    const missing = refuse(404, "BlobNotFound");
    const there = ok(200, { "content-length": "1" });
    const cases: [object, Answer | undefined, string][] = [
      [{ ifNoneMatch: "*" }, there, "PRECONDITION_FAILED"],
      [{ ifNoneMatch: "*" }, missing, "STORE"],
      [{ ifMatch: '"0x1"' }, there, "STORE"],
      [{ ifMatch: '"0x2"' }, there, "PRECONDITION_FAILED"],
      [{ ifMatch: '"0x1"' }, missing, "PRECONDITION_FAILED"],
      [{}, undefined, "STORE"],
    ];
    for (const [condition, found, code] of cases) {
      const store = azureStore({
        ...large,
        accountName: "account",
        container: "backups",
        retry: { ...RETRY, attempts: 1 },
        fetch: (url, init) => {
          if (init.method === "HEAD" && found !== undefined) return Promise.resolve(found(none));
          return Promise.resolve((url.includes("blocklist") ? lost : ok())(none));
        },
      });
      expect([condition, await failure(() => store.put("a", bytes, condition))]).toEqual([
        condition,
        code,
      ]);
    }
  });

  test("grow with a body that would need too many", async () => {
    const { store, seen } = setup(large, ok());
    await store.put("a", bytes, { sizeBound: 50_000 * 8 });
    expect(seen.map(({ body }) => body.length).slice(0, 2)).toEqual([8, 1]);
  });
});

const none: Seen = { method: "", url: "", headers: new Headers(), body: "" };

describe("azureStore: failures", () => {
  test("a failed condition is one whatever the status", async () => {
    const create = { ifNoneMatch: "*" } as const;
    for (const answer of [refuse(409, "BlobAlreadyExists"), refuse(412, "ConditionNotMet")]) {
      const { store } = setup({}, answer);
      expect(await failure(() => store.put("a", new Uint8Array(1), create))).toBe(
        "PRECONDITION_FAILED",
      );
    }
    const gone = setup({}, refuse(404, "BlobNotFound"));
    const replace = (): unknown => gone.store.put("a", new Uint8Array(1), { ifMatch: '"0x1"' });
    expect(await failure(replace)).toBe("PRECONDITION_FAILED");
    const leased = setup({}, refuse(412, "LeaseIdMissing"));
    expect((await caught(() => leased.store.put("a", new Uint8Array(1)))).message).toContain(
      "the blob is leased",
    );
  });

  test("a missing blob is told from a missing container", async () => {
    const bare: Answer = () => new Response(null, { status: 404 });
    for (const answer of [refuse(404, "BlobNotFound"), bare]) {
      expect(await failure(() => setup({}, answer).store.head("a"))).toBe("NOT_FOUND");
    }
    const { store } = setup({}, refuse(404, "ContainerNotFound"));
    for (const call of [
      () => store.head("a"),
      () => store.get("a"),
      () => store.deleteOne("a"),
      () => store.put("a", new Uint8Array(1)),
      () => collect(store.list()),
    ]) {
      expect((await caught(call)).message).toContain("404, ContainerNotFound");
    }
  });

  test("a range past the end is empty in both dialects", async () => {
    const head = ok(200, { "content-length": "10" });
    const azure = refuse(416, "InvalidRange");
    const emulator = ok(206, { "content-length": "0" });
    for (const answer of [azure, emulator]) {
      const { store, seen } = setup({}, answer, head);
      const got = await store.get("a", { offset: 10, length: 5, ifMatch: "0x1" });
      expect([got.size, (await readBody(got.body)).length]).toEqual([10, 0]);
      expect(seen.map(({ method, headers }) => [method, headers.get("if-match")])).toEqual([
        ["GET", '"0x1"'],
        ["HEAD", '"0x1"'],
      ]);
      expect(seen[0]?.headers.get("range")).toBe("bytes=10-14");
    }
    const grown = setup({}, azure, ok(200, { "content-length": "20" }));
    const error = await caught(() => grown.store.get("a", { offset: 10 }));
    expect([error.retryable, error.message]).toEqual([
      true,
      "Cannot read a: the server has 20 bytes and refused those from 10 on",
    ]);
  });

  test("an answer without its tag is no answer", async () => {
    const hidden: Answer = () => new Response(null, { status: 201 });
    const error = await caught(() => setup({}, hidden).store.put("a", new Uint8Array(1)));
    expect(error.message).toContain("In a browser, let the CORS rules");
  });
});

describe("azureStore: batches", () => {
  const keys = Array.from({ length: 300 }, (_, i) => `k/${i}`);

  /** Answers a batch; `statusOf` says what each of its requests gets, if anything. */
  function batch(statusOf: (id: number) => [number, string?] | undefined): Answer {
    return ({ body }) => {
      const ids = [...body.matchAll(/Content-ID: (\d+)/g)].map((match) => Number(match[1]));
      const parts = ids.flatMap((id) => {
        const [status, code] = statusOf(id) ?? [];
        if (status === undefined) return [];
        const error = code === undefined ? "" : `x-ms-error-code: ${code}\r\n`;
        return `--b\r\nContent-Type: application/http\r\nContent-ID: ${id}\r\n\r\nHTTP/1.1 ${status} X\r\n${error}\r\n`;
      });
      const headers = { "content-type": "multipart/mixed; boundary=b" };
      return new Response(`${parts.join("")}--b--`, { status: 202, headers });
    };
  }

  test("hold 256 blobs, each authorized by itself", async () => {
    const { store, seen } = setup(
      { accountKey: KEY, path: "app" },
      batch(() => [202]),
    );
    await store.delete(keys);
    expect(seen.map(({ body }) => body.split("\r\nDELETE ").length - 1)).toEqual([256, 44]);
    const first = seen[0]?.body.split("--batch_")[1] ?? "";
    expect(first.slice(first.indexOf("\r\n") + 2)).toMatch(
      /^Content-Type: application\/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 0\r\n\r\nDELETE \/backups\/app\/k\/0 HTTP\/1.1\r\nx-ms-date: [^\r]+\r\nauthorization: SharedKey account:[^\r]+\r\nContent-Length: 0\r\n\r\n$/,
    );
    const signed = setup(
      { sasToken: SAS },
      batch(() => [202]),
    );
    await signed.store.delete(["a", "b"]);
    expect(signed.seen[0]?.body).toContain(`DELETE /backups/a?${SAS} HTTP/1.1`);
  });

  test("leave to single requests what they have not deleted", async () => {
    const answers = batch((id) => {
      if (id === 0) return [404, "BlobNotFound"];
      if (id === 1) return [503, "ServerBusy"];
      return id === 2 ? undefined : [202];
    });
    const { store, seen } = setup({ concurrency: 1 }, answers, ok(202));
    await store.delete(keys.slice(0, 5));
    expect(seen.slice(1).map(({ method, url }) => `${method} ${new URL(url).pathname}`)).toEqual([
      "DELETE /backups/k/1",
      "DELETE /backups/k/2",
    ]);
    const denied = setup(
      {},
      batch(() => [403, "AuthorizationPermissionMismatch"]),
      refuse(403, "No"),
    );
    expect((await caught(() => denied.store.delete(["a", "b"]))).message).toContain("403, No");
  });

  test("are not tried again on a server that has none", async () => {
    const { store, seen } = setup(
      { concurrency: 1 },
      refuse(400, "InvalidQueryParameterValue"),
      ok(202),
    );
    await store.delete(["a", "b"]);
    await store.delete(["c", "d"]);
    expect(seen.map(({ method }) => method)).toEqual([
      "POST",
      "DELETE",
      "DELETE",
      "DELETE",
      "DELETE",
    ]);
  });

  test("fail as a whole while the server is busy, the later ones after some attempts", async () => {
    const first = setup({}, refuse(503, "ServerBusy"));
    expect((await caught(() => first.store.delete(keys))).retryable).toBe(true);
    expect(first.seen.length).toBe(1);
    const later = setup(
      {},
      batch(() => [202]),
      refuse(503, "ServerBusy"),
      batch(() => [202]),
    );
    await later.store.delete(keys);
    expect(later.seen.length).toBe(3);
  });
});

describe("azureStore: lists", () => {
  const blob = (name: string, more = ""): string =>
    `<Blob><Name>${name}</Name><Properties><Last-Modified>${TIME}</Last-Modified><Etag>0x1</Etag><Content-Length>3</Content-Length></Properties>${more}</Blob>`;
  const page =
    (blobs: string, next = ""): Answer =>
    () =>
      new Response(
        `\uFEFF<?xml version="1.0"?><EnumerationResults><Blobs>${blobs}</Blobs><NextMarker>${next}</NextMarker></EnumerationResults>`,
      );

  test("tell what the service tells, with the tag as headers have it", async () => {
    const metadata = "<Metadata><LitestreamTimestamp>t</LitestreamTimestamp><x>1</x></Metadata>";
    const folder = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>";
    const { store, seen } = setup(
      { path: "app", pageSize: 3 },
      page(blob("app/a &amp; b", metadata) + blob("app/c", folder) + blob("app/"), "m"),
      page("", "n"),
      page(blob("app/d/e")),
    );
    expect(await collect(store.list({ prefix: "" }))).toEqual([
      {
        key: "a & b",
        size: 3,
        etag: '"0x1"',
        lastModified: new Date(NOW),
        metadata: { "litestream-timestamp": "t", x: "1" },
      },
      { key: "d/e", size: 3, etag: '"0x1"', lastModified: new Date(NOW), metadata: {} },
    ]);
    expect(seen.map(({ url }) => new URL(url).search)).toEqual([
      "?restype=container&comp=list&prefix=app%2F&include=metadata&maxresults=3",
      "?restype=container&comp=list&prefix=app%2F&include=metadata&maxresults=3&marker=m",
      "?restype=container&comp=list&prefix=app%2F&include=metadata&maxresults=3&marker=n",
    ]);
  });

  test("are repeated from the second page on", async () => {
    const busy = refuse(503, "ServerBusy");
    expect((await caught(() => collect(setup({}, busy).store.list()))).retryable).toBe(true);
    const { store } = setup({}, page(blob("a"), "m"), busy, page(blob("b")));
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(["a", "b"]);
  });

  test("are in key order, also where the account lists folder by folder", async () => {
    const names = ["ltx/0/a", "ltx/9/b", "ltx-more", "ltx.x/c", "m"];
    const { store } = setup(
      {},
      page(
        names
          .slice(0, 3)
          .map((n) => blob(n))
          .join(""),
        "m",
      ),
      page(
        names
          .slice(3)
          .map((n) => blob(n))
          .join(""),
      ),
    );
    const keys = async (startAfter?: string): Promise<string[]> =>
      (await collect(store.list({ startAfter }))).map(({ key }) => key);
    expect(await keys()).toEqual(["ltx-more", "ltx.x/c", "ltx/0/a", "ltx/9/b", "m"]);
    const { store: other } = setup({}, page(blob("b") + blob("a")));
    expect((await caught(() => collect(other.list()))).message).toContain('lists "a" after "b"');
  });

  test("are never short without an error", async () => {
    const bad: Answer[] = [
      () => new Response("<html><body/></html>"),
      () => new Response("<EnumerationResults/>"),
      () => new Response("<EnumerationResults><Blobs><Blob>"),
      page("<Blob><Name>a</Name></Blob>"),
      page(blob("a"), "same"),
    ];
    for (const answer of bad) {
      expect(await failure(() => collect(setup({}, answer).store.list()))).toBe("STORE");
    }
  });
});
