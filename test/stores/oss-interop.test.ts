/**
 * The store of OSS and real Litestream by turns, each at its own door of a server in this process.
 *
 * @module
 */
import { ossStore } from "pagestream/transports/oss";
import { afterAll } from "vitest";
import { openOssDoor } from "../helpers/oss-door.ts";
import { S3Fake } from "../helpers/s3-fake.ts";
import { testInterop } from "./interop.ts";

const fake = new S3Fake({ bucket: "interop" });
const door = await openOssDoor(fake);
afterAll(() => door[Symbol.asyncDispose]());

const { accessKeyId, secretAccessKey } = S3Fake.credentials;

testInterop({
  name: "ossStore() beside the library of OSS",
  store: (path) =>
    ossStore({
      bucket: "interop",
      path,
      region: "us-east-1",
      endpoint: "http://127.0.0.1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      fetch: fake.fetch,
    }),
  replica: (path) => ({
    type: "oss",
    bucket: "interop",
    path,
    region: "cn-hangzhou",
    endpoint: door.endpoint,
    "access-key-id": accessKeyId,
    "secret-access-key": secretAccessKey,
  }),
});
