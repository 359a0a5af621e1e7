import { testObjectStore } from "pagestream/testing";
import { afterAll, describe, expect, test } from "vitest";
import { startStoreServer } from "../helpers/http-store-server.ts";
import { httpStore, LIST_PAGE } from "../helpers/http-store.ts";

const server = await startStoreServer();
afterAll(() => server.close());

testObjectStore(() => httpStore(server.storeUrl("contract")), {
  describe,
  test,
  expect,
  name: "httpStore()",
  manyObjects: LIST_PAGE + 10,
});
