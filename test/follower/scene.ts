/**
 * One database, the processes that write it, and a follower that replicates it from here.
 *
 * @module
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileSink, fileStore, replicate, syncFiles } from "@pagestream/node";
import {
  fileState,
  type ObjectStore,
  type ReplicateOptions,
  type Replication,
  restore,
  stateDirectory,
  type SyncFiles,
} from "pagestream";
import { expect } from "vitest";
import { nodeSqliteDriver } from "../../adapters/files/native-driver.ts";
import {
  openWalFollower,
  type WalFollower,
  type WalFollowerOptions,
} from "../../adapters/files/wal-follower.ts";
import { Application, type ApplicationOptions, contentDigest } from "../helpers/application.ts";
import { QUIET_LEVELS } from "../helpers/quiet-levels.ts";
import { Replicator, type ReplicatorOptions } from "../helpers/replicator.ts";
import { SCHEMA } from "../helpers/workload.ts";

/** How a scene's database is followed. */
export interface FollowOptions extends ReplicateOptions {
  readonly follower?: Partial<WalFollowerOptions> | undefined;
  readonly files?: SyncFiles | undefined;
  readonly store?: ObjectStore | undefined;
}

/** A replication that a test has started. */
export interface Followed extends AsyncDisposable {
  readonly follower: WalFollower;
  readonly replication: Replication;
  /** What happened so far: the types of events, with their reasons and errors. */
  readonly events: readonly string[];
  /** How often pages of the database were read. */
  readonly images: number;
  /** Resolves when all that is committed now is in the replica. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A directory with a database, its replica, and everyone who works on them. */
export class Scene implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "pagestream-follower-"));
  readonly path: string = join(this.directory, "app.db");
  readonly replica: string = join(this.directory, "replica");
  readonly #open: (() => Promise<void>)[] = [];
  #restores = 0;

  /** Starts an application. The first one makes the tables of the workload. */
  async application(options: Partial<ApplicationOptions> = {}): Promise<Application> {
    const isNew = !existsSync(this.path);
    const application = await Application.open({ path: this.path, ...options });
    this.#open.push(() => application.kill());
    if (isNew) await application.run(SCHEMA);
    return application;
  }

  /** Follows the database from a process of its own. */
  async replicator(options: Partial<ReplicatorOptions> = {}): Promise<Replicator> {
    const { path, replica } = this;
    const replicator = await Replicator.open({ path, replica, ...options });
    this.#open.push(() => replicator.kill());
    return replicator;
  }

  /** Follows the database from here. */
  async follow(options: FollowOptions = {}): Promise<Followed> {
    const { follower: more, files = syncFiles(), store, ...rest } = options;
    const follower = await openWalFollower(this.path, { driver: nodeSqliteDriver, files, ...more });
    let images = 0;
    const image = follower.image.bind(follower);
    Object.assign(follower, {
      image: (...asked: Parameters<typeof image>) => {
        images++;
        return image(...asked);
      },
    });
    let replication: Replication;
    try {
      replication = await replicate(follower, store ?? fileStore(this.replica), {
        ...QUIET_LEVELS,
        lease: false,
        ...rest,
        state: fileState(files, stateDirectory(this.path)),
      });
    } catch (error) {
      await follower.close();
      throw error;
    }
    const events: string[] = [];
    void (async () => {
      for await (const event of replication.events) {
        if (event.type === "error") events.push(`error ${event.error.message}`);
        else events.push("reason" in event ? `${event.type} ${event.reason}` : event.type);
      }
    })();
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closed ??= replication.close().finally(() => follower.close());
      return closed;
    };
    this.#open.push(() => close().catch(() => {}));
    const sync = (): Promise<void> => replication.durable();
    return {
      follower,
      replication,
      events,
      get images() {
        return images;
      },
      sync,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /** Replicates what is there now, as `-once` does; how often pages of the database were read. */
  async once(options: FollowOptions = {}): Promise<number> {
    await using followed = await this.follow(options);
    await followed.sync();
    return followed.images;
  }

  /** Restores the newest state and checks it; the file, which stays until the end of the test. */
  async restored(): Promise<string> {
    const output = join(this.directory, `restored-${++this.#restores}.db`);
    await restore(fileStore(this.replica), fileSink(output));
    const db = new DatabaseSync(output);
    try {
      expect(db.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    } finally {
      db.close();
    }
    return output;
  }

  /** Runs one query on the newest state of the replica. */
  async query(sql: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const db = new DatabaseSync(await this.restored());
    try {
      return db.prepare(sql).get();
    } finally {
      db.close();
    }
  }

  /** Expects the replica's newest state to hold what an application sees. */
  async expectWhole(application: Application): Promise<void> {
    const db = new DatabaseSync(await this.restored());
    try {
      expect(contentDigest(db)).toBe(await application.digest());
    } finally {
      db.close();
    }
  }

  /** Size of the WAL in bytes, 0 where there is none. */
  get walSize(): number {
    return statSync(`${this.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#open.reverse()) await close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
