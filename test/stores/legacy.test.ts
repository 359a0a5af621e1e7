/**
 * A bucket that Litestream 0.3.13 writes, restored here and by itself.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { bytesSink, listRestorePoints, restore } from "pagestream";
import { s3Store } from "pagestream/transports/s3";
import { expect, test } from "vitest";
import { waitFor } from "../helpers/litestream.ts";
import { restoreWithLitestream03, startLitestream03 } from "../helpers/litestream03.ts";
import { describeWithServer } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

describeWithServer("seaweedfs", (address) => {
  test("restore() gives what Litestream 0.3.13 restores from a bucket", async () => {
    const place = s3Options(address, "legacy");
    await makeBucket(place);
    const store = s3Store({ ...place, path: "older" });
    const directory = mkdtempSync(join(tmpdir(), "pagestream-legacy-s3-"));
    try {
      const database = join(directory, "app.db");
      const { accessKeyId, secretAccessKey } = place.credentials;
      const options = {
        directory,
        database,
        replica: {
          type: "s3",
          bucket: place.bucket,
          path: "older",
          endpoint: place.endpoint,
          region: "us-east-1",
          "force-path-style": true,
          "access-key-id": accessKeyId,
          "secret-access-key": secretAccessKey,
        },
      };
      const db = new DatabaseSync(database, { timeout: 10_000 });
      db.exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a, b)");
      const daemon = startLitestream03(options);
      try {
        for (let step = 0; step < 4; step++) {
          const before = await newestKey(store);
          for (let i = 0; i < 20; i++) db.exec(`INSERT INTO t VALUES (${i}, randomblob(900))`);
          await waitFor(`a segment of step ${step}: ${daemon.log}`, async () => {
            return (await newestKey(store)) !== before;
          });
        }
      } finally {
        await daemon.stop();
        db.close();
      }
      const names = (await legacyKeys(store)).map((key) =>
        key.replace(/^generations\/[0-9a-f]{16}\//, ""),
      );
      expect(names.filter((name) => name.startsWith("snapshots/"))).toHaveLength(1);
      for (const name of names) {
        expect(name).toMatch(
          /^(?:snapshots\/[0-9a-f]{8}\.snapshot|wal\/[0-9a-f]{8}_[0-9a-f]{8}\.wal)\.lz4$/,
        );
      }

      const sink = bytesSink({ journalHeader: "keep" });
      const { legacy } = await restore(store, sink);
      expect(legacy?.files.length).toBe(names.length);
      expect(Buffer.compare(sink.bytes, restoreWithLitestream03(options))).toBe(0);
      const [newest] = await listRestorePoints(store);
      expect(newest?.legacy).toMatchObject({ index: legacy?.index, offset: legacy?.offset });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

async function legacyKeys(store: ReturnType<typeof s3Store>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list({ prefix: "generations/" })) keys.push(key);
  return keys;
}

async function newestKey(store: ReturnType<typeof s3Store>): Promise<string> {
  return (await legacyKeys(store)).at(-1) ?? "";
}
