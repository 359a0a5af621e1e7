import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import { createFleet } from "pagestream";
import { fakePlatform, readBody } from "pagestream/testing";
import { memoryStore } from "pagestream/transports/memory";
import { prefixedStore } from "pagestream/transports/prefixed";
import { installCaptureVfs, installMemoryVfs } from "pagestream/vfs";
import { afterAll, expect, test } from "vitest";
import {
  describeWithLitestream,
  litestreamRestoreTo,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";
import { run } from "../helpers/primary-bench.ts";
import { sqlite3 } from "./our-writer.ts";

const HOUR = 3_600_000;
afterAll(removeTemporary);

describeWithLitestream("a fleet", () => {
  test("createFleet() databases that have rested and gone on restore with Litestream, each from its part of a store", async () => {
    const folder = temporaryDirectory();
    const platform = fakePlatform(1);
    const memory = installMemoryVfs(sqlite3);
    const capture = installCaptureVfs(sqlite3, { parent: memory.name });
    const store = memoryStore({ platform });
    const fleet = createFleet({ platform });
    const tenants = await Promise.all(
      ["a", "b"].map(async (name) => {
        const db = new sqlite3.oo1.DB(`file:/fleet-${name}.db?vfs=${capture.name}`, "c");
        db.exec("CREATE TABLE note(body)");
        await run(platform, fleet.register(name, capture.source(db), prefixedStore(store, name)));
        return { name, db };
      }),
    );
    for (const round of [1, 2, 3]) {
      for (const { name, db } of tenants) db.exec(`INSERT INTO note VALUES ('${name} ${round}')`);
      await run(platform, fleet.flush());
      await platform.clock.advanceAsync(50 * HOUR);
      expect(fleet.status().states).toMatchObject({ resting: 2 });
    }
    for (const { name, db } of tenants) db.exec(`INSERT INTO note VALUES ('${name} last')`);
    await run(platform, fleet.close());
    // Files take real time, in which the clock of the test stands still: so they are written at the end.
    const copy = fileStore(join(folder, "replicas"));
    for await (const { key, metadata } of store.list()) {
      await copy.put(key, await readBody((await store.get(key)).body), { metadata });
    }
    for (const { name, db } of tenants) {
      const output = join(folder, `${name}.db`);
      expect(await litestreamRestoreTo(join(folder, "replicas", name), output)).toMatchObject({
        code: 0,
      });
      const restored = new DatabaseSync(output);
      const bodies = restored
        .prepare("SELECT body FROM note")
        .all()
        .map(({ body }) => body);
      expect(bodies).toEqual([`${name} 1`, `${name} 2`, `${name} 3`, `${name} last`]);
      restored.close();
      db.close();
    }
  });
});
