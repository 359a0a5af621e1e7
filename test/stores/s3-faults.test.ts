import { s3Store } from "pagestream/transports/s3";
import { beforeAll } from "vitest";
import { testHttpFaults } from "./faults.ts";
import { describeWithServer, part } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("seaweedfs", (address) => {
  const options = s3Options(address, "faults");
  beforeAll(() => makeBucket(options));
  testHttpFaults({
    name: "s3Store()",
    origin: part(address, "endpoint"),
    make: (endpoint, http) => s3Store({ ...options, ...http, endpoint, path: "app" }),
  });
});
