/**
 * An encrypted replica is nothing that Litestream takes for a database.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileStore } from "@pagestream/node";
import { encryptedStore } from "pagestream/transports/encrypted";
import { afterAll, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestream,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { unpackFixture } from "./fixtures.ts";

describeWithLitestream("encryptedStore", () => {
  afterAll(removeTemporary);

  test("Litestream refuses to restore an encrypted replica, and leaves nothing", async () => {
    const plain = unpackFixture("page-4096");
    const path = join(temporaryDirectory(), "replica");
    const key = new Uint8Array(32);
    const store = encryptedStore(fileStore(path), { keys: { one: key }, keyId: "one" });
    for await (const { key: name } of fileStore(plain.path).list({ prefix: "ltx/" })) {
      await store.put(name, readFileSync(join(plain.path, name)));
    }
    plain.remove();
    const output = join(path, "restored.db");
    const { code, stderr } = await litestream("restore", "-o", output, `file://${path}`);
    expect(code).toBe(1);
    expect(stderr).not.toBe("");
    expect(existsSync(output)).toBe(false);
  });
});
