/**
 * `pagestream replicate` against `litestream replicate`, side by side in one run: lag, the writer's rate, processor time,
 * memory, PUTs, idling, and the restore of what they wrote.
 *
 * usage: node bench/daemon/run.ts [--samples 40] [--seconds 20] [--settle 60] [--commits 100000] [--only lag,steady,full,idle,restore]
 *
 * Needs `npm run build`, `node scripts/tools.mjs litestream python`, and Linux. Both read the same configuration and
 * write file replicas; each replica is restored and compared.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { describeMachine } from "../harness.ts";
import { measureProgram, median } from "../process.ts";
import {
  type Contestant,
  Daemon,
  litestream,
  mergedFiles,
  newestTxid,
  pagestream,
  type Place,
} from "./daemon.ts";

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "40" },
    seconds: { type: "string", default: "20" },
    settle: { type: "string", default: "60" },
    commits: { type: "string", default: "100000" },
    only: { type: "string", default: "lag,steady,full,idle,restore" },
  },
});
const only = values.only.split(",");

const THEIRS: Contestant = { name: "Litestream", command: [litestream] };
const OURS: Contestant = { name: "Pagestream", command: pagestream };
const OURS_SLOW: Contestant = { ...OURS, name: "Pagestream at 1s", syncInterval: "1s" };

const folder = mkdtempSync(join(tmpdir(), "pagestream-bench-daemon-"));
let count = 0;

interface Row {
  readonly what: string;
  readonly theirs: number;
  readonly ours: number;
  readonly unit: string;
  /** What `ours / theirs` must not exceed, or must reach where more is better. */
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
}
const rows: Row[] = [];

const random = seededRandom(7);

/** A database as an application has it, in WAL mode with SQLite's defaults but for the sync. */
function create(): Place & { readonly db: DatabaseSync } {
  const place = join(folder, String(++count));
  mkdirSync(place);
  const path = join(place, "app.db");
  const db = new DatabaseSync(path, { timeout: 30_000 });
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  db.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body); INSERT INTO t(body) VALUES ('first')");
  return { path, replica: join(place, "replica"), db };
}

const INSERT =
  "INSERT INTO t(body) VALUES ('a row of about a hundred bytes ' || hex(randomblob(35)))";

async function withDaemon<T>(
  contestant: Contestant,
  places: readonly Place[],
  work: (daemon: Daemon) => Promise<T>,
): Promise<T> {
  const daemon = await Daemon.start(contestant, folder, places);
  try {
    return await work(daemon);
  } finally {
    await daemon.stop();
  }
}

/** Milliseconds from each commit to its file: one commit at a time, at random moments. */
async function lag(contestant: Contestant): Promise<readonly number[]> {
  const place = create();
  return await withDaemon(contestant, [place], async () => {
    const insert = place.db.prepare(INSERT);
    const lags: number[] = [];
    for (let i = 0; i < Number(values.samples); i++) {
      await sleep(random.int(1000));
      const before = newestTxid(place.replica);
      const arrived = new Promise<void>((resolve) => {
        const watcher = watch(join(place.replica, "ltx/0"), () => {
          if (newestTxid(place.replica) === before) return;
          watcher.close();
          resolve();
        });
      });
      const start = performance.now();
      insert.run();
      await arrived;
      lags.push(performance.now() - start);
    }
    return lags.toSorted((a, b) => a - b);
  });
}

interface Work {
  /** Seconds of the daemon's processor for 100,000 commits. */
  readonly cpu: number;
  readonly memory: number;
  readonly puts: number;
  readonly perSecond: number;
}

