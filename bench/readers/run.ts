/**
 * A replica read page by page: ours against the VFS of Litestream, on the same replica, over HTTP with a delay before each
 * answer and on local disk; and warm point queries against plain sqlite-wasm. Over HTTP a second replica is opened and asked
 * for single rows, one snapshot of a larger database.
 *
 * usage: node bench/readers/run.ts [--rows N] [--changes N] [--delay MS] [--idle SECONDS] [--directory PATH] [--only ours]
 *   [--place http | disk] [--snapshot-rows N]
 *
 * Needs `npm run build` and `node scripts/tools.mjs`. Litestream wrote the replica. Every row begins with a new process, whose
 * start is not counted: both have their libraries loaded, ours `fetch` too. A cold row is met with half the time of the peer
 * and a fifth of its requests, or one where a fifth is less than one. The first rows count opening: alone, where ours has the
 * page indexes of an earlier process, and with the first answer; the others count what comes after it. The cold rows are
 * measured again in processes that have opened the replica and asked it all of that before, and open it anew: then what they
 * read is as cold, and their code is not. Answers are compared. The contestants ask a server in a process of its own, which
 * counts.
 *
 * @module
 */
import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness.ts";
import { median } from "../process.ts";
import { type SampleReplica, sampleReplica } from "../restore/sample-replica.ts";
import { type Contestant, type Place, POINT } from "./contestant.ts";
import { startOurs } from "./ours.ts";
import { startPeer } from "./peer.ts";
import { type BucketServer, startBucketServer } from "../../test/helpers/bucket-server.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tools = join(root, ".tools/bin");
const POINTS = 2000;
const OPEN = "open";
const AGAIN = "open, indexes kept";
const FIRST = "first query";
/** Rounds of all cold queries before the rows whose code is warm. */
const PRACTICE = 3;
/** A fifth of the requests, but no less than one, and half the time. */
const TARGETS = { requests: 0.2, time: 0.5, warm: 1.5 } as const;

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "20000" },
    "snapshot-rows": { type: "string", default: "395000" },
    changes: { type: "string", default: "8" },
    delay: { type: "string", default: "30" },
    idle: { type: "string", default: "10" },
    directory: { type: "string", default: join(tmpdir(), "pagestream-bench-restore") },
    only: { type: "string" },
    place: { type: "string" },
  },
});
for (const name of ["litestream", "sqlite3", "litestream-vfs.so"]) {
  if (!existsSync(join(tools, name))) {
    throw new Error(`${join(tools, name)} is missing. Run: node scripts/tools.mjs`);
  }
}

interface Cost {
  readonly ms: number;
  /** Not known on local disk. */
  readonly requests: number | undefined;
  readonly bytes: number | undefined;
}

type Row = Readonly<Record<"ours" | "peer", Cost | undefined>> & { readonly name: string };

const rowCount = Number(values.rows);
const replica = sample(rowCount, Number(values.changes));
const database = join(dirname(replica.directory), "app.db");
console.log(describeMachine());
console.log(describe(replica));

type Queries = readonly (readonly [name: string, sql: string])[];

const COLD: Queries = [
  ...coldPoints(rowCount),
  ["count(*), cold", "SELECT count(*) FROM note"],
  ["full scan, cold", "SELECT sum(length(body)), sum(score) > 0 FROM note"],
];

const plain = await startOurs();
await plain.open({ file: database });
const plainMs = await warmPoints(plain);
await plain.close();

const names = (values.only === "ours" ? ["ours"] : ["ours", "peer"]) as ("ours" | "peer")[];
const contestants = { ours: startOurs, peer: () => startPeer(tools) };

for (const delay of [Number(values.delay), undefined]) {
  if (values.place !== undefined && (values.place === "disk") !== (delay === undefined)) continue;
  const server =
    delay === undefined ? undefined : await startBucketServer(replica.directory, delay);
  // What a process learns by, without the delay.
  const practice = server === undefined ? undefined : await startBucketServer(replica.directory, 0);
  const where = delay === undefined ? "local disk" : `HTTP, ${delay} ms before each answer`;
  const place = placeOf(server);
  const rows = await measurePlace(place, server);
  print(where, rows);
  const ours = rows.find(({ name }) => name.endsWith("warm"))?.ours?.ms ?? Number.NaN;
  const times = ours / plainMs;
  console.log(
    `  ${POINTS} warm points in plain sqlite-wasm: ${plainMs.toFixed(1)} ms; ours take ${times.toFixed(2)} times that: ` +
      (times <= TARGETS.warm ? "met" : "missed"),
  );
  const learned = { practice: placeOf(practice) };
  print(`${where}, code warm`, await measureCold(place, server, learned));
  await measureMemory(place);
  await server?.close();
  await practice?.close();
  if (delay !== undefined) await measureSnapshot(delay);
}

