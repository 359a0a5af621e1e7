import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPagestreamError } from "pagestream";
import { afterAll, describe, expect, test } from "vitest";
import { storeFromConfig, storeFromUrl } from "./store-from-url.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-urls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("storeFromUrl()", () => {
  test("storeFromUrl() makes a directory's store", async () => {
    const store = await storeFromUrl(`file://${folder}/a%20b`);
    expect(store).toMatchObject({ type: "file", description: join(folder, "a b"), local: true });
    await store.put("ltx/0/x", new Uint8Array(3));
    expect(await store.head("ltx/0/x")).toMatchObject({ size: 3 });
  });

  test.each([
    ["s3://backups/app", "s3"],
    ["abs://account@backups/app", "abs"],
    ["gs://backups/app", "gs"],
    ["webdavs://me:secret@host/app", "webdav"],
    ["nats://host:4222/app", "nats"],
    ["sftp://me:secret@host/app", "sftp"],
    ["https://static.example.com/app", "http"],
  ])("storeFromUrl() makes the store of %s without a variable set", async (url, type) => {
    const store = await storeFromUrl(url, { env: {} });
    expect(store.type).toBe(type);
    expect(store.description).not.toContain("secret");
    await store.close?.();
  });
});

describe("storeFromConfig()", () => {
  test("storeFromConfig() reads the files that keys name, and says which it cannot", async () => {
    const seed = join(folder, "seed");
    writeFileSync(seed, "SUAEXAMPLE\n");
    const store = await storeFromConfig({ url: "nats://host:4222/app", nkey: seed });
    expect(store.type).toBe("nats");
    await store.close?.();
    const missing = storeFromConfig({ url: "nats://host:4222/app", creds: join(folder, "none") });
    const error = await missing.catch((e: unknown) => e);
    expect(isPagestreamError(error, "IO")).toBe(true);
    expect((error as Error).message).toContain("ENOENT");
  });

  test("storeFromConfig() takes a path for a directory", async () => {
    const store = await storeFromConfig({ path: join(folder, "replica") });
    expect(store.type).toBe("file");
  });
});