/** The daemon's cost while an application commits: as fast as it can, or some commits a second. */
async function work(contestant: Contestant, perSecond?: number): Promise<Work> {
  const place = create();
  return await withDaemon(contestant, [place], async (daemon) => {
    const insert = place.db.prepare(INSERT);
    // Either is in full swing before it counts: Litestream takes its long lock only after a while.
    for (let i = 0; i < 2000; i++) insert.run();
    await sleep(3000);
    const [cpu, txid] = [daemon.cpu(), newestTxid(place.replica)];
    const start = performance.now();
    const commits =
      perSecond === undefined ? Number(values.commits) : Number(values.seconds) * perSecond;
    for (let i = 0; i < commits; i++) {
      const wait = perSecond === undefined ? 0 : start + (i * 1000) / perSecond - performance.now();
      if (wait > 0) await sleep(wait);
      insert.run();
    }
    const seconds = (performance.now() - start) / 1000;
    await sleep(3000);
    const result = {
      cpu: ((daemon.cpu() - cpu) * 100_000) / commits,
      memory: daemon.memory(),
      puts: newestTxid(place.replica) - txid + mergedFiles(place.replica),
      perSecond: commits / seconds,
    };
    place.db.close();
    await sleep(1500);
    await compare(place);
    return result;
  });
}

/** What a restore by each command gives is what the database holds. */
async function compare({ path, replica }: Place): Promise<void> {
  const copy = `${path}.copy`;
  execFileSync(litestream, ["restore", "-o", copy, `file://${replica}`], { stdio: "ignore" });
  const [theirs, ours] = [copy, path].map((file) => {
    const db = new DatabaseSync(file);
    const row = db
      .prepare("SELECT count(*) AS n, sum(length(body)) AS s, max(id) AS m FROM t")
      .get();
    db.close();
    return JSON.stringify(row);
  });
  if (theirs !== ours) throw new Error(`${path}: ${theirs} was restored of ${ours}`);
}

/** Share of one core, in percent, that a daemon takes while nobody writes; and files it wrote meanwhile. */
async function idle(contestant: Contestant, databases: number): Promise<readonly [number, number]> {
  const places = Array.from({ length: databases }, create);
  for (const { db } of places) db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return await withDaemon(contestant, places, async (daemon) => {
    // Past the first compaction of what the start has uploaded.
    await sleep(Number(values.settle) * 1000);
    const files = (): number =>
      places.reduce((sum, { replica }) => sum + newestTxid(replica) + mergedFiles(replica), 0);
    const [cpu, before] = [daemon.cpu(), files()];
    await sleep(Number(values.seconds) * 1000);
    const share = (100 * (daemon.cpu() - cpu)) / Number(values.seconds);
    const wrote = files() - before;
    for (const { db } of places) db.close();
    return [share, wrote];
  });
}

/** Seconds of each command, in turn, for the replica of one workload. */
async function restores(): Promise<void> {
  const place = create();
  await withDaemon(THEIRS, [place], async () => {
    const fill = place.db.prepare("INSERT INTO t(body) VALUES (hex(randomblob(2000)))");
    for (let i = 0; i < 50; i++) {
      place.db.exec("BEGIN");
      for (let k = 0; k < 1000; k++) fill.run();
      place.db.exec("COMMIT");
      await sleep(100);
    }
    await sleep(3000);
  });
  place.db.close();
  const size = statSync(place.path).size / 1e6;
  const out = join(folder, "restored.db");
  const times: [number[], number[]] = [[], []];
  const cpu: [number[], number[]] = [[], []];
  for (let round = 0; round < 5; round++) {
    for (const [i, command] of [[litestream], pagestream].entries()) {
      execFileSync("sync");
      const run = await measureProgram([
        ...command,
        "restore",
        "-o",
        out,
        `file://${place.replica}`,
      ]);
      times[i]?.push(run.wall);
      cpu[i]?.push(run.user + run.system);
      for (const suffix of ["", "-wal", "-shm", "-txid"]) rmSync(out + suffix, { force: true });
    }
  }
  const [theirs, ours] = times.map(median) as [number, number];
  const what = `restore of ${size.toFixed(0)} MB`;
  rows.push({ what, theirs, ours, unit: "s", target: { atMost: 1 / 4 } });
  const [theirCpu, ourCpu] = cpu.map(median) as [number, number];
  rows.push({ what: "its CPU", theirs: theirCpu, ours: ourCpu, unit: "s" });
}

