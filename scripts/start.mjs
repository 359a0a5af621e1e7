/**
 * `npm start`: sets everything up in a fresh clone, then runs the demonstration. Arguments go to `pagestream demo`.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { join } from "node:path";
import { StepError, environment, pinnedNode, root } from "./lib/process.mjs";
import { setUp } from "./lib/set-up.mjs";

try {
  await setUp();
  const command = join(root, "node_modules/@pagestream/node/bin/pagestream.mjs");
  const child = spawn(pinnedNode, [command, "demo", ...process.argv.slice(2)], {
    env: environment(),
    stdio: "inherit",
  });
  // The terminal sends SIGINT to the child itself; staying alive until it ends keeps the prompt in order.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("close", (code) => (process.exitCode = code ?? 1));
} catch (error) {
  if (!(error instanceof StepError)) throw error;
  process.exitCode = 1;
}