/** One snapshot. The peer reads a whole table page by page, which takes minutes here: only single rows are asked for. */
async function measureSnapshot(delay: number): Promise<void> {
  const rows = Number(values["snapshot-rows"]);
  const snapshot = sample(rows, 0);
  console.log(`\n${describe(snapshot)}`);
  const server = await startBucketServer(snapshot.directory, delay);
  const practice = await startBucketServer(snapshot.directory, 0);
  const [place, queries] = [{ origin: server.origin }, coldPoints(rows)];
  const where = `HTTP, ${delay} ms before each answer, one snapshot`;
  print(where, await measureCold(place, server, { queries }));
  const learned = { queries, practice: { origin: practice.origin } };
  print(`${where}, code warm`, await measureCold(place, server, learned));
  await server.close();
  await practice.close();
}

function sample(rows: number, changes: number): SampleReplica {
  return sampleReplica(values.directory, {
    litestream: join(tools, "litestream"),
    rows,
    changes,
  });
}

function describe({ databaseSize, files, size }: SampleReplica): string {
  return (
    `${mb(databaseSize)} MB database, ${files} files of ${mb(size)} MB: a listing and a request for each take ` +
    `${files + 1} requests`
  );
}

function coldPoints(rows: number): Queries {
  const key = Math.floor(rows * 0.7);
  return [
    [FIRST, "SELECT count(*) FROM sqlite_schema"],
    ["point query, cold", POINT.replace("?", String(key))],
    ["point by index, cold", "SELECT id FROM note WHERE author = 'user-1234@example.com' LIMIT 1"],
  ];
}

function placeOf(server: BucketServer | undefined): Place {
  return server === undefined ? { folder: replica.directory } : { origin: server.origin };
}

async function measureRow(
  name: string,
  run: (contestant: Contestant) => Promise<Cost>,
): Promise<Row> {
  const costs: Partial<Record<"ours" | "peer", Cost>> = {};
  for (const who of names) {
    const contestant = await contestants[who]();
    costs[who] = await run(contestant);
    await contestant.close();
  }
  return { name, ours: costs.ours, peer: costs.peer };
}

async function costOf(
  server: BucketServer | undefined,
  run: () => Promise<unknown>,
): Promise<Cost> {
  const before = await server?.traffic();
  const start = performance.now();
  const own = await run();
  const ms = typeof own === "number" ? own : performance.now() - start;
  const after = await server?.traffic();
  const of = (name: "requests" | "bytes"): number | undefined =>
    after === undefined || before === undefined ? undefined : after[name] - before[name];
  return { ms, requests: of("requests"), bytes: of("bytes") };
}

/** The cold rows, in processes that have asked the replica at `practice` all of that before, where there is one. */
async function measureCold(
  place: Place,
  server: BucketServer | undefined,
  { queries = COLD, practice }: { readonly queries?: Queries; readonly practice?: Place } = {},
): Promise<Row[]> {
  const learn = async (contestant: Contestant): Promise<void> => {
    if (practice === undefined) return;
    for (let round = 0; round < PRACTICE; round++) {
      await contestant.open(practice);
      for (const [, sql] of queries) await contestant.query(sql);
    }
  };
  const open = async (contestant: Contestant): Promise<Cost> => {
    await learn(contestant);
    return await costOf(server, () => contestant.open(place));
  };
  const rows = [await measureRow(OPEN, open)];
  const indexes = join(values.directory, `indexes-${process.pid}`);
  const openAgain = async (contestant: Contestant): Promise<Cost> => {
    await learn(contestant);
    return await costOf(server, () => contestant.open(place, { indexes }));
  };
  // The first of them finds nothing kept.
  await measureRow(AGAIN, openAgain);
  rows.push(await measureRow(AGAIN, openAgain));
  rmSync(indexes);
  for (const [name, sql] of queries) {
    const answers = new Set<string>();
    const ask = async (contestant: Contestant): Promise<Cost> => {
      await learn(contestant);
      if (name !== FIRST) await contestant.open(place);
      return await costOf(server, async () => {
        if (name === FIRST) await contestant.open(place);
        answers.add((await contestant.query(sql)).trim());
      });
    };
    rows.push(await measureRow(name, ask));
    if (answers.size !== 1) throw new Error(`${name}: ${[...answers].join(" is not ")}`);
  }
  return rows;
}

