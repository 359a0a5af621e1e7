import { gcsStore } from "pagestream/transports/gcs";
import { testHttpFaults } from "./faults.ts";
import { describeWithServer, part } from "./kit.ts";

describeWithServer("fake-gcs", (address) => {
  testHttpFaults({
    name: "gcsStore()",
    origin: part(address, "endpoint"),
    make: (endpoint, http) =>
      gcsStore({ ...http, endpoint, bucket: part(address, "bucket"), path: "app" }),
  });
});
