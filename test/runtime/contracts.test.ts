/**
 * The contracts of file calls and of stores, held by each runtime's adapter.
 *
 * @module
 */
import { testObjectStore, testSyncFiles } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { adapter, describe, expect, freshDirectory, test } from "./kit.ts";

const { fileStore, syncFiles } = adapter;
const kit = { describe, test, expect };

testSyncFiles(() => ({ files: syncFiles(), directory: freshDirectory() }), {
  ...kit,
  name: "syncFiles()",
});

const store = fileStore(freshDirectory());
testObjectStore(() => store, { ...kit, name: "fileStore()" });

testObjectStore(() => memoryStore(), { ...kit, name: "memoryStore()" });
