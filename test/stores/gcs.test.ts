import { gcsStore } from "pagestream/transports/gcs";
import { TIMESTAMP_METADATA } from "pagestream/transports/store-kit";
import { expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { collect, difference, failure, readBody } from "../../src/testing/test-kit.ts";
import { emulated } from "../runtime/web-stores.ts";
import { describeWithServer, part, storeContract } from "./kit.ts";

const KIB = 1024;

describeWithServer("fake-gcs", (address) => {
  const place = { endpoint: part(address, "endpoint"), bucket: part(address, "bucket") };

  storeContract(
    {
      store: "Google Cloud Storage",
      server: "fake-gcs-server 1.54",
      make: () => emulated(gcsStore({ ...place, path: "a folder/key", pageSize: 50 })),
    },
    { manyObjects: 110, largeSize: 3500 * KIB },
  );

  test("gcsStore() takes large bodies in chunks, and streams of unknown size", async () => {
    const store = gcsStore({ ...place, path: "chunks", chunkSize: 256 * KIB });
    // One byte more than chunks, no byte more, and one chunk.
    for (const size of [512 * KIB + 1, 512 * KIB, 256 * KIB + 1, 256 * KIB]) {
      const bytes = seededRandom(size).bytes(size);
      const metadata = { [TIMESTAMP_METADATA]: "2026-03-04T05:06:07.08Z" };
      const { etag } = await store.put("large", stream(bytes), { metadata });
      const got = await store.get("large", { ifMatch: etag });
      expect([size, difference(await readBody(got.body), bytes)]).toEqual([size, ""]);
      expect(got.metadata).toEqual(metadata);
    }
    await store.delete(["large"]);
  });

  test("gcsStore() takes a large body in chunks of its usual size", async () => {
    const store = gcsStore({ ...place, path: "usual" });
    const bytes = seededRandom(2).bytes(9 * KIB * KIB);
    await store.put("large", bytes);
    const { body, size } = await store.get("large");
    expect([size, difference(await readBody(body), bytes)]).toEqual([bytes.length, ""]);
    await store.deleteOne("large");
  });

  test("gcsStore() writes objects as Litestream does", async () => {
    const store = gcsStore({ ...place, path: "as/litestream" });
    const key = "ltx/0/0000000000000001-0000000000000001.ltx";
    const metadata = { [TIMESTAMP_METADATA]: "2026-03-04T05:06:07.08Z" };
    await store.put(key, new Uint8Array(100), { metadata });
    const url = `${place.endpoint}/storage/v1/b/${place.bucket}/o/${encodeURIComponent(`as/litestream/${key}`)}`;
    expect(await (await fetch(url)).json()).toMatchObject({
      name: `as/litestream/${key}`,
      size: "100",
      contentType: "application/octet-stream",
      metadata: { "litestream-timestamp": "2026-03-04T05:06:07.08Z" },
    });
    await store.deleteOne(key);
  });

  test("gcsStore() knows a missing bucket from an empty one", async () => {
    const missing = gcsStore({ ...place, bucket: "no-such-bucket" });
    expect(await failure(() => collect(missing.list()))).toBe("STORE");
    expect(await failure(() => missing.put("a", new Uint8Array([1])))).toBe("STORE");
    expect(await collect(gcsStore({ ...place, path: "empty" }).list())).toEqual([]);
  });
});

async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += 100_003) yield bytes.slice(at, at + 100_003);
}
