import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileStore } from "@pagestream/node";
import { afterAll } from "vitest";
import { setJournalHeader } from "../../src/core/database-header.ts";
import { testFence } from "../fence/scenarios.ts";
import {
  describeWithLitestream,
  litestreamRestore,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";

afterAll(removeTemporary);

describeWithLitestream("the fence", () => {
  testFence({
    name: "the file store",
    canLease: false,
    short: true,
    make: (name) => {
      const path = mkdtempSync(join(temporaryDirectory(), name));
      return { place: { kind: "file", path }, store: fileStore(path) };
    },
    async judge({ place }, isRight) {
      if (place.kind !== "file") return;
      const { bytes = [] } = await litestreamRestore(place.path);
      const database = Uint8Array.from(bytes);
      setJournalHeader(database, "rollback");
      isRight(database);
    },
  });
});
