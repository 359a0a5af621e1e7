/**
 * The daemon: databases of other processes, replicated as long as it runs.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { sep } from "node:path";
import {
  ClosedError,
  createFleet,
  type Fleet,
  InvalidArgumentError,
  type Platform,
  type Replication,
  type SnapshotResult,
  webPlatform,
} from "pagestream";
import type { Config, DatabaseConfig, DirectoryConfig } from "../config/config.ts";
import { daemonDoors, type DaemonOptions } from "./doors.ts";
import { watchDirectory } from "./directory-watcher.ts";
import { type DaemonSource, Member, type MemberEnd, type MemberTools } from "./member.ts";
import { readRegistrations, type Registration, writeRegistrations } from "./registrations.ts";
import { restoreMissing } from "./restore-missing.ts";
import type { DaemonDatabase, DaemonEvent, DaemonStatus } from "./status.ts";

/** Options of {@linkcode Daemon.sync}. */
export interface SyncOptions {
  /** Whether to wait until the replica has all of it. @default false */
  readonly wait?: boolean | undefined;
  /** Ends the wait with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What a sync came to. */
export interface SyncResult {
  /** `no_change`: the replica had all of it. `synced_local`: it is taken. `synced`: the replica has it. */
  readonly status: "no_change" | "synced_local" | "synced";
  /** Last TXID here. */
  readonly txid: bigint;
  /** Last TXID that the replica has confirmed. */
  readonly replicatedTxid: bigint;
}

/** How one database came to its end. */
export interface DaemonEnd extends MemberEnd {
  readonly path: string;
}

/** Options of what ends a database. */
export interface DaemonEndOptions {
  /** How long the final upload may take, in milliseconds. @default that of the configuration */
  readonly deadlineMs?: number | undefined;
}

/** The databases of a configuration, and those that are registered while it runs. */
export class Daemon implements AsyncDisposable {
  readonly #config: Config;
  readonly #platform: Platform;
  readonly #fleet: Fleet;
  readonly #tools: MemberTools;
  readonly #members = new Map<string, Member>();
  /** Which directory of the configuration a database was found in. */
  readonly #foundIn = new Map<string, DirectoryConfig>();
  /** Databases that are kept for the next start. */
  readonly #registered = new Map<string, Registration>();
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  readonly #unwatch: (() => void)[] = [];
  readonly #startedAt: number;
  #closing: Promise<readonly DaemonEnd[]> | undefined;

  /** Opens nothing: {@linkcode start} does. */
  constructor(config: Config, options: DaemonOptions = {}) {
    const platform = options.platform ?? webPlatform;
    this.#config = config;
    this.#platform = platform;
    this.#startedAt = platform.clock.now();
    this.#fleet = createFleet({ platform, requestsPerHour: config.requestsPerHour });
    this.#tools = {
      ...daemonDoors(options),
      fleet: this.#fleet,
      platform,
      onStart: ({ config: { path, replica }, replication }) => {
        if (replication === undefined) return;
        const { position } = replication;
        this.#tell({ type: "started", database: path, replica: replica.name, position });
      },
      onFailure: ({ config: { path } }, error, retryMs) =>
        this.#tell({ type: "waiting", database: path, error, retryMs }),
      onCheckpoint: ({ config: { path } }, checkpoint) =>
        this.#tell({ type: "checkpoint", database: path, ...checkpoint }),
      onWarning: ({ config: { path } }, error) =>
        this.#tell({ type: "warning", database: path, error }),
    };
    void this.#relay();
  }

  /** Databases that are registered. */
  get size(): number {
    return this.#members.size;
  }

