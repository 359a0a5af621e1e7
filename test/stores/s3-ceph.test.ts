import { s3Store } from "pagestream/transports/s3";
import { describeWithServer, storeContract } from "./kit.ts";
import { LARGE, makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("ceph", (address) => {
  const options = s3Options(address, "contract");
  storeContract(
    {
      store: "S3",
      server: "Ceph 16.2 RGW",
      make: async () => {
        await makeBucket(options);
        return s3Store({ ...options, path: "some/path", pageSize: 20 });
      },
    },
    { manyObjects: 45, largeSize: LARGE },
  );
});
