import { s3Store } from "pagestream/transports/s3";
import { beforeAll } from "vitest";
import { testFence } from "../fence/scenarios.ts";
import { describeWithServer } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("seaweedfs", (address) => {
  const options = s3Options(address, "fence");
  beforeAll(() => makeBucket(options));
  testFence({
    name: "S3",
    canLease: true,
    make(path) {
      const there = { ...options, path };
      return { place: { kind: "s3", options: there }, store: s3Store(there) };
    },
  });
});
