import { generateKeyPairSync } from "node:crypto";
import { nkeys } from "@nats-io/nats-core";
import { sftpStore } from "@pagestream/node";
import { type ObjectStore, replicate } from "pagestream";
import { fakePlatform } from "pagestream/testing";
import { httpStore } from "pagestream/transports/http";
import { memoryStore } from "pagestream/transports/memory";
import { azureStore, entraClientCredentials } from "pagestream/transports/azure";
import { gcsStore } from "pagestream/transports/gcs";
import { gcsHmacStore } from "pagestream/transports/gcs-hmac";
import { natsStore } from "pagestream/transports/nats";
import { ossStore } from "pagestream/transports/oss";
import { s3Store } from "pagestream/transports/s3";
import { webdavStore } from "pagestream/transports/webdav";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { canary, leaks } from "../helpers/canaries.ts";
import { type FaultProxy, faultProxy } from "../helpers/fault-proxy.ts";
import { type MirrorServer, mirrorServer } from "../helpers/mirror-server.ts";
import { freePorts } from "../servers/server.ts";
import { ModelDatabase } from "../helpers/model-database.ts";
import { failure } from "../../src/testing/test-kit.ts";
import { collectEvents } from "../helpers/replication-bench.ts";

/** A store with every kind of credential it takes, one canary each. */
interface Subject {
  readonly name: string;
  readonly secrets: readonly string[];
  readonly make: (endpoint: string) => ObjectStore | Promise<ObjectStore>;
  /** Calls that can fail. @default 8 */
  readonly least?: number;
  /** Whether it speaks HTTP, so that statuses mean something to it. @default true */
  readonly http?: boolean;
}

const HTTP_OPTIONS = { timeoutMs: 100, retry: { attempts: 1, baseMs: 1, capMs: 1, budgetMs: 1 } };

// A large block would have minutes to be sent.
const AZURE = { ...HTTP_OPTIONS, container: "container", blockSize: 10_000 };

/** A secret where only base64 is taken. */
function keyBytes(byte: number): string {
  return Buffer.alloc(32, byte).toString("base64");
}

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PEM = String(privateKey.export({ type: "pkcs8", format: "pem" }));
const userSeed = new TextDecoder().decode(nkeys.createUser().getSeed());

const AWS = {
  accessKeyId: canary("aws-key"),
  secretAccessKey: canary("aws-secret"),
  sessionToken: canary("aws-session"),
};

const SUBJECTS: readonly Subject[] = [
  {
    name: "s3Store() with keys, a session token and SSE-C",
    secrets: [...Object.values(AWS), keyBytes(0x5a)],
    make: (endpoint) =>
      s3Store({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        path: "app",
        region: "us-east-1",
        endpoint,
        credentials: AWS,
        sseCustomerKey: keyBytes(0x5a),
      }),
  },
  {
    name: "ossStore() with keys",
    secrets: Object.values(AWS),
    make: (endpoint) =>
      ossStore({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        endpoint,
        forcePathStyle: true,
        credentials: AWS,
      }),
  },
  {
    name: "gcsHmacStore() with keys",
    secrets: [canary("hmac-id"), canary("hmac-secret")],
    make: (endpoint) =>
      gcsHmacStore({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        endpoint,
        accessKeyId: canary("hmac-id"),
        secretAccessKey: canary("hmac-secret"),
      }),
  },
  {
    name: "gcsStore() with a token",
    secrets: [canary("bearer")],
    make: (endpoint) =>
      gcsStore({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        endpoint,
        token: async () => ({ token: canary("bearer") }),
      }),
  },
  {
    name: "gcsStore() with a service account",
    secrets: [PEM.split("\n")[5] as string],
    make: (endpoint) =>
      gcsStore({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        endpoint,
        credentials: {
          type: "service_account",
          client_email: "app@example.iam.gserviceaccount.com",
          private_key: PEM,
          token_uri: `${endpoint}/token`,
        },
      }),
  },
  {
    name: "gcsStore() with a user's refresh token",
    secrets: [canary("client-secret"), canary("refresh")],
    make: (endpoint) =>
      gcsStore({
        ...HTTP_OPTIONS,
        bucket: "bucket",
        endpoint,
        credentials: {
          type: "authorized_user",
          client_id: "client",
          client_secret: canary("client-secret"),
          refresh_token: canary("refresh"),
          token_uri: `${endpoint}/token`,
        },
      }),
  },
  {
    name: "azureStore() with the account's key",
    secrets: [keyBytes(0x6b)],
    make: (endpoint) =>
      azureStore({
        ...AZURE,
        endpoint: `${endpoint}/account`,
        accountName: "account",
        accountKey: keyBytes(0x6b),
      }),
  },
  {
    name: "azureStore() with a shared access signature",
    secrets: [canary("sig")],
    make: (endpoint) =>
      azureStore({
        ...AZURE,
        endpoint: `${endpoint}/account`,
        sasToken: `?sv=2021-12-02&sp=racwdl&sr=c&sig=${encodeURIComponent(canary("sig"))}`,
      }),
  },
  {
    name: "azureStore() with a client secret of Entra",
    secrets: [canary("entra")],
    make: (endpoint) =>
      azureStore({
        ...AZURE,
        endpoint: `${endpoint}/account`,
        token: entraClientCredentials({
          ...HTTP_OPTIONS,
          tenantId: "tenant",
          clientId: "client",
          authority: endpoint,
          clientSecret: canary("entra"),
        }),
      }),
  },
  {
    name: "webdavStore() with a password",
    secrets: [canary("dav")],
    make: (url) =>
      webdavStore({
        ...HTTP_OPTIONS,
        url,
        path: "app",
        maxBufferedBytes: 1 << 20,
        username: "app",
        password: canary("dav"),
      }),
  },
  {
    name: "httpStore() with a header",
    secrets: [canary("header")],
    make: (url) =>
      httpStore(url, { ...HTTP_OPTIONS, headers: { authorization: canary("header") } }),
    // Writing is refused before anything is sent.
    least: 3,
  },
  ...[
    { user: "app", password: canary("nats-password") },
    { token: canary("nats-token") },
    { seed: userSeed },
    { jwt: canary("nats-jwt"), seed: userSeed },
  ].map((credentials): Subject => ({
    name: `natsStore() with ${Object.keys(credentials).join(" and ")}`,
    http: false,
    secrets: Object.entries(credentials).flatMap(([name, secret]) =>
      name === "user" ? [] : [secret],
    ),
    make: (endpoint) => {
      const servers = endpoint.replace(/^http/, "ws");
      return natsStore({ bucket: "bucket", servers, timeoutMs: 100, ...credentials });
    },
  })),
  {
    name: "sftpStore() with a password",
    http: false,
    secrets: [canary("sftp")],
    make: (endpoint) => {
      const { hostname, port } = new URL(endpoint);
      const hostKey = "accept-any";
      const times = { connectTimeoutMs: 100, timeoutMs: 100 };
      const user = { user: "app", password: canary("sftp") };
      return sftpStore({ host: hostname, port: Number(port || 1), hostKey, ...times, ...user });
    },
  },
];