function addWork(what: string, theirs: Work, ours: Work, isFull: boolean): void {
  if (isFull) {
    const target = { atLeast: 2 };
    const [t, o] = [theirs.perSecond, ours.perSecond];
    rows.push({ what: `${what}: commits/s of the writer`, theirs: t, ours: o, unit: "", target });
  }
  const equal = what.includes("1s") ? { target: { atMost: 2 } as const } : {};
  rows.push(
    {
      what: `${what}: CPU per 100k commits`,
      theirs: theirs.cpu,
      ours: ours.cpu,
      unit: "s",
      ...equal,
    },
    { what: `${what}: memory`, theirs: theirs.memory, ours: ours.memory, unit: "MB" },
    { what: `${what}: PUTs`, theirs: theirs.puts, ours: ours.puts, unit: "" },
  );
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

try {
  const version = execFileSync(litestream, ["version"], { encoding: "utf8" }).trim();
  console.log(`${describeMachine()}; litestream ${version}`);
  if (only.includes("lag")) {
    const [theirs, ours] = await Promise.all([lag(THEIRS), lag(OURS)]);
    const p = (share: number, target?: Row["target"]): void =>
      void rows.push({
        what: `commit to L0 file, p${share * 100}`,
        theirs: at(theirs, share),
        ours: at(ours, share),
        unit: "ms",
        ...(target && { target }),
      });
    p(0.5, { atMost: 0.1 });
    p(0.99);
  }
  if (only.includes("steady")) {
    const [theirs, ours, slow] = await Promise.all([
      work(THEIRS, 100),
      work(OURS, 100),
      work(OURS_SLOW, 100),
    ]);
    addWork("100 commits/s", theirs, ours, false);
    addWork("100 commits/s, both at 1s", theirs, slow, false);
  }
  if (only.includes("full")) {
    const theirs = await work(THEIRS);
    addWork("full speed", theirs, await work(OURS), true);
    addWork("full speed, both at 1s", theirs, await work(OURS_SLOW), true);
  }
  if (only.includes("idle")) {
    for (const databases of [1, 100]) {
      const [theirs, ours] = await Promise.all([idle(THEIRS, databases), idle(OURS, databases)]);
      const target = databases === 100 ? { target: { atMost: 0.1 } as const } : {};
      const what = `idle, ${databases} database${databases === 1 ? "" : "s"}`;
      rows.push(
        {
          what: `${what}: share of a core`,
          theirs: theirs[0],
          ours: ours[0],
          unit: "%",
          ...target,
        },
        { what: `${what}: PUTs`, theirs: theirs[1], ours: ours[1], unit: "" },
      );
    }
  }
  if (only.includes("restore")) await restores();
} finally {
  rmSync(folder, { recursive: true, force: true });
  print();
}

function print(): void {
  const shown = (value: number, unit: string): string =>
    `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)}${unit === "" ? "" : ` ${unit}`}`;
  console.log("\n| | Litestream | Pagestream | ratio | target |");
  console.log("| --- | ---: | ---: | ---: | --- |");
  for (const { what, theirs, ours, unit, target } of rows) {
    const ratio = ours / theirs;
    let verdict = "";
    if (target !== undefined) {
      const [isMet, text] =
        "atMost" in target
          ? [ratio <= target.atMost, `at most ${target.atMost}`]
          : [ratio >= target.atLeast, `at least ${target.atLeast}`];
      verdict = `${text}: ${isMet ? "met" : "MISSED"}`;
    }
    console.log(
      `| ${what} | ${shown(theirs, unit)} | ${shown(ours, unit)} | ${Number.isFinite(ratio) ? ratio.toFixed(2) : ""} | ${verdict} |`,
    );
  }
}
