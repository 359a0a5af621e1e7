/**
 * How fast an application writes alone, beside real Litestream and beside Pagestream, at SQLite's default auto-checkpoint.
 *
 * node --import ./test/helpers/sources.mjs test/interop/daemon-writer-rate.ts [commits] [rounds]
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Application } from "../helpers/application.ts";
import { startDaemon } from "../helpers/litestream.ts";
import { Replicator } from "../helpers/replicator.ts";

const [commits = 200_000, rounds = 3] = process.argv.slice(2).map(Number);

const INSERT =
  "INSERT INTO t(body) VALUES ('a row of about a hundred bytes ' || hex(randomblob(35)))";

/** Who is beside the writer. */
const BESIDE = ["nobody", "Litestream", "Pagestream"] as const;

interface Measured {
  readonly perSecond: number;
  /** Microseconds of its own that the writer spent on a commit: says the same on a machine that is busy otherwise. */
  readonly cpuMicros: number;
  /** The largest the WAL was, in bytes: it never shrinks by itself. */
  readonly walBytes: number;
}

async function measure(beside: (typeof BESIDE)[number]): Promise<Measured> {
  const directory = mkdtempSync(join(tmpdir(), "pagestream-rate-"));
  const path = join(directory, "app.db");
  const replica = join(directory, "replica");
  const application = await Application.open({ path, timeout: 30_000 });
  try {
    await application.run(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body); INSERT INTO t(body) VALUES ('first')",
    );
    const daemon =
      beside === "Litestream" &&
      (await startDaemon({ databases: { [path]: replica }, syncInterval: "1s" }));
    const replicator = beside === "Pagestream" && (await Replicator.open({ path, replica }));
    // Either is in full swing before it counts: Litestream takes its long lock only after a while.
    for (let i = 0; i < 3; i++) {
      await application.repeat(INSERT, 1_000);
      if (daemon) await daemon.sync(path);
      if (replicator) await replicator.sync();
    }
    const { ms, cpuMs } = await application.repeat(INSERT, commits);
    const walBytes = statSync(`${path}-wal`).size;
    if (daemon) await daemon.stop();
    if (replicator) await replicator.close();
    return { perSecond: (1_000 * commits) / ms, cpuMicros: (1_000 * cpuMs) / commits, walBytes };
  } finally {
    await application.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

const results = new Map(BESIDE.map((beside) => [beside, [] as Measured[]]));
// In turn: what else the machine does changes slowly.
for (let i = 0; i < rounds; i++) {
  for (const beside of BESIDE) results.get(beside)?.push(await measure(beside));
}
console.log(`${commits} commits of one row, synchronous=NORMAL, median of ${rounds} rounds\n`);
console.log(
  "| beside the writer | commits/s | of its rate alone | its CPU per commit | largest WAL |",
);
console.log("| --- | ---: | ---: | ---: | ---: |");
const alone = median((results.get("nobody") as Measured[]).map((r) => r.perSecond));
for (const [beside, measured] of results) {
  const rate = median(measured.map((r) => r.perSecond));
  const wal = Math.max(...measured.map((r) => r.walBytes)) / 1e6;
  const cpu = median(measured.map((r) => r.cpuMicros)).toFixed(0);
  const share = (rate / alone).toFixed(2);
  console.log(`| ${beside} | ${rate.toFixed(0)} | ${share} | ${cpu} µs | ${wal.toFixed(1)} MB |`);
}