const STATUSES: Readonly<Record<MirrorServer["form"], readonly number[]>> = {
  xml: [200, 301, 307, 400, 401, 403, 404, 409, 412, 416, 429, 500, 501, 503],
  json: [200, 400, 401, 403, 404, 412, 503],
  html: [200, 403, 502],
};

const KEY = "ltx/0/0000000000000001-0000000000000001.ltx";

function calls(store: ObjectStore): Readonly<Record<string, () => Promise<unknown>>> {
  async function* large(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 9; i++) yield new Uint8Array(1 << 20);
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

describe.each(SUBJECTS)("$name", ({ make, secrets, least = 8, http = true }) => {
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
    const store = await make(endpoint);
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
    await store.close?.();
    return { failed, leaked };
  }

  test("no answer of a careless server brings a secret into an error", async () => {
    for (const [form, statuses] of Object.entries(http ? STATUSES : { html: [403] })) {
      mirror.form = form as MirrorServer["form"];
      for (const status of statuses) {
        mirror.status = status;
        const { failed, leaked } = await attempt(mirror.url);
        expect([form, status, leaked]).toEqual([form, status, []]);
        if (![200, 404, 412, 416].includes(status)) expect(failed).toBeGreaterThanOrEqual(least);
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
    const [nobody] = await freePorts(1);
    for (const endpoint of [
      `http://127.0.0.1:${nobody}`,
      // A local name: keys of customers go to no other host without TLS.
      "http://pagestream-test.local",
      mirror.url.replace("http:", "https:"),
    ]) {
      const { failed, leaked } = await attempt(endpoint);
      expect([endpoint, leaked]).toEqual([endpoint, []]);
      expect(failed).toBeGreaterThanOrEqual(least);
    }
  });

  test("no event of a replication does, and nothing is printed", async () => {
    mirror.status = 403;
    mirror.form = "xml";
    const platform = fakePlatform(1);
    const { capabilities, list } = memoryStore();
    // An empty replica, as far as the start looks; then nothing works.
    const inner = await make(mirror.url);
    const store: ObjectStore = {
      ...inner,
      capabilities,
      list,
      probe: async () => capabilities,
    };
    const database = new ModelDatabase();
    database.write([1, 2]);
    const replication = await replicate(database, store, { platform, lease: false });
    const events = collectEvents(replication);
    database.write([2, 3]);
    const flushed = failure(() => replication.flush());
    const stalled = async (): Promise<void> => {
      await platform.clock.advanceAsync(30_000);
      expect(events.map(({ type }) => type)).toContain("stalled");
    };
    await vi.waitFor(stalled, 30_000);
    const closed = failure(() => replication.close({ deadlineMs: 1000 }));
    await platform.clock.advanceAsync(60_000);
    const outcomes = await Promise.all([flushed, closed]);
    expect(outcomes).not.toContain("no error");
    expect(leaks([events, outcomes, replication, printed], secrets)).toEqual([]);
    await inner.close?.();
  });
});
