/**
 * Memory of a verification at scale: a replica of 1 GB, plain and encrypted.
 *
 * usage: node bench/verify.ts [--directory PATH]
 *
 * Each verification is a process of its own; its largest resident set is what the operating system says of it. The bound
 * is asserted, times are only reported.
 *
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fileStore } from "@pagestream/node";
import { encryptedStore } from "pagestream/transports/encrypted";
import { describeMachine } from "./harness.ts";
import { measureProgram } from "./process.ts";
import { scaleReplica } from "./restore/scale-replica.ts";

const BOUND_MB = 150;

const { values } = parseArgs({
  options: { directory: { type: "string", default: join(tmpdir(), "pagestream-bench-scale") } },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const command = [
  join(root, "node_modules/node/bin/node"),
  join(root, "adapters/node/bin/pagestream.mjs"),
];

const plain = scaleReplica(values.directory, {
  pages: 262_144,
  l1: 60,
  pagesPerL1: 1500,
  l0: 300,
  pagesPerL0: 20,
});
const encrypted = `${plain}-encrypted`;
const key = join(values.directory, "key");
writeFileSync(key, new Uint8Array(32));
if (!existsSync(encrypted)) {
  const store = encryptedStore(fileStore(encrypted), {
    keys: { one: readFileSync(key) },
    keyId: "one",
  });
  for await (const { key: name } of fileStore(plain).list({ prefix: "ltx/" })) {
    await store.put(name, readFileSync(join(plain, name)));
  }
}

console.log(describeMachine());
for (const [name, flags] of [
  ["plain", [plain]],
  ["encrypted", ["--encryption-key", `one=${key}`, encrypted]],
] as const) {
  const run = await measureProgram([...command, "verify", ...flags]);
  console.log(
    `${name}: ${run.memory.toFixed(0)} MB, ${run.wall.toFixed(1)} s wall, ` +
      `${run.user.toFixed(1)} s user, ${run.system.toFixed(1)} s system`,
  );
  if (run.memory > BOUND_MB) throw new Error(`More than ${BOUND_MB} MB of memory`);
}
