import { azureStore } from "pagestream/transports/azure";
import { TIMESTAMP_METADATA } from "pagestream/transports/store-kit";
import { beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { collect, difference, readBody } from "../../src/testing/test-kit.ts";
import { azureAccount, containerSas, makeContainer, rawHead } from "./azure-containers.ts";
import { describeWithServer, storeContract } from "./kit.ts";

const KIB = 1024;

describeWithServer("azurite", (address) => {
  const container = "contract";
  const account = azureAccount(address);
  const small = { container, blockSize: 1024 * KIB, pageSize: 50 };

  beforeAll(() => makeContainer(address, container));

  storeContract(
    {
      store: "Azure Blob Storage",
      server: "Azurite 3.36",
      make: () => azureStore({ ...account, ...small, path: "a folder/key" }),
    },
    { manyObjects: 260, largeSize: 3500 * KIB },
  );

  test("azureStore() does everything with a shared access signature, too", async () => {
    const sasToken = containerSas(address, container);
    const store = azureStore({ endpoint: account.endpoint, ...small, path: "sas", sasToken });
    const bytes = seededRandom(1).bytes(2500 * KIB);
    const { etag } = await store.put("large", bytes, { metadata: { [TIMESTAMP_METADATA]: "t" } });
    for (const key of ["a", "b", "c d/é"]) await store.put(key, new Uint8Array([1]));
    const listed = await collect(store.list());
    expect(listed.map(({ key }) => key)).toEqual(["a", "b", "c d/é", "large"]);
    expect(listed.at(-1)).toMatchObject({ etag, metadata: { [TIMESTAMP_METADATA]: "t" } });
    const got = await store.get("large", { offset: 1_000_000, ifMatch: etag });
    expect(difference(await readBody(got.body), bytes.subarray(1_000_000))).toBe("");
    await store.delete(["a", "b", "c d/é", "missing", "large"]);
    expect(await collect(store.list())).toEqual([]);
  });

  test("azureStore() tells what a signature does not allow", async () => {
    const sasToken = containerSas(address, container, "rl");
    const store = azureStore({ endpoint: account.endpoint, container, path: "ro", sasToken });
    const writer = azureStore({ ...account, container, path: "ro" });
    await writer.put("a", new Uint8Array([1]));
    await writer.put("b", new Uint8Array([1]));
    expect((await store.head("a")).size).toBe(1);
    for (const call of [
      () => store.put("c", new Uint8Array([1])),
      () => store.deleteOne("a"),
      () => store.delete(["a", "b"]),
    ]) {
      const text = await message(call);
      expect(text).toContain("the server answered 403, AuthorizationPermissionMismatch");
      expect(text).not.toContain(new URLSearchParams(sasToken).get("sig"));
    }
    expect((await collect(writer.list())).map(({ key }) => key)).toEqual(["a", "b"]);
    await writer.delete(["a", "b"]);
  });

  test("azureStore() knows a missing container from an empty one", async () => {
    const store = azureStore({ ...account, container: "no-such-container" });
    for (const call of [
      () => collect(store.list()),
      () => store.put("a", new Uint8Array([1])),
      () => store.put("a", new Uint8Array([1]), { ifNoneMatch: "*" }),
      () => store.get("a"),
      () => store.delete(["a", "b"]),
    ]) {
      expect(await message(call)).toContain("the server answered 404, ContainerNotFound");
    }
    expect(await collect(azureStore({ ...account, container, path: "empty" }).list())).toEqual([]);
  });

  test("azureStore() says at once that a key is wrong", async () => {
    const wrong = Buffer.alloc(64, 7).toString("base64");
    const store = azureStore({ ...account, container, accountKey: wrong });
    expect(await message(() => store.head("a"))).toContain("the server answered 403");
    const text = await message(() => store.put("a", new Uint8Array([1])));
    expect(text).toContain("the server answered 403, AuthorizationFailure");
    expect(text).toContain("Check the credentials");
  });

  test("azureStore() writes blobs as Litestream does", async () => {
    const store = azureStore({ ...account, container, path: "as/litestream", blockSize: KIB });
    const metadata = { [TIMESTAMP_METADATA]: "2026-03-04T05:06:07.08Z" };
    for (const [key, size] of [
      ["ltx/0/0000000000000001-0000000000000001.ltx", KIB],
      ["ltx/9/0000000000000001-0000000000000001.ltx", KIB + 1],
    ] as const) {
      await store.put(key, new Uint8Array(size), { metadata });
      const headers = await rawHead(address, `${container}/as/litestream/${key}`);
      expect(headers.get("x-ms-meta-litestreamtimestamp")).toBe("2026-03-04T05:06:07.08Z");
      expect(headers.get("x-ms-access-tier")).toBe("Hot");
      expect(headers.get("x-ms-blob-type")).toBe("BlockBlob");
      expect(headers.get("content-type")).toBe("application/octet-stream");
      expect(headers.get("content-length")).toBe(String(size));
    }
  });

  test("azureStore() takes a large blob in blocks of its usual size", async () => {
    const store = azureStore({ ...account, container, path: "usual" });
    const bytes = seededRandom(2).bytes(6 * KIB * KIB);
    await store.put("large", bytes, { ifNoneMatch: "*" });
    const { body, size } = await store.get("large");
    expect([size, difference(await readBody(body), bytes)]).toEqual([bytes.length, ""]);
    await store.deleteOne("large");
  });
});

async function message(call: () => unknown): Promise<string> {
  try {
    await call();
    return "no error";
  } catch (error) {
    return String(error);
  }
}
