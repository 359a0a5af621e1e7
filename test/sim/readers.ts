/**
 * Those who only read a replica while it is written: followers, and whoever restores from it.
 *
 * @module
 */
import { isPagestreamError } from "../../src/core/errors.ts";
import { bytesFollowTarget } from "../../src/replica/follow-bytes.ts";
import type { Follower as RunningFollower } from "../../src/replica/follow-options.ts";
import { followReplica } from "../../src/replica/follow.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import { fingerprint, pagesOf } from "./fingerprint.ts";
import { Violation } from "./history.ts";
import { Machine, type SimProcess } from "./process.ts";
import { count, type Destination, type World } from "./world.ts";

/** A follower has caught up within this, in milliseconds, once nothing goes wrong. */
const CATCH_UP_MS = 3_600_000;
/** Shortest life of a follower, in milliseconds: an application may wait for an hour meanwhile. */
const LIFE_MS = 60_000;
/** What a reader may have to hear while things go wrong; never that the replica is damaged, or has a gap. */
const TROUBLES = ["STORE", "TXID_NOT_AVAILABLE", "ABORTED", "NOT_FOUND"] as const;

/** What readers have in common: a machine, and one replica that they read. */
abstract class Reader {
  readonly name: string;
  protected readonly world: World;
  protected readonly machine: Machine;
  protected readonly random: SeededRandom;
  protected readonly destination: Destination;

  constructor(world: World, name: string) {
    const { sqlite, scheduler, random, trace } = world;
    this.name = name;
    this.world = world;
    this.random = random.fork();
    this.machine = new Machine({ name, holds: false, sqlite, scheduler, random, trace });
    this.destination = this.random.pick(world.destinations);
  }

  protected pause(): number {
    return this.random.int(this.world.plan.pauseMs * 6) + 1;
  }

  protected tolerate(error: unknown, wasEmpty = false): void {
    this.world.trace.add(`${this.name} had to hear ${String(error)}`);
    if (wasEmpty && isPagestreamError(error, "NO_BACKUP")) return;
    if (TROUBLES.some((code) => isPagestreamError(error, code))) return;
    const { conditionalPut } = this.world.plan.capabilities;
    if (!conditionalPut && isPagestreamError(error, "DAMAGED_FILE")) return;
    throw error;
  }
}

/** Restores now and then, the newest state or an earlier one. */
export class Restorer extends Reader {
  async run(): Promise<void> {
    const { scheduler } = this.world;
    const { server, watch } = this.destination;
    const process = this.machine.boot();
    const store = server.connect(process);
    for (let turn = 0; turn < 4; turn++) {
      await scheduler.sleep(this.pause());
      if (!this.world.troubled) break;
      const txids = watch.restorable();
      const txid =
        txids.length > 0 && this.random.chance(0.6) ? this.random.pick(txids) : undefined;
      const wasEmpty = watch.maxTxid === 0n;
      try {
        await watch.checkRestore(store, txid, process.platform);
        count(this.world, "restored");
      } catch (error) {
        this.tolerate(error, wasEmpty);
      }
    }
    process.kill();
  }
}

/** Keeps a copy in memory up to date. */
export class Follower extends Reader {
  /** Follows, and dies, while things go wrong. */
  async run(): Promise<void> {
    const { scheduler } = this.world;
    while (this.world.troubled) {
      await scheduler.sleep(this.pause());
      const process = this.machine.boot();
      scheduler.after(this.pause() * 4 + LIFE_MS, () => process.kill());
      const life = this.#life(process).then(() => process.kill());
      await Promise.race([life, process.death]);
    }
  }

  /** With nothing going wrong any more: it comes to the newest state, and is gone when it is closed. */
  async settle(): Promise<void> {
    const { watch } = this.destination;
    if (watch.maxTxid === 0n) return;
    const process = this.machine.boot();
    const { follower, check } = await this.#follow(process);
    const late = new AbortController();
    const stop = process.platform.clock.schedule(() => late.abort(), CATCH_UP_MS);
    await follower.waitFor(watch.maxTxid, { signal: late.signal });
    stop();
    check();
    await follower.close();
    if (process.timers > 0) {
      throw new Violation(`${this.name}: ${process.timers} timers after it was closed`);
    }
    process.kill();
  }

  async #life(process: SimProcess): Promise<void> {
    const wasEmpty = this.destination.watch.maxTxid === 0n;
    try {
      const { follower, check } = await process.live(this.#follow(process));
      for await (const event of follower.events) {
        if (!process.alive) return;
        check();
        if (event.type === "stalled") this.tolerate(event.error);
      }
    } catch (error) {
      if (process.alive) this.tolerate(error, wasEmpty);
    }
  }

  async #follow(
    process: SimProcess,
  ): Promise<{ readonly follower: RunningFollower; readonly check: () => void }> {
    const { plan } = this.world;
    const { server, watch } = this.destination;
    const copy = bytesFollowTarget();
    const { platform } = process;
    const follower = await followReplica(server.connect(process), copy, {
      platform,
      intervalMs: Math.max(5_000, plan.pauseMs * 2),
      pointer: plan.pointer,
    });
    const check = (): void => {
      count(this.world, "followed");
      const expected = watch.state(follower.position);
      const found = pagesOf(copy.bytes);
      if (expected !== undefined && fingerprint(expected) === fingerprint(found)) return;
      throw new Violation(`${this.name} shows what is not ${follower.position}`);
    };
    return { follower, check };
  }
}
