/**
 * What `pagestream status` says of a database is what Litestream says of it.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { pagestream } from "../command/command.ts";
import {
  describeWithLitestream,
  litestream,
  removeTemporary,
  temporaryDirectory,
} from "../helpers/litestream.ts";

/** Sizes about the places where their text changes its form. */
const WAL_SIZES: readonly number[] = [0, 9, 8272, 9950, 99_950, 999_500];

describeWithLitestream("pagestream status", () => {
  afterAll(removeTemporary);

  test("status says of databases what Litestream does", async () => {
    const directory = temporaryDirectory();
    const paths = WAL_SIZES.map((size, i) => {
      const path = join(directory, `${i}.db`);
      writeFileSync(path, "");
      writeFileSync(`${path}-wal`, new Uint8Array(size));
      // Some have been replicated.
      const local = join(directory, `.${i}.db-litestream/ltx/0`);
      mkdirSync(local, { recursive: true });
      for (let txid = 1; txid <= i % 3; txid++) {
        const hex = (txid * 10).toString(16).padStart(16, "0");
        writeFileSync(join(local, `${hex}-${hex}.ltx`), "");
      }
      return path;
    });
    const config = join(directory, "litestream.yml");
    const entries = paths.map(
      (path) => `  - path: ${path}\n    replica:\n      path: ${path}-replica\n`,
    );
    writeFileSync(config, `dbs:\n${entries.join("")}`);
    const theirs = await litestream("status", "-config", config, "-json");
    expect(theirs).toMatchObject({ code: 0 });
    const ours: unknown[] = [];
    for (const path of paths) {
      const { stdout } = await pagestream(["status", "-json", path]);
      ours.push(...(JSON.parse(stdout) as unknown[]));
    }
    expect(ours).toEqual(JSON.parse(theirs.stdout));
  });
});
