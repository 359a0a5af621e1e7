/**
 * Runs every example under the pinned Node, each in an empty folder: an example that fails is a wrong page.
 *
 * @module
 */

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinnedNode, root, run } from "./lib/process.mjs";
import { problemsOf, runReported } from "./lib/report.mjs";

const LIMIT_MS = 30_000;

const folder = join(root, "examples");
const files = (existsSync(folder) ? readdirSync(folder) : []).filter((name) =>
  /\.(ts|mjs|js)$/.test(name),
);

const passed = await runReported(
  files.toSorted().map((name) => ({
    name,
    run: async () => {
      const scratch = mkdtempSync(join(tmpdir(), "pagestream-example-"));
      try {
        const command = [pinnedNode, join(folder, name)];
        return await problemsOf(run, command, { cwd: scratch, limitMs: LIMIT_MS });
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
    },
  })),
);
if (files.length === 0) console.error("  there is no example");
process.exitCode = passed && files.length > 0 ? 0 : 1;
