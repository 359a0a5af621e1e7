/**
 * One seed: a world is made, things go wrong in it for a while, and then everything has to come right.
 *
 * @module
 */
import process from "node:process";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { History, Violation } from "./history.ts";
import { SimServer } from "./network.ts";
import { type SimPlan, simPlan } from "./plan.ts";
import { Follower, Restorer } from "./readers.ts";
import { ReplicaWatch } from "./replica-watch.ts";
import { Scheduler } from "./scheduler.ts";
import { simSqlite } from "./sqlite.ts";
import { Trace } from "./trace.ts";
import type { Destination, World } from "./world.ts";
import { Writer } from "./writer.ts";

/** What became of a seed. */
export interface SeedResult {
  readonly seed: number;
  readonly plan: SimPlan;
  /** The first thing that did not hold. */
  readonly problem: string | undefined;
  /** What happened, and a hash of it. */
  readonly trace: readonly string[];
  readonly hash: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** Virtual time after which a seed is stuck: two years. */
const LIMIT_MS = 730 * 86_400_000;

/** Runs one seed. Never throws. */
export async function simulate(seed: number): Promise<SeedResult> {
  const { stackTraceLimit } = Error;
  // Thousands of errors are made on purpose; a replay tells where the one that matters came from.
  if (process.env["PAGESTREAM_SEED"] === undefined) Error.stackTraceLimit = 0;
  try {
    return await run(seed);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

async function run(seed: number): Promise<SeedResult> {
  const random = seededRandom(seed);
  const plan = simPlan(random.fork());
  const sqlite = await simSqlite();
  sqlite.seed(random.fork());
  const scheduler = new Scheduler();
  const trace = new Trace(() => scheduler.now);
  const history = new History(sqlite);
  let failure: unknown;
  let over = false;
  const world: World = {
    fail: (error) => {
      failure ??= error;
      over = true;
    },
    plan,
    random,
    scheduler,
    sqlite,
    trace,
    history,
    destinations: [],
    troubled: true,
    counts: {},
  };
  for (let i = 0; i < plan.destinations; i++) {
    (world.destinations as Destination[]).push(newDestination(world, `server${i}`));
  }
  const story = (async () => {
    const writers = Array.from({ length: plan.writers }, (_, i) => new Writer(world, `m${i}`));
    const followers = Array.from(
      { length: plan.followers },
      (_, i) => new Follower(world, `f${i}`),
    );
    const restorers = Array.from(
      { length: plan.restorers },
      (_, i) => new Restorer(world, `r${i}`),
    );
    const reading = [...followers, ...restorers].map((reader) => reader.run());
    for (const each of reading) each.catch((error: unknown) => world.fail(error));
    await Promise.all(writers.map((writer) => writer.run()));
    world.troubled = false;
    trace.add("nothing goes wrong any more");
    // What is late arrives within a minute.
    await scheduler.sleep(60_000);
    await Promise.all(reading);
    for (const follower of followers) await follower.settle();
    for (const writer of writers) await writer.settle();
  })();
  story
    .catch((error: unknown) => {
      failure ??= error;
    })
    .finally(() => {
      over = true;
    });
  try {
    const ended = await scheduler.runUntil(() => over, LIMIT_MS);
    if (!ended) failure = new Violation("nothing happens any more, and yet somebody waits");
  } catch (error) {
    failure = error;
  }
  for (let i = 0; i < plan.writers; i++) sqlite.abandon(`m${i}`);
  for (const { server } of world.destinations) {
    for (const [fault, times] of Object.entries(server.faults)) world.counts[fault] = times;
  }
  world.counts["events"] = scheduler.count;
  const problem =
    failure === undefined
      ? undefined
      : failure instanceof Violation
        ? failure.message
        : failure instanceof Error
          ? (failure.stack ?? failure.message)
          : String(failure);
  return { seed, plan, problem, trace: trace.lines, hash: trace.hash, counts: world.counts };
}

function newDestination(world: World, name: string): Destination {
  const { plan, random, scheduler, trace, history } = world;
  const watch = new ReplicaWatch({
    name,
    history,
    layout: plan.layout,
  });
  const server = new SimServer({
    name,
    plan,
    random: random.fork(),
    scheduler,
    trace,
    watch,
    troubled: () => world.troubled,
  });
  return { server, watch };
}
