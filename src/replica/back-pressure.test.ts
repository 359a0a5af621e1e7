import { describe, expect, test } from "vitest";
import type {
  CommitListener,
  CommitSource,
  DatabaseImage,
  ImageOptions,
  PageImage,
} from "../core/commit-source.ts";
import { fakePlatform, type FakePlatform } from "../testing/index.ts";
import { StoreError } from "../transports/errors.ts";
import { QUIET_LEVELS } from "../../test/helpers/quiet-levels.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { bytesSink } from "./bytes-sink.ts";
import { startPrimary } from "./start-primary.ts";
import { openReplica } from "./replica.ts";
import type { Replication, ReplicationEvent } from "./replication.ts";
import { restoreReplica } from "./restore.ts";

const PAGE_SIZE = 4096;
const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const MIB = 1 << 20;

/** A database whose pages are computed from how often each was written: large without taking memory. */
class VirtualDatabase implements CommitSource {
  readonly name = "virtual.db";
  readonly pageSize = PAGE_SIZE;
  readonly commit: number;
  sequence = 0;
  readonly #versions = new Map<number, number>();
  readonly #scratch = new Uint8Array(PAGE_SIZE);
  #listener: CommitListener | undefined;

  constructor(commit: number) {
    this.commit = commit;
  }

  page(pgno: number): Uint8Array {
    this.#scratch.fill(0);
    new DataView(this.#scratch.buffer).setUint32(64, pgno);
    new DataView(this.#scratch.buffer).setUint32(68, this.#versions.get(pgno) ?? 0);
    return this.#scratch;
  }

  listen(listener: CommitListener): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  write(pgnos: readonly number[]): void {
    for (const pgno of pgnos) this.#versions.set(pgno, (this.#versions.get(pgno) ?? 0) + 1);
    const sorted = Uint32Array.from(pgnos).sort();
    this.#listener?.commit({
      sequence: ++this.sequence,
      pageSize: PAGE_SIZE,
      commit: this.commit,
      previousCommit: this.commit,
      full: false,
      pages: {
        pgnos: sorted,
        read: (index) => this.page(sorted[index] as number),
        page: (pgno) => this.page(pgno),
      },
    });
  }

  image(options: ImageOptions = {}): Promise<DatabaseImage> {
    const pgnos = options.pages ?? Uint32Array.from({ length: this.commit }, (_, i) => i + 1);
    const { sequence, commit } = this;
    const page = (pgno: number): Uint8Array => this.page(pgno);
    function* runs(): Generator<readonly PageImage[]> {
      for (let i = 0; i < pgnos.length; i += 256) {
        yield [...pgnos.subarray(i, i + 256)].map((pgno) => ({ pgno, data: page(pgno).slice() }));
      }
    }
    return Promise.resolve({
      sequence,
      pageSize: PAGE_SIZE,
      commit,
      runsAtOnce: runs,
      runs: (async function* () {
        yield* runs();
        await Promise.resolve();
      })(),
    });
  }
}

/** A store that counts its puts and can be unreachable, or never answer. */
function faultyStore(): {
  readonly store: ObjectStore;
  puts: number;
  state: "up" | "down" | "hung";
} {
  const inner = memoryStore();
  const faulty = {
    puts: 0,
    state: "up" as "up" | "down" | "hung",
    store: {
      ...inner,
      put: (async (key, body, options) => {
        faulty.puts++;
        if (faulty.state === "hung") return await new Promise(() => {});
        if (faulty.state === "up") return await inner.put(key, body, options);
        const what = { operation: "upload", object: key, what: "no connection" };
        throw new StoreError(what, { retryable: true });
      }) as ObjectStore["put"],
    },
  };
  return faulty;
}

/** Drives the fake clock until a promise settles. */
async function run<T>(platform: FakePlatform, promise: Promise<T>): Promise<T> {
  const progress = { settled: false };
  const settle = (): void => void (progress.settled = true);
  promise.then(settle, settle);
  for (let i = 0; i < 2_000 && !progress.settled; i++) await platform.clock.advanceAsync(100);
  if (!progress.settled) throw new Error("the promise did not settle");
  return await promise;
}

function collect(replication: Replication): ReplicationEvent[] {
  const events: ReplicationEvent[] = [];
  void (async () => {
    for await (const event of replication.events) events.push(event);
  })();
  return events;
}

