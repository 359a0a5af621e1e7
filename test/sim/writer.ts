/**
 * An application that writes a replicated database, in one process after the other.
 *
 * @module
 */
import { openReplicated, type ReplicatedDatabase } from "../../src/api/open-replicated.ts";
import { isPagestreamError } from "../../src/core/errors.ts";
import { checkpointed } from "../../src/testing/checkpointed.ts";
import type { SeededRandom } from "../../src/testing/seeded-random.ts";
import { fingerprint, type PageState, pagesOf } from "./fingerprint.ts";
import { Violation } from "./history.ts";
import { Machine, type SimProcess } from "./process.ts";
import type { Sqlite3Module } from "./sqlite.ts";
import { change } from "./workload.ts";
import { count, type World } from "./world.ts";

type App = ReplicatedDatabase<Sqlite3Module>;

/** How long a wait may take before the application gives it up, in milliseconds. */
const PATIENCE_MS = 3_600_000;
/** After the last commit everything due for it is done within this, in milliseconds: three days. */
const IDLE_MS = 7 * 86_400_000;

/** What an open group takes without a commit. */
const EMPTY_BYTES = 256;

/** Within this a lease has ended, however late its last prolongation arrived, by clocks that differ by a day. */
const LEASE_MS = 2 * 86_400_000;

/** Errors that an application must live with while things go wrong. */
const TROUBLES = [
  "STORE",
  "CONFLICT",
  "TIMEOUT",
  "OUTCOME_UNKNOWN",
  "STAGING_FULL",
  "ABORTED",
  "CLOSED",
] as const;

/** One application. */
export class Writer {
  readonly name: string;
  readonly #world: World;
  readonly #machine: Machine;
  readonly #random: SeededRandom;
  readonly #path: string;
  #stepsLeft: number;
  /** Value of the last COMMIT that returned. */
  #value = 0;
  /** Value of the COMMIT under way. */
  #inFlight: number | undefined;
  #crashes = 0;
  #conflicted = false;
  #lastReplicated = 0n;

  constructor(world: World, name: string) {
    const { sqlite, scheduler, random, trace, plan } = world;
    this.#world = world;
    this.#random = random.fork();
    const holds = plan.durability.startsWith("hold");
    this.#machine = new Machine({ name, holds, sqlite, scheduler, random: random.fork(), trace });
    this.name = name;
    this.#path = `/${name}/app.db`;
    this.#stepsLeft = plan.steps;
  }

  /** Lives, and dies, until all steps are taken. */
  async run(): Promise<void> {
    const { scheduler, plan } = this.#world;
    await scheduler.sleep(this.#random.int(plan.pauseMs * 3));
    while (this.#stepsLeft > 0) {
      const process = this.#machine.boot();
      if (this.#random.chance(plan.crash)) this.#doom(process);
      const ended = this.#life(process).then(() => process.kill());
      await Promise.race([ended, process.death]);
      await this.#end();
      await scheduler.sleep(this.#random.int(plan.pauseMs * 2));
    }
  }

  /** With nothing going wrong any more: all is confirmed, and then nothing happens. */
  async settle(): Promise<void> {
    const { plan, scheduler } = this.#world;
    Object.assign(this.#machine, { full: false, callsLeft: Number.POSITIVE_INFINITY });
    const process = this.#machine.boot();
    const app = await this.#open(process).catch(async (error: unknown) => {
      // The lease of a writer that died ends by itself.
      if (!isPagestreamError(error, "CONFLICT")) throw error;
      await scheduler.sleep(LEASE_MS);
      return await this.#open(process);
    });
    if (plan.writers > 1) {
      await this.#transact(app).catch((error: unknown) => {
        // What was staged before has not been uploaded yet.
        if (!isPagestreamError(error, "STAGING_FULL")) throw error;
      });
    }
    for (let turn = 0; ; turn++) {
      try {
        await app.replication.durable();
        break;
      } catch (error) {
        // The request of a process that died arrived after its successor had looked.
        if (!isPagestreamError(error, "CONFLICT") || turn > 2) throw error;
        await app.replication.takeOver();
      }
    }
    this.#confirm(app, this.#value);
    const state = this.#state();
    for (const { watch, server } of this.#world.destinations) {
      watch.settled();
      // There is no file that says of a database that it is empty.
      if (watch.maxTxid === 0n || state.pages.length === 0) continue;
      const restored = await watch.checkRestore(server.direct(), undefined, process.platform);
      if (fingerprint(restored) !== fingerprint(state)) this.#fail("the newest state is not ours");
    }
    // The marker is synced once a second.
    await scheduler.sleep(5_000);
    const { stats, position } = app.replication;
    if (
      stats.lagMs !== 0 ||
      stats.pendingBytes > EMPTY_BYTES ||
      position.local !== position.replicated
    ) {
      this.#fail(`durable, and yet ${JSON.stringify(stats)}`);
    }
    await scheduler.sleep(IDLE_MS);
    const before = this.#requests();
    await scheduler.sleep(IDLE_MS);
    if (process.timers > 0) this.#fail(`${process.timers} timers when idle`);
    if (this.#requests() !== before) this.#fail("requests when idle");
    await app.close();
    await this.#end();
  }

  #requests(): number {
    return this.#world.destinations.reduce((sum, { server }) => sum + server.requests, 0);
  }

