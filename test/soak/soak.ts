/**
 * Carries out the rounds of a soak on one database, and compares after each of them.
 *
 * @module
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scene } from "../follower/scene.ts";
import type { Application } from "../helpers/application.ts";
import type { Replicator } from "../helpers/replicator.ts";
import { type Round, type Step, WRITERS } from "./plan.ts";

/** Levels that have something to do within a minute. */
const LEVELS = {
  levels: [{ intervalMs: 2_000 }, { intervalMs: 10_000 }],
  snapshot: { intervalMs: 15_000, retentionMs: 60_000 },
  l0RetentionMs: 20_000,
  l0RetentionCheckMs: 5_000,
};

/** One database, its writers and its replicator, through all rounds. */
export class Soak implements AsyncDisposable {
  readonly #scene: Scene = new Scene();
  /** While it is there, the store fails. */
  readonly #outage: string = join(this.#scene.directory, "outage");
  readonly #writers: Application[] = [];
  #reader: Application | undefined;
  #replicator: Replicator | undefined;
  /** What was done in all rounds. */
  readonly done: { rounds: number; changes: number; replicators: number } = {
    rounds: 0,
    changes: 0,
    replicators: 0,
  };

  /** Carries out one round, and compares what is restored then with what an application sees. */
  async run({ seeds, steps }: Round): Promise<void> {
    while (this.#writers.length < WRITERS) this.#writers.push(await this.#scene.application());
    await this.#startReplicator();
    for (const [i, seed] of seeds.entries()) await this.#begin(i + 1, seed);
    for (const step of steps) await this.#step(step);
    for (const writer of this.#writers.slice(1)) this.done.changes += (await writer.rest()).commits;
    this.#setOutage(false);
    const replicator = await this.#startReplicator();
    await replicator.sync();
    await this.#scene.expectWhole(this.#writers[0] as Application);
    this.done.rounds++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scene[Symbol.asyncDispose]();
  }

  async #step(step: Step): Promise<void> {
    const first = this.#writers[0] as Application;
    switch (step.do) {
      case "work":
        this.done.changes += (await first.work({ ...step, hostile: true })).commits;
        break;
      case "kill replicator":
      case "stop replicator":
        if (step.do === "kill replicator") await this.#replicator?.kill();
        // In an outage it cannot upload the rest, and says so.
        else await this.#replicator?.close().catch(() => {});
        this.#replicator = undefined;
        if (step.back) await this.#startReplicator();
        break;
      case "start replicator":
        await this.#startReplicator();
        break;
      case "kill writer":
        await this.#writers[step.writer]?.kill();
        this.#writers[step.writer] = await this.#scene.application();
        if (step.writer > 0) await this.#begin(step.writer, step.seed);
        break;
      case "checkpoint":
        await first.run(`PRAGMA wal_checkpoint(${step.mode})`);
        break;
      case "vacuum":
        // Another writer may be at it.
        await first.run("VACUUM").catch(() => {});
        break;
      case "store fails":
      case "store works":
        this.#setOutage(step.do === "store fails");
        break;
      case "read":
        this.#reader ??= await this.#scene.application();
        await this.#reader.run("COMMIT").catch(() => {});
        await this.#reader.run("BEGIN; SELECT count(*) FROM item");
        break;
      case "end read":
        await this.#reader?.close();
        this.#reader = undefined;
        break;
    }
  }

  async #begin(writer: number, seed: number): Promise<void> {
    await this.#writers[writer]?.begin({ seed, who: writer, hostile: true });
  }

  /** The replicator; none can start while its store fails. */
  async #startReplicator(): Promise<Replicator> {
    if (existsSync(this.#outage)) return this.#replicator as Replicator;
    if (this.#replicator === undefined) {
      this.#replicator = await this.#scene.replicator({ outage: this.#outage, levels: LEVELS });
      this.done.replicators++;
    }
    return this.#replicator;
  }

  #setOutage(isOut: boolean): void {
    if (isOut) writeFileSync(this.#outage, "");
    else rmSync(this.#outage, { force: true });
  }
}
