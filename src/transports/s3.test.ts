import { describe, expect, test } from "vitest";
import { S3Fake } from "../../test/helpers/s3-fake.ts";
import { testObjectStore } from "../testing/test-object-store.ts";
import type { ObjectStore } from "./object-store.ts";
import { s3Store } from "./s3.ts";

const LARGE = 5 * 2 ** 20 + 1000;
const MANY = 120;

const servers = {
  "as AWS": { options: {}, store: { region: "us-east-1" } },
  "with folders, percent signs and bare tags": {
    options: {
      base: "/base",
      order: "tree",
      space: "%20",
      bareTags: true,
      ignores: ["large", "delete"],
    },
    store: { endpoint: "https://s3.example/base" },
  },
} as const;

for (const [name, { options, store }] of Object.entries(servers)) {
  const make = async (): Promise<ObjectStore> => {
    const fake = new S3Fake({ bucket: "bucket", pageSize: 50, ...options });
    const made = s3Store({
      bucket: "bucket",
      path: "/a path/",
      credentials: S3Fake.credentials,
      fetch: fake.fetch,
      ...store,
    });
    await made.probe?.();
    return made;
  };
  testObjectStore(make, {
    describe,
    test,
    expect,
    name: `s3Store() on a server ${name}`,
    manyObjects: MANY,
    largeSize: LARGE,
  });
}
