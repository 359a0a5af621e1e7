import { gcsStore } from "pagestream/transports/gcs";
import { testInterop } from "./interop.ts";
import { describeWithServer, part } from "./kit.ts";

describeWithServer("fake-gcs", (address) => {
  const place = { endpoint: part(address, "endpoint"), bucket: part(address, "bucket") };
  testInterop({
    name: "gcsStore()",
    store: (path) => gcsStore({ ...place, path }),
    url: (path) => `gs://${place.bucket}/${path}`,
    variables: { STORAGE_EMULATOR_HOST: place.endpoint.replace("http://", "") },
  });
});