  /** What the databases that are registered now are replicated with. */
  get configs(): readonly DatabaseConfig[] {
    return [...this.#members.values()].map(({ config }) => config);
  }

  /** Calls `listener` with every event from now on; returns the function that ends it. */
  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Restores what is to be restored, and begins to replicate every database. Resolves when each of them replicates or has
   * failed once, and is tried again by itself. Rejects where a restore fails for another reason than that there is no backup,
   * and where the file of registered databases cannot be read.
   */
  async start(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { databases, directories, stateFile } = this.#config;
    if (stateFile !== undefined) {
      for (const each of readRegistrations(stateFile)) this.#registered.set(each.path, each);
    }
    for (const config of databases) this.#add(config);
    for (const { path, replica } of this.#registered.values()) {
      if (!this.#members.has(path)) this.#add(this.#config.database(path, replica));
    }
    for (const member of this.#members.values()) {
      options.signal?.throwIfAborted();
      const restored = await restoreMissing(member.config, this.#tools, options.signal);
      if (restored === undefined) continue;
      member.restored = restored.position;
      this.#tell({ type: "restored", database: member.config.path, txid: restored.txid });
    }
    // Watched before it is looked at: what comes in between is told of.
    for (const directory of directories) this.#watch(directory);
    await Promise.all([...this.#members.values()].map((member) => member.start()));
  }

  /** The database of a path, `undefined` where none is registered. */
  get(path: string): DaemonDatabase | undefined {
    const member = this.#members.get(path);
    if (member === undefined) return undefined;
    for (const { name, state } of this.#fleet.databases()) {
      if (name === path) return member.view(state);
    }
    return member.view(undefined);
  }

  /** Every database, and the daemon itself. */
  status(): DaemonStatus {
    const states = new Map([...this.#fleet.databases()].map(({ name, state }) => [name, state]));
    return {
      startedAt: this.#startedAt,
      databases: [...this.#members].map(([path, member]) => member.view(states.get(path))),
      requests: this.#fleet.status().requests,
    };
  }

  /**
   * Begins to replicate a database with the defaults of the configuration, and keeps it for the next start where there is a file
   * for that. Its replica is not asked before this returns. Throws `InvalidArgumentError` for a URL that names no replica.
   */
  register(path: string, replica: string): "registered" | "already_registered" {
    this.#throwIfClosed("register", path);
    if (this.#members.has(path)) return "already_registered";
    const member = this.#add(this.#config.database(path, replica));
    this.#keep(path, replica);
    void member.start();
    return "registered";
  }

  /** Uploads what is left of a database and forgets it; `undefined` where there is none of that path. */
  async unregister(path: string, options: DaemonEndOptions = {}): Promise<MemberEnd | undefined> {
    const member = this.#members.get(path);
    if (member === undefined) return undefined;
    this.#keep(path, undefined);
    const end = await member.close({ deadlineMs: this.#deadlineOf(options) });
    if (this.#members.get(path) === member) {
      this.#members.delete(path);
      this.#foundIn.delete(path);
      this.#tell({ type: "unregistered", database: path, replica: member.config.replica.name });
    }
    return end;
  }

  /** Starts a database, now; returns whether it ran already. Throws why it cannot; then it is tried again by itself. */
  async startDatabase(path: string): Promise<{ readonly ran: boolean; readonly txid: bigint }> {
    const member = this.#member("start", path);
    const before = this.get(path);
    if (before?.state === "conflict") await member.end({ deadlineMs: 0 });
    const ran = member.replication !== undefined;
    await member.start();
    const { error, position } = member.view(undefined);
    if (member.replication === undefined && error !== undefined) throw error;
    return { ran, txid: position?.local ?? 0n };
  }

  /** Uploads what is left of a database, and lets go of it until it is started; returns whether it ran. Throws why it could not. */
  async stopDatabase(
    path: string,
    options: DaemonEndOptions = {},
  ): Promise<{ readonly ran: boolean; readonly txid: bigint }> {
    const member = this.#member("stop", path);
    const ran = member.isWanted;
    if (ran) {
      const { error } = await member.end({ deadlineMs: this.#deadlineOf(options) });
      this.#tell({ type: "stopped", database: path });
      if (error !== undefined && member.hasRun) throw error;
    }
    return { ran, txid: member.view(undefined).position?.local ?? 0n };
  }

  /** Takes what is committed now, and waits for the replica where that is asked for. `ClosedError` where it does not run. */
  async sync(path: string, options: SyncOptions = {}): Promise<SyncResult> {
    const { replication, source } = this.#running("sync", path);
    const before = replication.position.replicated;
    if (options.wait === true) await replication.flush({ signal: options.signal });
    else source.check?.();
    const { local: txid, replicated: replicatedTxid } = replication.position;
    const changed = options.wait === true ? "synced" : "synced_local";
    return { status: txid === before ? "no_change" : changed, txid, replicatedTxid };
  }

  /** Uploads what is committed now, and the whole database as a snapshot. `ClosedError` where it does not run. */
  async snapshot(path: string): Promise<SnapshotResult> {
    const { member, replication } = this.#running("snapshot", path);
    return await member.snapshot(replication);
  }

  /** From now on files that come into directories or go are left as they are. */
  unwatch(): void {
    for (const end of this.#unwatch.splice(0)) end();
  }

  /**
   * Uploads what is left of every database, each until the deadline, and ends. Resolves with how each of them came to its
   * end; nothing is thrown. Calling it again returns the same promise.
   */
  close(options: DaemonEndOptions = {}): Promise<readonly DaemonEnd[]> {
    this.#closing ??= this.#close(this.#deadlineOf(options));
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(deadlineMs: number): Promise<readonly DaemonEnd[]> {
    this.unwatch();
    const { intervalMs: retryMs } = this.#config.shutdown;
    const ends = await Promise.all(
      [...this.#members].map(async ([path, member]) => ({
        path,
        ...(await member.close({ deadlineMs, retryMs })),
      })),
    );
    await this.#fleet.close();
    return ends;
  }

  #watch(directory: DirectoryConfig): void {
    const { dir, recursive, watch } = directory;
    if (watch) {
      const end = watchDirectory(dir, {
        clock: this.#platform.clock,
        recursive,
        isKnown: (path) => this.#members.has(path),
        onSettled: (path) => this.#settled(directory, path),
        onError: (error, below) => this.#tell({ type: "watch-failed", database: below, error }),
      });
      this.#unwatch.push(end);
    }
    for (const config of directory.members(this.#members)) this.#addFound(directory, config);
  }

  /** A file of a directory came, changed or went. */
  #settled(directory: DirectoryConfig, path: string): void {
    if (existsSync(path)) {
      if (this.#members.has(path)) return;
      try {
        const config = directory.memberAt(path, this.#members);
        if (config !== undefined) void this.#addFound(directory, config)?.start();
      } catch (error) {
        this.#tell({ type: "watch-failed", database: path, error: error as Error });
      }
      return;
    }
    for (const [known, foundIn] of this.#foundIn) {
      if (foundIn !== directory) continue;
      if (known === path || known.startsWith(path + sep)) void this.unregister(known);
    }
  }

  #addFound(directory: DirectoryConfig, config: DatabaseConfig): Member | undefined {
    if (this.#members.has(config.path)) return undefined;
    this.#foundIn.set(config.path, directory);
    return this.#add(config);
  }

  #add(config: DatabaseConfig): Member {
    const { path, replica } = config;
    if (this.#members.has(path)) {
      const what = "it is registered already";
      throw new InvalidArgumentError({ operation: "register", object: path, what });
    }
    const member = new Member(config, this.#tools);
    this.#members.set(path, member);
    this.#tell({ type: "registered", database: path, replica: replica.name });
    return member;
  }

  #keep(path: string, replica: string | undefined): void {
    const { stateFile } = this.#config;
    if (stateFile === undefined) return;
    if (replica !== undefined) this.#registered.set(path, { path, replica });
    else if (!this.#registered.delete(path)) return;
    writeRegistrations(stateFile, [...this.#registered.values()]);
  }

  #running(
    operation: string,
    path: string,
  ): { readonly member: Member; readonly replication: Replication; readonly source: DaemonSource } {
    const member = this.#member(operation, path);
    const { replication, source } = member;
    if (replication !== undefined && source !== undefined) return { member, replication, source };
    throw new ClosedError({ operation, object: path, what: "the database is not open" });
  }

  #member(operation: string, path: string): Member {
    this.#throwIfClosed(operation, path);
    const member = this.#members.get(path);
    if (member !== undefined) return member;
    const what = "no database of this path is registered";
    throw new InvalidArgumentError({ operation, object: path, what });
  }

  #throwIfClosed(operation: string, object: string): void {
    if (this.#closing === undefined) return;
    throw new ClosedError({ operation, object, what: "the daemon is shutting down" });
  }

  #deadlineOf({ deadlineMs }: DaemonEndOptions): number {
    return deadlineMs ?? this.#config.shutdown.timeoutMs;
  }

  async #relay(): Promise<void> {
    for await (const event of this.#fleet.events) {
      if (event.type === "uploaded" && event.position.local === event.position.replicated) {
        this.#members.get(event.database)?.noteSync();
      }
      this.#tell(event);
    }
  }

  #tell(event: DaemonEvent): void {
    const member = this.#members.get(event.database);
    if (member !== undefined) member.updatedAt = this.#platform.clock.now();
    for (const listener of this.#listeners) listener(event);
  }
}
