import { s3Store } from "pagestream/transports/s3";
import { testInterop } from "./interop.ts";
import { describeWithServer, part } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

for (const server of ["seaweedfs", "ceph"]) {
  describeWithServer(server, (address) => {
    const options = s3Options(address, "interop");
    const endpoint = part(address, "endpoint");
    testInterop({
      name: `s3Store() on ${server}`,
      store: async (path) => {
        await makeBucket(options);
        return s3Store({ ...options, path });
      },
      url: (path) =>
        `s3://interop/${path}?endpoint=${endpoint}&region=us-east-1&force-path-style=true`,
      variables: {
        AWS_ACCESS_KEY_ID: options.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: options.credentials.secretAccessKey,
      },
    });
  });
}
