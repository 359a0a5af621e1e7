import { s3Store } from "pagestream/transports/s3";
import { describeWithServer, storeContract } from "./kit.ts";
import { LARGE, makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("seaweedfs", (address) => {
  const options = s3Options(address, "contract");
  storeContract(
    {
      store: "S3",
      server: "SeaweedFS 4.48",
      make: async () => {
        await makeBucket(options);
        return s3Store({ ...options, path: "some/path" });
      },
    },
    { largeSize: LARGE, races: 1 },
  );
});