async function measurePlace(place: Place, server: BucketServer | undefined): Promise<Row[]> {
  const rows = await measureCold(place, server);
  const warm = async (contestant: Contestant): Promise<Cost> => {
    await contestant.open(place);
    return await costOf(server, () => warmPoints(contestant));
  };
  rows.push(await measureRow(`${POINTS} points, warm`, warm));
  if (server === undefined) return rows;
  const idle = async (contestant: Contestant): Promise<Cost> => {
    await contestant.open(place);
    const wait = (): Promise<void> =>
      new Promise((resolve) => setTimeout(resolve, Number(values.idle) * 1000));
    return await costOf(server, wait);
  };
  rows.push(await measureRow(`idle for ${values.idle} s`, idle));
  return rows;
}

async function measureMemory(place: Place): Promise<void> {
  console.log();
  for (const who of names) {
    const contestant = await contestants[who]();
    const started = await contestant.memory();
    await contestant.open(place);
    const opened = await contestant.memory();
    for (const [, sql] of COLD.slice(0, 4)) await contestant.query(sql);
    console.log(
      `memory of ${who}: ${started.toFixed(0)} MB at first, ${opened.toFixed(0)} MB when open, ` +
        `${(await contestant.memory()).toFixed(0)} MB after the queries`,
    );
    await contestant.close();
  }
}

/** Milliseconds of asking for the same rows again and again: the middle of seven rounds. */
async function warmPoints(contestant: Contestant): Promise<number> {
  const ids = Array.from({ length: POINTS }, (_, i) => 1 + ((i * 7) % Math.min(400, rowCount)));
  for (let i = 0; i < 3; i++) await contestant.points(ids);
  const times: number[] = [];
  for (let i = 0; i < 7; i++) times.push(await contestant.points(ids));
  return median(times);
}

function print(where: string, rows: readonly Row[]): void {
  console.log(`\n${where}`);
  const head = ["", "ours", "requests", "kB", "peer", "requests", "kB", "time", "requests", ""];
  const lines = rows.map(({ name, ours, peer }) => {
    const isCold = [OPEN, AGAIN, FIRST].includes(name) || name.endsWith("cold");
    const time = ratio(ours?.ms, peer?.ms);
    const requests = ratio(ours?.requests, peer?.requests);
    const misses = [
      isCold && time !== undefined && time > TARGETS.time ? "time missed" : "",
      isCold && isOverRequests(ours?.requests, peer?.requests) ? "requests missed" : "",
    ].filter((text) => text !== "");
    const verdict =
      !isCold || peer === undefined ? "" : misses.length === 0 ? "met" : misses.join(", ");
    return [name, ...cells(ours), ...cells(peer), show(time), show(requests), verdict];
  });
  const table = [head, ...lines];
  const widths = head.map((_, i) => Math.max(...table.map((line) => (line[i] ?? "").length)));
  for (const line of table) {
    const text = line.map((cell, i) =>
      i === 0 || i === head.length - 1
        ? cell.padEnd(widths[i] ?? 0)
        : cell.padStart(widths[i] ?? 0),
    );
    console.log(`  ${text.join("  ").trimEnd()}`);
  }
}

function cells(cost: Cost | undefined): string[] {
  const { ms, requests, bytes } = cost ?? {};
  return [
    ms === undefined ? "" : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`,
    requests === undefined ? "" : String(requests),
    bytes === undefined ? "" : (bytes / 1000).toFixed(0),
  ];
}

function isOverRequests(ours: number | undefined, peer: number | undefined): boolean {
  if (ours === undefined || peer === undefined) return false;
  return ours > Math.max(1, TARGETS.requests * peer);
}

/** Nothing against nothing is nothing. */
function ratio(ours: number | undefined, peer: number | undefined): number | undefined {
  if (ours === undefined || peer === undefined) return undefined;
  return ours === 0 ? 0 : ours / peer;
}

function show(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(2);
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