describe("startPrimary() while the store is away", () => {
  test("ends an outage of 24 hours of a 1 GB database with one upload of its 1,000 hot pages", async () => {
    const platform = fakePlatform(1);
    const database = new VirtualDatabase(262_144);
    const faulty = faultyStore();
    const replica = openReplica(faulty.store, { platform });
    const stagingBytes = 2 * MIB;
    const options = { platform, lease: false, groupMs: SECOND, stagingBytes };
    const replication = await run(platform, startPrimary(database, replica, options));
    await run(platform, replication.durable());
    const before = replication.position.replicated;
    const events = collect(replication);
    faulty.state = "down";
    faulty.puts = 0;
    let held = 0;
    const commits = (24 * HOUR) / (2 * SECOND);
    for (let i = 0; i < commits; i++) {
      database.write([1, 2 + ((i * 2) % 999), 2 + ((i * 2 + 1) % 999)]);
      held = Math.max(held, replication.stats.pendingBytes);
      await platform.clock.advanceAsync(2 * SECOND);
    }
    expect(replication.stats.commits).toBe(commits);
    // Images up to the bound, one file that was cut before the outage was known, two bitmaps.
    expect(held).toBeLessThan(stagingBytes + 128 * 1024);
    expect(replication.stats.pendingBytes).toBeLessThan(128 * 1024);
    expect(faulty.puts).toBeLessThan(24 * 60 + 40);

    faulty.state = "up";
    faulty.puts = 0;
    await run(platform, replication.durable());
    const cuts = events.filter((event) => event.type === "cut");
    // What was cut before the outage was known is a few files of a few pages.
    expect(cuts.at(-1)).toMatchObject({ pages: 1_000, full: false });
    expect(cuts.reduce((sum, { pages }) => sum + pages, 0)).toBeLessThan(1_200);
    const types = events.map((event) => event.type);
    const count = (type: string): number => types.filter((each) => each === type).length;
    expect(count("uploaded")).toBe(Number(replication.position.replicated - before));
    expect(faulty.puts).toBe(count("uploaded") + count("compacted") + count("snapshot"));
    expect(types).toContain("stalled");
    expect(types.filter((type) => type === "degraded")).toHaveLength(1);
    expect(types.filter((type) => type === "recovered")).toHaveLength(1);
    await run(platform, replication.close());
  }, 120_000);

  test("lets groups grow while uploads are slower than commits, so that the lag stays a few uploads", async () => {
    const platform = fakePlatform(3);
    const database = new VirtualDatabase(40);
    const inner = memoryStore();
    const store: ObjectStore = {
      ...inner,
      put: async (key, body, options) => {
        await new Promise<void>((resolve) => void platform.clock.schedule(resolve, 100));
        return await inner.put(key, body, options);
      },
    };
    const options = { platform, lease: false, groupMs: 10, ...QUIET_LEVELS };
    const replica = openReplica(store, { platform });
    const replication = await run(platform, startPrimary(database, replica, options));
    await run(platform, replication.durable());
    const before = replication.position.replicated;
    let lagMs = 0;
    for (let i = 0; i < 1_000; i++) {
      database.write([1 + (i % 40)]);
      await platform.clock.advanceAsync(10);
      lagMs = Math.max(lagMs, replication.stats.lagMs);
    }
    expect(lagMs).toBeLessThan(700);
    // One file each 100 ms, and those that wait.
    const { replicated, staged } = replication.position;
    expect(replicated - before).toBeGreaterThan(90n);
    expect(staged - before).toBeLessThan(106n);
    // Whoever waits gets a file of its own at once.
    database.write([1]);
    await platform.clock.advanceAsync(10);
    expect(replication.position).toMatchObject({ local: staged + 1n, staged });
    const waiting = replication.flush();
    await platform.clock.advanceAsync(0);
    expect(replication.position.staged).toBe(staged + 1n);
    await run(platform, waiting);
    await run(platform, replication.close());
  });

  test("cuts no further file while those that wait fill the bound, and restores what came after", async () => {
    const platform = fakePlatform(2);
    const database = new VirtualDatabase(40);
    const faulty = faultyStore();
    const replica = openReplica(faulty.store, { platform });
    const options = { platform, groupMs: 0, stagingBytes: 1024 };
    const replication = await startPrimary(database, replica, options);
    await run(platform, replication.durable());
    const events = collect(replication);
    faulty.state = "hung";
    for (let i = 0; i < 500; i++) {
      database.write([1 + (i % 40)]);
      await platform.clock.advanceAsync(100);
    }
    expect(replication.stats.pendingBytes).toBeLessThan(3 * 1024);
    expect(events.filter((event) => event.type === "cut").length).toBeLessThan(20);
    await expect(run(platform, replication.close({ deadlineMs: 1 }))).rejects.toThrow("close");
    faulty.state = "up";
    const next = await startPrimary(database, replica, options);
    await run(platform, next.durable());
    const sink = bytesSink({ journalHeader: "keep" });
    await run(platform, restoreReplica(faulty.store, sink, { platform, position: false }));
    for (let pgno = 1; pgno <= 40; pgno++) {
      expect(sink.bytes.subarray((pgno - 1) * PAGE_SIZE, pgno * PAGE_SIZE)).toEqual(
        database.page(pgno),
      );
    }
    await run(platform, next.close());
  });
});
