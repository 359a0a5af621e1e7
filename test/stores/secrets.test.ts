import { type ObjectStore, replicate } from "pagestream";
import { fakePlatform } from "pagestream/testing";
import { httpStore } from "pagestream/transports/http";
import { azureStore } from "pagestream/transports/azure";
import { gcsStore } from "pagestream/transports/gcs";
import { memoryStore } from "pagestream/transports/memory";
import { s3Store } from "pagestream/transports/s3";
import { webdavStore } from "pagestream/transports/webdav";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { canary, leaks } from "../helpers/canaries.ts";
import { type FaultProxy, faultProxy } from "../helpers/fault-proxy.ts";
import { type MirrorServer, mirrorServer } from "../helpers/mirror-server.ts";
import { ModelDatabase } from "../helpers/model-database.ts";
import { failure } from "../../src/testing/test-kit.ts";
import { collectEvents } from "../helpers/replication-bench.ts";

/** A store with every kind of credential it takes, one canary each. */
interface Subject {
  readonly name: string;
  readonly secrets: readonly string[];
  readonly make: (endpoint: string) => ObjectStore;
}

const HTTP_OPTIONS = { timeoutMs: 300, retry: { attempts: 1, baseMs: 1, capMs: 1, budgetMs: 1 } };

// A large block has minutes to be sent.
const AZURE = {
  ...HTTP_OPTIONS,
  accountName: "account",
  container: "container",
  path: "app",
  blockSize: 10_000,
};
const GCS = { ...HTTP_OPTIONS, bucket: "bucket", path: "app" };

const SUBJECTS: readonly Subject[] = [
  {
    name: "s3Store() with keys, a session token and SSE-C",
    secrets: ["s3-key", "s3-secret", "s3-session", Buffer.alloc(32, 0x5a).toString("base64")].map(
      (name, i) => (i === 3 ? name : canary(name)),
    ),
    make: (endpoint) =>
      s3Store({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        path: "app",
        region: "us-east-1",
        endpoint,
        credentials: {
          accessKeyId: canary("s3-key"),
          secretAccessKey: canary("s3-secret"),
          sessionToken: canary("s3-session"),
        },
        sseCustomerKey: Buffer.alloc(32, 0x5a).toString("base64"),
      }),
  },
  {
    name: "webdavStore() with a password",
    secrets: [canary("dav-password")],
    make: (endpoint) =>
      webdavStore({
        ...HTTP_OPTIONS,
        url: endpoint,
        path: "app",
        username: "app",
        password: canary("dav-password"),
        maxBufferedBytes: 1 << 20,
      }),
  },
  {
    name: "httpStore() with a header of authorization",
    secrets: [canary("http-token")],
    make: (endpoint) =>
      httpStore(endpoint, {
        ...HTTP_OPTIONS,
        headers: { authorization: `Bearer ${canary("http-token")}` },
      }),
  },
  {
    name: "azureStore() with a key",
    secrets: [Buffer.from(canary("azure-key")).toString("base64")],
    make: (endpoint) =>
      azureStore({
        ...AZURE,
        endpoint,
        accountKey: Buffer.from(canary("azure-key")).toString("base64"),
      }),
  },
  {
    name: "azureStore() with a shared access signature",
    secrets: [canary("azure-sas")],
    make: (endpoint) =>
      azureStore({
        ...AZURE,
        endpoint,
        sasToken: `sig=${encodeURIComponent(canary("azure-sas"))}`,
      }),
  },
  {
    name: "gcsStore() with a user's refresh token",
    secrets: [canary("gcs-client"), canary("gcs-refresh")],
    make: (endpoint) =>
      gcsStore({
        ...GCS,
        endpoint,
        credentials: {
          type: "authorized_user",
          client_id: "client",
          client_secret: canary("gcs-client"),
          refresh_token: canary("gcs-refresh"),
          token_uri: `${endpoint}/token`,
        },
      }),
  },
];

const KEY = "ltx/0/0000000000000001-0000000000000001.ltx";

