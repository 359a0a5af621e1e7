import { describe, expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { memoryStore } from "./memory.ts";
import type { FileSettings } from "./replica-settings.ts";
import { storeFromConfig, storeFromUrl, type StoreFromUrlOptions } from "./store-from-url.ts";

const env = { AWS_ACCESS_KEY_ID: "AKEXAMPLE", AWS_SECRET_ACCESS_KEY: "SECRET" };

const s3Keys = { accessKeyId: "AKEXAMPLE", secretAccessKey: "SECRET" };

/** Answers nothing, and notes the requests. */
function listening(): StoreFromUrlOptions & { readonly requests: Request[] } {
  const requests: Request[] = [];
  return {
    env,
    requests,
    http: {
      fetch: (url, init) => {
        requests.push(new Request(url, init as RequestInit));
        return Promise.resolve(new Response("", { status: 404 }));
      },
    },
  };
}

async function refusal(made: Promise<unknown>): Promise<string> {
  const error = await made.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!isPagestreamError(error)) throw new Error("It was not refused", { cause: error });
  return `${error.code} ${error.message}`;
}

describe("storeFromUrl()", () => {
  test.each([
    ["s3://bkt/db", "s3", "hex"],
    ["oss://bkt/db", "oss", "hex"],
    ["webdavs://host/db", "webdav", "directory"],
    ["abs://account@ccc/db", "abs", "directory"],
    ["nats://host/app", "nats", "directory"],
  ])("storeFromUrl() makes the store of %s", async (url, type, layout) => {
    const connect = (): Promise<never> => Promise.reject(new Error("not here"));
    const { natsStore } = await import("./nats.ts");
    const store = await storeFromUrl(url, {
      env: {
        ...env,
        LITESTREAM_AZURE_ACCOUNT_KEY: "a2V5",
        OSS_ACCESS_KEY_ID: "LTAIEXAMPLE",
        OSS_ACCESS_KEY_SECRET: "SECRET",
      },
      schemes: { nats: ({ bucket, server }) => natsStore({ bucket, servers: server, connect }) },
    });
    expect(store.type).toBe(type);
    expect(store.layout ?? "directory").toBe(layout);
  });

  test("storeFromUrl() asks a bucket where the URL says", async () => {
    const options = listening();
    const url = "s3://bkt/db?endpoint=localhost:9000&region=r1";
    const store = await storeFromUrl(url, options);
    await store.head("0000/x").catch(() => undefined);
    expect(options.requests[0]?.url).toBe("http://localhost:9000/bkt/db/0000/x");
    expect(options.requests[0]?.headers.get("authorization")).toContain("/r1/s3/aws4_request");
  });

  test("storeFromUrl() asks for keys where there are none, and takes them from where they are given", async () => {
    expect(await refusal(storeFromUrl("s3://bkt/db"))).toMatch(
      /INVALID_ARGUMENT .*no credentials. Set AWS_ACCESS_KEY_ID/,
    );
    expect(await refusal(storeFromUrl("abs://account@ccc/db"))).toMatch(
      /LITESTREAM_AZURE_SAS_TOKEN/,
    );
    const s3 = { accessKeyId: "AKOTHER", secretAccessKey: "x" };
    const options = { ...listening(), env: {}, credentials: { s3 } };
    const store = await storeFromUrl("s3://bkt/db", options);
    await store.head("0000/x").catch(() => undefined);
    expect(options.requests[0]?.headers.get("authorization")).toContain("Credential=AKOTHER/");
    const litestream = { LITESTREAM_ACCESS_KEY_ID: "AKLITE", LITESTREAM_SECRET_ACCESS_KEY: "x" };
    const other = { ...listening(), env: litestream };
    await (await storeFromUrl("s3://bkt/db", other)).head("0000/x").catch(() => undefined);
    expect(other.requests[0]?.headers.get("authorization")).toContain("Credential=AKLITE/");
  });

  test("storeFromUrl() brings a web server the token of the environment, where nobody else can read it", async () => {
    const secret = "t0ken-of-16-letters";
    const byFile = { PAGESTREAM_HTTP_TOKEN_FILE: "/token", PAGESTREAM_HTTP_TOKEN: "other" };
    const readFile = (): Promise<string> => Promise.resolve(`${secret}\n`);
    for (const given of [{ env: { PAGESTREAM_HTTP_TOKEN: secret } }, { env: byFile, readFile }]) {
      for (const url of ["https://host/app", "http://localhost:81/app", "http://[::1]:81/app"]) {
        const options = { ...listening(), ...given };
        await (await storeFromUrl(url, options)).head("ltx/0/x").catch(() => undefined);
        expect(options.requests[0]?.headers.get("authorization")).toBe(`Bearer ${secret}`);
      }
      const open = await refusal(storeFromUrl("http://host/app", given));
      expect(open).toMatch(/INVALID_ARGUMENT .*http:\/\/host.* readable on its way. Use https/);
      expect(open).not.toContain(secret);
    }
    const none = { ...listening(), env: {} };
    await (await storeFromUrl("http://host/app", none)).head("ltx/0/x").catch(() => undefined);
    expect(none.requests[0]?.headers.get("authorization")).toBeNull();
    const broken = await refusal(
      storeFromUrl("https://host/app", { env: { PAGESTREAM_HTTP_TOKEN: "two words" } }),
    );
    expect(broken).toMatch(/characters that no token has/);
    expect(broken).not.toContain("two words");
  });

  test("storeFromUrl() takes Google's file, an emulator, or a token that is given", async () => {
    expect(await refusal(storeFromUrl("gs://bkt/db"))).toMatch(/GOOGLE_APPLICATION_CREDENTIALS/);
    const named = { GOOGLE_APPLICATION_CREDENTIALS: "/key.json" };
    const unread = storeFromUrl("gs://bkt/db", { env: named });
    expect(await refusal(unread)).toMatch(/UNSUPPORTED .*readFile/);
    const emulated = { ...listening(), env: { STORAGE_EMULATOR_HOST: "localhost:4443" } };
    await (await storeFromUrl("gs://bkt/db", emulated)).head("ltx/0/x").catch(() => undefined);
    expect(emulated.requests[0]?.url).toMatch(/^http:\/\/localhost:4443\/storage\/v1\/b\/bkt\/o\//);
    expect(emulated.requests[0]?.headers.get("authorization")).toBeNull();
    const given = {
      ...listening(),
      env: {},
      credentials: { gs: () => ({ token: "T", expiresAt: new Date(8e15) }) },
    };
    await (await storeFromUrl("gs://bkt/db", given)).head("ltx/0/x").catch(() => undefined);
    expect(given.requests[0]?.headers.get("authorization")).toBe("Bearer T");
  });

  test("storeFromUrl() refuses to write where Litestream's keys cannot be reached, and reads there", async () => {
    const pathless = storeFromUrl("oss://bkt", { credentials: { oss: s3Keys } });
    expect(await refusal(pathless)).toMatch(/like oss:\/\/bkt\/app/);
    for (const url of ["s3://bkt", "s3://bkt/"]) {
      expect(await refusal(storeFromUrl(url, { env }))).toMatch(
        /INVALID_ARGUMENT .*begin with \.\/.*Write a path behind the bucket, like s3:\/\/bkt\/app/,
      );
      expect((await storeFromUrl(url, { env, access: "read" })).type).toBe("s3");
    }
  });

  test("storeFromUrl() leaves to the runtime what needs one", async () => {
    expect(await refusal(storeFromUrl("file:///db"))).toMatch(/UNSUPPORTED .*@pagestream\/node/);
    expect(await refusal(storeFromUrl("sftp://u@h/db"))).toMatch(/UNSUPPORTED/);
    const store = memoryStore();
    const asked: FileSettings[] = [];
    const file = (settings: FileSettings): typeof store => {
      asked.push(settings);
      return store;
    };
    expect(await storeFromUrl("file:///db", { schemes: { file } })).toBe(store);
    expect(asked).toEqual([{ type: "file", path: "/db" }]);
  });

  test("storeFromUrl() cannot go without the verification of certificates", async () => {
    const made = storeFromUrl("s3://bkt/db?skipVerify=true", { env });
    expect(await refusal(made)).toMatch(/UNSUPPORTED .*skip-verify, .*@pagestream\/node/);
    expect((await storeFromUrl("s3://bkt/db?skipVerify=false", { env })).type).toBe("s3");
    for (const url of ["s3://b/x", "webdav://h/x", "abs://a@b/x", "oss://b/x", "nats://h/b"]) {
      const named = storeFromConfig({ url, "root-cas": ["/ca.pem"] }, { env });
      expect([url, await refusal(named)]).toEqual([url, expect.stringContaining("root-cas")]);
    }
  });
});

describe("storeFromConfig()", () => {
  test("storeFromConfig() prefers the keys of the configuration", async () => {
    const options = listening();
    const config = { url: "s3://bkt/db", "access-key-id": "AKCONFIG", "secret-access-key": "x" };
    await (await storeFromConfig(config, options)).head("0000/x").catch(() => undefined);
    expect(options.requests[0]?.headers.get("authorization")).toContain("Credential=AKCONFIG/");
  });

  test("storeFromConfig() reads the files that keys name, where it can", async () => {
    const key = btoa("k".repeat(32));
    const options = {
      ...listening(),
      readFile: (path: string) => Promise.resolve(path === "/k" ? `${key}\n` : ""),
    };
    const config = { url: "s3://bkt/db", "sse-customer-key-path": "/k" };
    await (await storeFromConfig(config, options)).head("0000/x").catch(() => undefined);
    const header = "x-amz-server-side-encryption-customer-key";
    expect(options.requests[0]?.headers.get(header)).toBe(key);
    expect(await refusal(storeFromConfig(config, { env }))).toMatch(/UNSUPPORTED .*readFile/);
    const nats = { url: "nats://h/b", creds: "/c" };
    expect(await refusal(storeFromConfig(nats))).toMatch(/UNSUPPORTED .*creds names/);
  });

  test("storeFromConfig() lets a shared access signature of Azure win over a key", async () => {
    const options = listening();
    const config = {
      url: "abs://account@ccc/db",
      "account-key": "a2V5",
      "sas-token": "?sv=1&sig=SIG",
    };
    await (await storeFromConfig(config, options)).head("ltx/0/x").catch(() => undefined);
    expect(options.requests[0]?.url).toContain("sig=SIG");
    expect(options.requests[0]?.headers.get("authorization")).toBeNull();
  });
});
