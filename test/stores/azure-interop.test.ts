import { azureStore } from "pagestream/transports/azure";
import { beforeAll } from "vitest";
import { azureAccount, makeContainer } from "./azure-containers.ts";
import { testInterop } from "./interop.ts";
import { describeWithServer } from "./kit.ts";

describeWithServer("azurite", (address) => {
  const account = azureAccount(address);
  const container = "interop";
  beforeAll(() => makeContainer(address, container));
  testInterop({
    name: "azureStore()",
    store: (path) => azureStore({ ...account, container, path }),
    // An address alone cannot name another endpoint than Azure's own, so the library for SQLite is left out.
    replica: (path) => ({
      type: "abs",
      "account-name": account.accountName,
      "account-key": account.accountKey,
      endpoint: account.endpoint,
      bucket: container,
      path,
    }),
  });
});