function calls(store: ObjectStore): Readonly<Record<string, () => Promise<unknown>>> {
  async function* large(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 10; i++) yield new Uint8Array(1 << 20);
  }
  return {
    get: async () => new Response((await store.get(KEY)).body).bytes(),
    "ranged get": () => store.get(KEY, { offset: 5, length: 5, ifMatch: '"x"' }),
    head: () => store.head(KEY),
    put: () =>
      store.put(KEY, new Uint8Array(10), {
        metadata: { "litestream-timestamp": "2026-01-01T00:00:00Z" },
      }),
    "conditional put": () => store.put(KEY, new Uint8Array(10), { ifNoneMatch: "*" }),
    "large put": () => store.put(KEY, large()),
    delete: () => store.delete([KEY, `${KEY}2`]),
    deleteOne: () => store.deleteOne(KEY, { ifMatch: '"x"' }),
    list: async () => {
      for await (const _ of store.list({ prefix: "ltx/" }));
    },
    probe: async () => store.probe?.(),
  };
}

const printed: unknown[] = [];

beforeEach(() => {
  printed.length = 0;
  for (const method of ["log", "info", "warn", "error", "debug"] as const) {
    vi.spyOn(console, method).mockImplementation((...args) => void printed.push(args));
  }
});
afterEach(() => void vi.restoreAllMocks());

describe.each(SUBJECTS)("$name", ({ make, secrets }) => {
  let mirror: MirrorServer;
  let proxy: FaultProxy;

  beforeAll(async () => {
    mirror = await mirrorServer();
    proxy = await faultProxy(mirror.url);
  });
  afterAll(async () => {
    await proxy.close();
    await mirror.close();
  });

  /** Calls everything, and returns what failed and what leaked. */
  async function attempt(endpoint: string): Promise<{ failed: number; leaked: string[] }> {
    const store = make(endpoint);
    const leaked: string[] = [];
    let failed = 0;
    for (const [name, call] of Object.entries(calls(store))) {
      try {
        leaked.push(...leaks(await call(), secrets));
      } catch (error) {
        failed++;
        leaked.push(
          ...leaks(error, secrets).map((secret) => `${name}: ${secret}: ${String(error)}`),
        );
      }
    }
    leaked.push(...leaks([store, store.description, printed], secrets));
    return { failed, leaked };
  }

  test("no answer of a careless server brings a secret into an error", async () => {
    for (const form of ["xml", "json", "html"] as const) {
      mirror.form = form;
      for (const status of [200, 301, 307, 400, 401, 403, 404, 409, 412, 416, 429, 500, 501, 503]) {
        mirror.status = status;
        const { failed, leaked } = await attempt(mirror.url);
        expect([form, status, leaked]).toEqual([form, status, []]);
        if (![200, 404, 412, 416].includes(status)) expect(failed).toBeGreaterThanOrEqual(8);
      }
    }
  });

  test("no failure of the network does", async () => {
    mirror.status = 200;
    mirror.form = "xml";
    for (const fault of [
      { lose: "request" },
      { lose: "answer" },
      { cutAfter: 10 },
      { silent: true },
    ] as const) {
      proxy.plan(() => fault);
      expect((await attempt(proxy.url)).leaked).toEqual([]);
    }
    for (const endpoint of [
      "http://127.0.0.1:1",
      // A local name: keys of customers go to no other host without TLS.
      "http://pagestream-test.local",
      mirror.url.replace("http:", "https:"),
    ]) {
      const { failed, leaked } = await attempt(endpoint);
      expect([endpoint, leaked]).toEqual([endpoint, []]);
      expect(failed).toBeGreaterThanOrEqual(8);
    }
  });

  test("no event of a replication does, and nothing is printed", async () => {
    mirror.status = 403;
    mirror.form = "xml";
    const platform = fakePlatform(1);
    const { capabilities, list } = memoryStore();
    // An empty replica, as far as the start looks; then nothing works.
    const store: ObjectStore = {
      ...make(mirror.url),
      capabilities,
      list,
      probe: async () => capabilities,
    };
    const database = new ModelDatabase();
    database.write([1, 2]);
    const replication = await replicate(database, store, { platform });
    const events = collectEvents(replication);
    database.write([2, 3]);
    const flushed = failure(() => replication.flush());
    for (let i = 0; i < 20; i++) await platform.clock.advanceAsync(1000);
    await vi.waitFor(() => expect(events.map(({ type }) => type)).toContain("stalled"));
    const closed = failure(() => replication.close({ deadlineMs: 1000 }));
    await platform.clock.advanceAsync(60_000);
    const outcomes = await Promise.all([flushed, closed]);
    expect(outcomes).not.toContain("no error");
    expect(leaks([events, outcomes, replication, printed], secrets)).toEqual([]);
  });
});
