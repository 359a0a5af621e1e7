import type { ObjectStore } from "pagestream";
import { testObjectStore } from "pagestream/testing";
import { gcsHmacStore } from "pagestream/transports/gcs-hmac";
import { TIMESTAMP_METADATA } from "pagestream/transports/store-kit";
import { beforeAll, describe, expect, test } from "vitest";
import { shortContract } from "../runtime/short-contract.ts";
import { describeWithServer } from "./kit.ts";
import { LARGE, makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("ceph", (address) => {
  const options = s3Options(address, "gcs-hmac");
  const { credentials, bucket, endpoint } = options;
  const place = { bucket, endpoint, ...credentials };

  beforeAll(() => makeBucket(options));

  // No row in the table: what Ceph honours, Google's own service does not.
  const make = async (): Promise<ObjectStore> => {
    const store = gcsHmacStore({ ...place, path: "some/path", pageSize: 10 });
    await store.probe?.();
    return store;
  };
  // The S3 store meets the rest of the contract with the same requests.
  testObjectStore(make, {
    ...shortContract({ describe, test, expect }),
    name: "gcsHmacStore() on Ceph: contract",
    largeSize: LARGE,
    manyObjects: 25,
  });

  test("gcsHmacStore() lies where gcsStore() does, and claims no condition untried", async () => {
    const store = gcsHmacStore({ ...place, path: "/app/" });
    expect([store.type, store.layout, store.description]).toEqual([
      "gs",
      "directory",
      `${endpoint}/gcs-hmac/app`,
    ]);
    const { conditionalPut, conditionalReplace, conditionalDelete } = store.capabilities;
    expect([conditionalPut, conditionalReplace, conditionalDelete]).toEqual([false, false, false]);
    const metadata = { [TIMESTAMP_METADATA]: "2026-03-04T05:06:07.08Z" };
    await store.put("a", new Uint8Array([1]), { metadata });
    expect((await store.head("a")).metadata).toEqual(metadata);
    await store.delete(["a", "missing"]);
  });
});
