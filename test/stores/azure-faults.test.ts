import { azureStore } from "pagestream/transports/azure";
import { beforeAll } from "vitest";
import { azureAccount, makeContainer } from "./azure-containers.ts";
import { testHttpFaults } from "./faults.ts";
import { describeWithServer } from "./kit.ts";

describeWithServer("azurite", (address) => {
  const { endpoint, ...account } = azureAccount(address);
  const { origin, pathname } = new URL(endpoint);
  const container = "faults";
  beforeAll(() => makeContainer(address, container));
  testHttpFaults({
    name: "azureStore()",
    origin,
    make: (proxy, http) =>
      azureStore({ ...account, ...http, endpoint: proxy + pathname, container, path: "app" }),
  });
});
