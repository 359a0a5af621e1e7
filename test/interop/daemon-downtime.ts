/**
 * What is lost when the replicator is down: real Litestream and Pagestream, each in the same hundred situations.
 *
 * node --import ./test/helpers/sources.mjs test/interop/daemon-downtime.ts [rounds] [seed]
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import {
  CHANGED_ROWS,
  checkpointedWhileDown,
  CHECKPOINTS,
  isWholeAfter,
  LITESTREAM,
  LITESTREAM_ONCE,
  PAGESTREAM,
  randomDowntime,
} from "../helpers/downtime.ts";

const [rounds = 60, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
const root = mkdtempSync(join(tmpdir(), "pagestream-downtime-"));
let count = 0;

function directory(): string {
  const path = join(root, String(++count));
  mkdirSync(path);
  return path;
}

process.on("exit", () => rmSync(root, { recursive: true, force: true }));

console.log("Changed rows that the replica has, of those changed while the replicator was down\n");
console.log("| checkpoint while down | Litestream | Pagestream |");
console.log("| --- | ---: | ---: |");
for (const mode of CHECKPOINTS) {
  const theirs = await checkpointedWhileDown(LITESTREAM, directory(), mode);
  const ours = await checkpointedWhileDown(PAGESTREAM, directory(), mode);
  console.log(`| ${mode} | ${theirs} of ${CHANGED_ROWS} | ${ours} of ${CHANGED_ROWS} |`);
}

console.log(`\nRandom rounds in which something is missing, seed ${seed}\n`);
const random = seededRandom(seed);
const lost = { theirs: 0, ours: 0 };
for (let i = 0; i < rounds; i++) {
  const plan = randomDowntime(random.fork());
  if (!(await isWholeAfter(LITESTREAM_ONCE, directory(), plan))) lost.theirs++;
  if (!(await isWholeAfter(PAGESTREAM, directory(), plan))) lost.ours++;
}
console.log("| | Litestream `-once` | Pagestream |");
console.log("| --- | ---: | ---: |");
console.log(`| rounds with losses | ${lost.theirs} of ${rounds} | ${lost.ours} of ${rounds} |`);
if (lost.ours > 0) process.exitCode = 1;