  /** Plans the end of a process: at a file call, or at a moment. */
  #doom(process: SimProcess): void {
    const { scheduler, plan } = this.#world;
    if (this.#random.chance(0.6)) {
      this.#machine.callsLeft = this.#random.int(this.#random.chance(0.3) ? 60 : 900);
    } else {
      scheduler.after(this.#random.int(plan.pauseMs * 6), () => process.kill());
    }
  }

  /** What is left of a process is cleared away: all of it where it closed in time, else it crashed. */
  async #end(): Promise<void> {
    const { history } = this.#world;
    this.#crashes++;
    count(this.#world, "lives");
    if (this.#inFlight !== undefined) history.doubtful(this.#inFlight);
    this.#inFlight = undefined;
    this.#machine.full = false;
    const kinds = ["process", "power", "directories"] as const;
    await this.#machine.cleanUp(this.#random.pick(kinds));
  }

  async #life(process: SimProcess): Promise<void> {
    const { plan } = this.#world;
    const { random } = { random: this.#random };
    let app: App;
    this.#stepsLeft--;
    try {
      app = await process.live(this.#open(process));
    } catch (error) {
      this.#tolerate(error, process);
      return;
    }
    const steps = 2 + random.int(plan.steps);
    for (let i = 0; i < steps && this.#stepsLeft > 0; i++) {
      this.#stepsLeft--;
      this.#disturb(process);
      await this.#step(app, process).catch((error: unknown) => this.#tolerate(error, process));
      this.#checkPosition(app);
      await process.sleep(random.int(plan.pauseMs));
    }
    await process.live(app.close({ deadlineMs: random.int(60_000) })).catch((error: unknown) => {
      this.#tolerate(error, process);
    });
  }

  async #open(process: SimProcess): Promise<App> {
    const { plan, sqlite, destinations, history } = this.#world;
    this.#conflicted = false;
    this.#lastReplicated = 0n;
    // Its journal mode is set anew, which is a commit of what it holds, or of what is restored.
    history.doubtful(this.#value);
    for (const { watch } of destinations) {
      const newest = watch.state(watch.maxTxid);
      if (newest !== undefined) history.doubtful(history.find(fingerprint(newest)) ?? 0);
    }
    const app = await openReplicated({
      sqlite3: sqlite.sqlite3,
      files: process.files,
      path: `${process.directory}/app.db`,
      replica: destinations.map(({ server }) => server.connect(process)),
      pointer: plan.pointer,
      platform: process.platform,
      pageSize: plan.pageSize,
      journalMode: plan.journalMode,
      durability: plan.durability,
      groupMs: plan.groupMs,
      stagingBytes: plan.stagingBytes,
    });
    if (!process.alive) return app;
    count(this.#world, "opened");
    this.#listen(app, process).catch((error: unknown) => this.#world.fail(error));
    const acknowledged = this.#value;
    this.#record(app);
    if (plan.writers === 1 && this.#value < acknowledged) {
      this.#fail(`${acknowledged} was committed, and ${this.#value} is left`);
    }
    return app;
  }

  async #listen(app: App, process: SimProcess): Promise<void> {
    const { trace, plan, destinations } = this.#world;
    for await (const event of app.replication.events) {
      if (!process.alive) return;
      if (event.type === "commit") continue;
      const { type, position, ...rest } = event;
      const { error } = rest as { error?: Error };
      count(this.#world, type);
      const detail =
        error?.message ??
        JSON.stringify(rest, (_, v: unknown) => (String(v) && v === Object(v) ? v : String(v)));
      trace.add(`${this.name} ${type} ${detail}, at ${position.local}/${position.replicated}`);
      if (type !== "conflict") continue;
      this.#conflicted = true;
      const mayConflict = plan.writers > 1 || this.#crashes > 0;
      const isLate = destinations.some(({ server }) => (server.faults["late"] ?? 0) > 0);
      if (!mayConflict && !isLate) this.#fail(`a conflict with nobody: ${error?.message ?? ""}`);
    }
  }

  async #step(app: App, process: SimProcess): Promise<void> {
    const { random } = { random: this.#random };
    const { trace } = this.#world;
    if (this.#conflicted && random.chance(0.7)) {
      trace.add(`${this.name} takes over`);
      // As at a start, one replica of several that does not answer counts as empty until it does.
      this.#lastReplicated = 0n;
      await this.#waiting(process, (signal) => app.replication.takeOver({ signal }));
      this.#conflicted = false;
      count(this.#world, "takeOver");
      return;
    }
    const kind = random.int(100);
    if (kind < 62) return await this.#transact(app, process);
    if (kind < 66) return this.#rollBack(app);
    if (kind < 82) return await this.#durable(app, process);
    if (kind < 86) {
      await this.#waiting(process, (signal) => app.replication.flush({ signal }));
    } else if (kind < 92) {
      trace.add(`${this.name} snapshot`);
      const taken = app.replication.snapshot();
      const wait = process.live(taken).catch((error: unknown) => this.#tolerate(error, process));
      if (random.chance(0.5)) await Promise.race([wait, process.sleep(PATIENCE_MS)]);
    } else if (kind < 95) {
      app.replication.pause();
      await process.sleep(random.int(60_000));
      app.replication.resume();
    } else {
      this.#vacuum(app);
    }
  }

  async #transact(app: App, process?: SimProcess): Promise<void> {
    const { history, plan } = this.#world;
    const value = history.nextValue();
    this.#inFlight = value;
    try {
      const done = app.transaction(() => change(app.db, value, this.#random));
      await (process?.live(done) ?? done);
    } catch (error) {
      if (process?.alive !== false) {
        history.doubtful(value);
        this.#inFlight = undefined;
        this.#record(app);
      }
      throw error;
    }
    if (process?.alive === false) return;
    this.#inFlight = undefined;
    this.#record(app);
    if (this.#value !== value) this.#fail(`${value} was committed, and ${this.#value} is there`);
    count(this.#world, "commits");
    this.#world.trace.add(`${this.name} committed ${value}`);
    if (plan.durability === "hold-retry") this.#confirm(app, value);
  }

  #rollBack({ db }: App): void {
    try {
      db.exec("BEGIN IMMEDIATE");
      change(db, 0, this.#random);
    } finally {
      if (db.isOpen()) db.exec("ROLLBACK");
    }
  }

  /** Writes every page, and changes their size where the journal mode lets it. */
  #vacuum(app: App): void {
    const { plan, history, trace } = this.#world;
    if (plan.durability === "hold-retry") return;
    const resized = this.#random.chance(0.5) ? this.#random.pick([512, 1024, 4096]) : undefined;
    trace.add(`${this.name} vacuum ${resized ?? ""}`);
    history.doubtful(this.#value);
    app.db.exec(resized === undefined ? "VACUUM" : `PRAGMA page_size=${resized}; VACUUM`);
    this.#record(app);
  }

  async #durable(app: App, process: SimProcess): Promise<void> {
    const value = this.#value;
    await this.#waiting(process, (signal) => app.replication.durable({ signal }));
    this.#confirm(app, value);
  }

  /** Everything up to `value` is in the store, the application was told. */
  #confirm(app: App, value: number): void {
    count(this.#world, "confirmed");
    for (const [i, { watch }] of this.#world.destinations.entries()) {
      // Each has it under a TXID of its own, where a bridge brought it there.
      const { replicated = 0n } = app.replication.destinations[i] ?? {};
      this.#world.trace.add(`${this.name} has ${value} confirmed at ${replicated}`);
      watch.confirmed(replicated, value);
    }
  }

  /** A wait that is given up after a while. */
  async #waiting(process: SimProcess, wait: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const aborter = new AbortController();
    const cancel = process.platform.clock.schedule(() => aborter.abort(), PATIENCE_MS);
    try {
      await process.live(wait(aborter.signal));
    } finally {
      cancel();
    }
  }

  /** What may go wrong on the machine. */
  #disturb(process: SimProcess): void {
    const { plan, trace, scheduler } = this.#world;
    const random = this.#random;
    if (random.chance(plan.clockJump)) {
      const most = random.pick([1_000, 60_000, 86_400_000]);
      this.#machine.wallOffset += random.int(most) - random.int(most);
      trace.add(`${this.name} clock is off by ${this.#machine.wallOffset}`);
    }
    if (random.chance(plan.freeze)) {
      process.frozenUntil = scheduler.now + random.int(random.pick([5_000, 600_000]));
      trace.add(`${this.name} frozen until ${process.frozenUntil}`);
    }
    if (this.#machine.full ? random.chance(0.5) : random.chance(plan.diskFull)) {
      this.#machine.full = !this.#machine.full;
      trace.add(`${this.name} disk full: ${this.#machine.full}`);
    }
  }

  /** Notes the database as it is now: a committed state. */
  #record(app: App): void {
    const { history } = this.#world;
    let value: unknown;
    try {
      const exists = app.db.selectValue("SELECT count(*) FROM sqlite_schema WHERE name='n'");
      value = exists === 0 ? 0 : app.db.selectValue("SELECT value FROM n");
    } catch (error) {
      // A full disk keeps SQLite from taking back what it began.
      if (this.#machine.full) return;
      throw error;
    }
    this.#value = Number(value);
    history.committed(this.#state(), this.#value);
  }

  #state(): PageState {
    const main = this.#machine.bytes(this.#path) ?? new Uint8Array(0);
    return pagesOf(checkpointed(main, this.#machine.bytes(`${this.#path}-wal`)));
  }

  #checkPosition({ replication }: App): void {
    const { replicated } = replication.position;
    if (replicated < this.#lastReplicated) {
      this.#fail(`${this.#lastReplicated} was replicated, now ${replicated} is`);
    }
    this.#lastReplicated = replicated;
  }

  /** Passes over an error that is no wonder. */
  #tolerate(error: unknown, process: SimProcess): void {
    if (!process.alive) return;
    const { trace } = this.#world;
    const { name = "", message = "" } = error as Error;
    trace.add(`${this.name} had to hear ${name}: ${message}`);
    if (error instanceof Violation) throw error;
    if (TROUBLES.some((code) => isPagestreamError(error, code))) return;
    // A snapshot of several replicas ends with the slowest of them, when there may be room again.
    if (this.#machine.full || (error as { readonly code?: unknown }).code === "ENOSPC") return;
    const { durability, writers } = this.#world.plan;
    // SQLite tells of staging that is full as of a disk that failed.
    if (durability === "local" && message.includes("SQLITE_IOERR")) return;
    const { conditionalPut } = this.#world.plan.capabilities;
    // A request that arrives late, or again, replaces what is there where creation is not conditional.
    if (!conditionalPut && isPagestreamError(error, "DAMAGED_FILE")) return;
    if (writers > 1 && isPagestreamError(error, "DATABASE_BEHIND")) return;
    if (isPagestreamError(error, "UNSUPPORTED") && message.includes("the database is empty"))
      return;
    throw error;
  }

  #fail(what: string): never {
    throw new Violation(`${this.name}: ${what}`);
  }
}
