import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { environment, pinnedNode, root, run } from "../../scripts/lib/process.mjs";
import { removeTemporary, temporaryDirectory } from "../helpers/litestream.ts";
import { describeWithServer } from "./kit.ts";
import { makeBucket, s3Options } from "./s3-kit.ts";

const EXAMPLE = readFileSync(join(root, "examples/s3/server.ts"), "utf8").replace(/^\/\/.*\n/, "");

/** What an example's reader would have to change to run it on a server of their own. */
function filledIn(text: string, endpoint: string): string {
  const replaced = text.replace('region: "eu-central-1"', `endpoint: "${endpoint}"`);
  if (replaced === text) throw new Error("the example names no region");
  return replaced;
}

test("the README shows the example", () => {
  expect(readFileSync(join(root, "README.md"), "utf8")).toContain(`\`\`\`ts\n${EXAMPLE}\`\`\``);
});

describeWithServer("seaweedfs", (address) => {
  afterEach(removeTemporary);

  test("the example of the README runs, and restores what it wrote where its disk was lost", async () => {
    const options = s3Options(address, "backups");
    await makeBucket(options);
    const { accessKeyId, secretAccessKey } = options.credentials;
    const env = environment({
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    });
    const cwd = temporaryDirectory();
    symlinkSync(join(root, "node_modules"), join(cwd, "node_modules"));
    writeFileSync(join(cwd, "server.mts"), filledIn(EXAMPLE, options.endpoint ?? ""));
    for (const notes of [1, 2]) {
      const { code, output } = await run([pinnedNode, "server.mts"], {
        cwd,
        env,
        quiet: true,
        limitMs: 30_000,
      });
      expect([code, output]).toEqual([0, ""]);
      const db = new DatabaseSync(join(cwd, "app.db"));
      expect(db.prepare("SELECT count(*) AS n FROM note").get()).toEqual({ n: notes });
      db.close();
      rmSync(join(cwd, "app.db"));
      rmSync(join(cwd, ".app.db-pagestream"), { recursive: true });
    }
  });
});
