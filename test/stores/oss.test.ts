/**
 * The store of OSS against Ceph, in the place of its door for S3 clients: no server of OSS can be had here.
 *
 * @module
 */
import { ossStore } from "pagestream/transports/oss";
import { describeWithServer, storeContract } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("ceph", (address) => {
  const options = s3Options(address, "oss-contract");
  storeContract(
    {
      store: "OSS",
      server: "Ceph 16.2 RGW",
      make: async () => {
        await makeBucket(options);
        const sizes = { partSize: 5 * 2 ** 20, pageSize: 10 };
        return ossStore({ ...options, path: "some/path", forcePathStyle: true, ...sizes });
      },
    },
    // The S3 store runs the same requests with real pages.
    { largeSize: 5 * 2 ** 20 + 1000, manyObjects: 25, short: true },
  );
});
