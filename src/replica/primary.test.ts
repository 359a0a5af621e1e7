import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import {
  bench,
  type Bench,
  collect,
  durableState,
  flushed,
  gate,
  keys,
  level0,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { fakePlatform, seededRandom } from "../testing/index.ts";
import { bytesSink } from "./bytes-sink.ts";
import { openReplica } from "./replica.ts";
import { restoreReplica } from "./restore.ts";

const SECONDS = 1_000;

/** What the bench leaves out where a test does not ask for it. */
const DEFAULT_LEVELS = { levels: undefined, snapshot: undefined, retention: undefined };

describe("startPrimary()", () => {
  test("writes the first commit of a new database as TXID 1 with every page", async () => {
    const at = bench();
    const replication = await start(at);
    expect(replication.position).toEqual({ local: 0n, staged: 0n, replicated: 0n });
    at.database.write([1, 2, 3]);
    expect(replication.position.local).toBe(1n);
    await run(at.platform, replication.durable());
    expect(replication.position).toEqual({ local: 1n, staged: 1n, replicated: 1n });
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("writes an existing database as one full file", async () => {
    const at = bench();
    at.database.write([1, 2, 3, 4, 5]);
    const replication = await start(at);
    await run(at.platform, replication.durable());
    expect(await keys(at.store)).toEqual([level0(1)]);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("asks for what was committed meanwhile before it cuts a group that was waiting", async () => {
    const at = bench();
    const replication = await start(at, { groupMs: 1_000 });
    at.database.write([1]);
    await at.platform.clock.advanceAsync(0);
    at.database.write([2]);
    Object.assign(at.database, { catchUp: () => at.database.write([3]) });
    await at.platform.clock.advanceAsync(2_000);
    expect(replication.position).toMatchObject({ local: 2n, staged: 2n });
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("lets commits within groupMs share a TXID, and cuts a later one at once", async () => {
    const at = bench();
    const replication = await start(at, { groupMs: 1_000 });
    at.database.write([1]);
    await at.platform.clock.advanceAsync(0);
    expect(replication.position.staged).toBe(1n);
    at.database.write([2]);
    at.database.write([3]);
    await at.platform.clock.advanceAsync(900);
    expect(replication.position).toMatchObject({ local: 2n, staged: 1n });
    await at.platform.clock.advanceAsync(100);
    expect(replication.position.staged).toBe(2n);
    await at.platform.clock.advanceAsync(5_000);
    at.database.write([2]);
    await at.platform.clock.advanceAsync(0);
    expect(replication.position.staged).toBe(3n);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("cuts a group at once when it holds more than groupBytes", async () => {
    const at = bench();
    const replication = await start(at, { groupMs: 60 * SECONDS, groupBytes: 2048 });
    at.database.write([1]);
    await run(at.platform, replication.durable());
    at.database.write([2, 3]);
    at.database.write([4, 5]);
    expect(replication.position.staged).toBe(1n);
    at.database.write([6]);
    expect(replication.position.staged).toBe(2n);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("encodes a transaction larger than groupBytes without holding it, after the open group", async () => {
    const at = bench();
    const replication = await start(at, { groupMs: 60 * SECONDS, groupBytes: 2048 });
    at.database.write([1]);
    await run(at.platform, replication.durable());
    at.database.write([1]);
    at.database.write([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(replication.position.staged).toBe(3n);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("survives shrinking and growing inside one group and across groups", async () => {
    const at = bench();
    const replication = await start(at);
    at.database.write([1, 2, 3, 4, 5, 6, 7, 8]);
    await run(at.platform, replication.flush());
    at.database.write([1], 3);
    at.database.write([6]);
    await run(at.platform, replication.flush());
    expect(await restored(at)).toEqual(at.database.bytes);
    at.database.write([1], 2);
    await run(at.platform, replication.flush());
    at.database.write([4]);
    await run(at.platform, replication.flush());
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("puts the snapshot of the new size before the L0 file when the page size changes", async () => {
    const at = bench();
    const order: string[] = [];
    const inner = at.store;
    const store: ObjectStore = {
      ...inner,
      put: (key, body, options) => {
        order.push(key);
        return inner.put(key, body, options);
      },
    };
    const watched = { ...at, store };
    const replication = await start(watched);
    at.database.write([1, 2]);
    await run(at.platform, replication.flush());
    at.database.write([2]);
    at.database.resize(1024, 3);
    const before = at.database.bytes;
    await run(at.platform, replication.flush());
    expect(order).toEqual([
      level0(1),
      level0(2),
      "ltx/9/0000000000000001-0000000000000003.ltx",
      level0(3),
    ]);
    expect(await restored(at, 3n)).toEqual(before);
    at.database.write([2, 4]);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("writes every page when the source doubts its continuity", async () => {
    const at = bench();
    const replication = await start(at);
    at.database.write([1, 2, 3]);
    await run(at.platform, replication.flush());
    at.database.tamper(2);
    at.database.needsFull("a test says so");
    at.database.write([3]);
    await run(at.platform, replication.flush());
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("keeps commits that arrive while pages are being read for the next file", async () => {
    const at = bench();
    at.database.write([1, 2, 3]);
    const replication = await start(at);
    let wrote = 0;
    at.database.beforeImage = () => {
      if (wrote++ < 2) at.database.write([1, 3 + wrote]);
    };
    at.database.needsFull("a test says so");
    await run(at.platform, replication.flush());
    at.database.write([2]);
    await run(at.platform, replication.flush());
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("lets file times grow although the clock goes back", async () => {
    const at = bench();
    const replication = await start(at);
    for (let i = 1; i <= 3; i++) {
      at.database.write([i]);
      await run(at.platform, replication.flush());
      at.platform.clock.jumpWall(-3_600 * SECONDS);
    }
    await run(at.platform, replication.close());
    const replica = openReplica(at.store, { platform: at.platform });
    const times = (await replica.files(0)).map((f) => f.time.getTime());
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(new Set(times).size).toBe(3);
  });

  test("tells once when the clock goes back while it runs, and again the next time", async () => {
    const at = bench();
    const replication = await start(at);
    const events = collect(replication);
    for (const jump of [0, -3_600, 0, 7_200, -7_200]) {
      at.platform.clock.jumpWall(jump * SECONDS);
      at.database.write([1]);
      await run(at.platform, replication.flush());
    }
    const ahead = events.filter((event) => event.type === "clock");
    expect(ahead.map(({ aheadMs }) => Math.round(aheadMs / 3_600 / SECONDS))).toEqual([1, 2]);
    await run(at.platform, replication.close());
  });

  test("tells when the replica's time lies ahead of the clock", async () => {
    const at = bench();
    const first = await start(at);
    at.database.write([1]);
    await run(at.platform, first.close());
    at.platform.clock.jumpWall(-3_600 * SECONDS);
    const replica = openReplica(at.store, { platform: at.platform });
    const second = await start(at);
    const events = collect(second);
    at.database.write([1]);
    await run(at.platform, second.close());
    const ahead = events.find((event) => event.type === "clock");
    expect(ahead?.aheadMs).toBeGreaterThan(3_500 * SECONDS);
    const times = (await replica.files(0)).map((f) => f.time.getTime());
    expect(times[1]).toBe((times[0] as number) + 1);
  });
});

describe("waiting", () => {
  test("flush() uploads now, whatever the cadence", async () => {
    const at = bench();
    const replication = await start(at, { groupMs: 3_600 * SECONDS });
    at.database.write([1]);
    await run(at.platform, replication.durable());
    const since = at.platform.clock.monotonic();
    at.database.write([2]);
    await run(at.platform, replication.flush());
    expect(at.platform.clock.monotonic() - since).toBeLessThan(1_000);
    expect(replication.position.replicated).toBe(2n);
    await run(at.platform, replication.close());
  });

  test("waitFor() and durable() ride the cadence and cost no request of their own", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store }, { groupMs: 5_000 });
    at.database.write([1]);
    await run(at.platform, replication.durable());
    at.database.write([2]);
    const waits = [replication.waitFor(2n), replication.durable(), replication.durable()];
    await at.platform.clock.advanceAsync(4_000);
    expect(store.puts).toBe(1);
    await run(at.platform, Promise.all(waits));
    expect(store.puts).toBe(2);
    await run(at.platform, replication.close());
  });

  test("waits end with the caller's signal", async () => {
    const at = bench();
    const replication = await start(at);
    const controller = new AbortController();
    const wait = replication.waitFor(9n, { signal: controller.signal });
    controller.abort();
    await expect(wait).rejects.toMatchObject({ code: "ABORTED" });
    await run(at.platform, replication.close());
  });

  test("pause() begins no upload until resume()", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store });
    replication.pause();
    at.database.write([1]);
    await at.platform.clock.advanceAsync(10_000);
    expect(store.puts).toBe(0);
    replication.resume();
    await run(at.platform, replication.durable());
    expect(store.puts).toBe(1);
    await run(at.platform, replication.close());
  });

  test("nothing is left to do when idle: no timer, no request", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store }, DEFAULT_LEVELS);
    at.database.write([1]);
    await run(at.platform, replication.durable());
    await at.platform.clock.advanceAsync(60_000);
    expect(at.platform.clock.pending).toBe(0);
    // The commit, and the first snapshot in place of one file per level.
    expect(store.puts).toBe(2);
    await at.platform.clock.advanceAsync(72 * 3_600_000);
    expect(store.puts).toBe(2);
    await run(at.platform, replication.close());
  });
});

describe("a failing store", () => {
  test("a lost response is resolved by reading: the object there is ours", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store });
    store.mode = "lose";
    at.database.write([1, 2]);
    await run(at.platform, replication.durable());
    expect(store.puts).toBe(2);
    expect(replication.position.replicated).toBe(1n);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("an outage is told, waits reject, nothing piles up, and one file follows it", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store });
    const events = collect(replication);
    at.database.write([1, 2, 3]);
    await run(at.platform, replication.durable());
    store.mode = "refuse";
    at.database.write([1]);
    await expect(run(at.platform, replication.durable())).rejects.toMatchObject({ code: "STORE" });
    for (let i = 0; i < 100; i++) {
      at.database.write([(i % 5) + 1]);
      await at.platform.clock.advanceAsync(2_000);
    }
    expect(replication.position).toMatchObject({ staged: 2n, replicated: 1n });
    expect(replication.stats.lagMs).toBeGreaterThan(150_000);
    store.mode = "open";
    await run(at.platform, replication.flush());
    expect(replication.position).toMatchObject({ staged: 3n, replicated: 3n });
    expect(events.some((event) => event.type === "stalled")).toBe(true);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("past stagingBytes page numbers stay and images are read again", async () => {
    const at = bench();
    const store = gate(at.store);
    const replication = await start({ ...at, store }, { groupBytes: 1024, stagingBytes: 2048 });
    const events = collect(replication);
    at.database.write(Array.from({ length: 40 }, (_, i) => i + 1));
    await run(at.platform, replication.durable());
    store.mode = "refuse";
    at.database.write([1]);
    await at.platform.clock.advanceAsync(2_000);
    for (let pgno = 2; pgno <= 12; pgno++) at.database.write([pgno]);
    store.mode = "open";
    await run(at.platform, replication.flush());
    const cuts = events.filter((event) => event.type === "cut");
    expect(cuts.at(-1)).toMatchObject({ pages: 11, full: false });
    expect(events.some((event) => event.type === "degraded")).toBe(true);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("an object of another writer stops replication; takeOver() goes on behind it", async () => {
    const at = bench();
    const replication = await start(at);
    at.database.write([1, 2, 3]);
    await run(at.platform, replication.flush());
    const other = bench({
      store: at.store,
      platform: at.platform,
      database: new ModelDatabase(512, 99),
    });
    other.database.write([1, 2]);
    const rival = await start(other);
    await run(at.platform, rival.flush());
    at.database.write([2]);
    await expect(run(at.platform, replication.flush())).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(replication.durable()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await restored(at)).toEqual(other.database.bytes);
    await run(at.platform, rival.close());
    at.database.write([3]);
    await run(at.platform, replication.takeOver());
    await run(at.platform, replication.flush());
    expect(replication.position.replicated).toBe(3n);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("close() ends after its deadline, tells what is missing, and a second call tells the same", async () => {
    const at = bench();
    const inner = at.store;
    const store: ObjectStore = { ...inner, put: () => new Promise(() => {}) };
    const replication = await start({ ...at, store });
    at.database.write([1]);
    const closing = replication.close({ deadlineMs: 5_000 });
    const hung = expect(run(at.platform, closing)).rejects.toMatchObject({ code: "TIMEOUT" });
    await Promise.race([hung, at.platform.clock.advanceAsync(20_000)]);
    expect(replication.close()).toBe(closing);
  });
});

describe("starting again", () => {
  async function firstRun(at: Bench): Promise<void> {
    const replication = await start(at);
    at.database.write([1, 2, 3, 4]);
    await run(at.platform, replication.flush());
    at.database.write([2, 5]);
    await run(at.platform, replication.close());
  }

  test("an unchanged database goes on with increments", async () => {
    const at = bench();
    await firstRun(at);
    const replication = await start(at);
    expect(replication.position).toEqual({ local: 2n, staged: 2n, replicated: 2n });
    await run(at.platform, replication.durable());
    const events = collect(replication);
    at.database.write([3]);
    await run(at.platform, replication.close());
    expect(events.filter((event) => event.type === "cut")).toMatchObject([
      { txid: 3n, pages: 1, full: false },
    ]);
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  for (const [what, change] of [
    ["a page changed behind its back", (at: Bench) => at.database.tamper(3)],
    ["commits made without it", (at: Bench) => at.database.write([2, 6])],
  ] as const) {
    test(`${what}: the next file brings it, one past the newest`, async () => {
      const at = bench();
      await firstRun(at);
      change(at);
      const replication = await start(at);
      await run(at.platform, replication.durable());
      expect(replication.position.replicated).toBe(3n);
      expect(await restored(at)).toEqual(at.database.bytes);
      at.database.write([1]);
      await run(at.platform, replication.close());
      expect(await restored(at)).toEqual(at.database.bytes);
    });
  }

  test("a torn last record of the marker costs a read of the files after it", async () => {
    const at = bench();
    await firstRun(at);
    const again = await start(at);
    at.database.write([1]);
    await run(at.platform, again.flush());
    const bytes = at.state.readMarker() as Uint8Array;
    at.state.replaceMarker(bytes.subarray(0, bytes.length - 3));
    // No close: the process died.
    const replication = await start({ ...at });
    await run(at.platform, replication.durable());
    expect(replication.position.replicated).toBe(3n);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("a file staged before a crash is uploaded with the same bytes", async () => {
    const at = bench();
    await firstRun(at);
    const store = gate(at.store);
    const crashed = await start({ ...at, store });
    store.mode = "refuse";
    at.database.write([2]);
    await at.platform.clock.advanceAsync(2_000);
    expect(at.state.staged()).toEqual([level0(3).slice(4)]);
    const staged = at.state.readStaged(level0(3).slice(4), 0, 1 << 20);
    expect(crashed.position.replicated).toBe(2n);

    const replication = await start(at);
    await run(at.platform, replication.durable());
    expect(replication.position.replicated).toBe(3n);
    expect(await bytesAt(at.store, level0(3))).toEqual(new Uint8Array(staged));
    expect(at.state.staged()).toEqual([]);
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("durable() after a crash waits for the last of the files that were staged", async () => {
    const at = bench();
    await firstRun(at);
    await start({ ...at, store: { ...at.store, put: () => new Promise(() => {}) } });
    for (let i = 0; i < 3; i++) {
      at.database.write([2]);
      await at.platform.clock.advanceAsync(2_000);
    }
    expect(at.state.staged()).toHaveLength(3);

    const slow: ObjectStore = {
      ...at.store,
      async put(key, body, options) {
        await new Promise<void>((resolve) => at.platform.clock.schedule(resolve, 500));
        return await at.store.put(key, body, options);
      },
    };
    const replication = await start({ ...at, store: slow });
    await run(at.platform, replication.durable());
    expect(replication.position).toEqual({ local: 5n, staged: 5n, replicated: 5n });
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, replication.close());
  });

  test("a file staged and uploaded before a crash is confirmed without a second upload or a full file", async () => {
    const at = bench();
    await firstRun(at);
    const inner = at.store;
    const silent: ObjectStore = {
      ...inner,
      async put(key, body, options) {
        await inner.put(key, body, options);
        return await new Promise(() => {});
      },
    };
    await start({ ...at, store: silent });
    at.database.write([2]);
    await at.platform.clock.advanceAsync(2_000);
    expect(at.state.staged()).toHaveLength(1);

    const store = gate(at.store);
    const replication = await start({ ...at, store });
    expect(replication.position).toEqual({ local: 3n, staged: 3n, replicated: 3n });
    expect(store.puts).toBe(0);
    expect(at.state.staged()).toEqual([]);
    at.database.write([1]);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  for (const uploads of [0, 1, 2]) {
    test(`a page-size change survives a crash after ${uploads} of its two uploads`, async () => {
      const at = bench();
      await firstRun(at);
      let left = uploads;
      const inner = at.store;
      const dying: ObjectStore = {
        ...inner,
        put: (key, body, options) =>
          left-- > 0 ? inner.put(key, body, options) : new Promise(() => {}),
      };
      await start({ ...at, store: dying });
      at.database.resize(1024, 3);
      await at.platform.clock.advanceAsync(2_000);

      const replication = await start(at);
      await run(at.platform, replication.durable());
      expect(replication.position).toEqual({ local: 3n, staged: 3n, replicated: 3n });
      expect((await keys(at.store)).slice(2)).toEqual([
        level0(3),
        "ltx/9/0000000000000001-0000000000000003.ltx",
      ]);
      expect(await restored(at)).toEqual(at.database.bytes);
      at.database.write([2, 4]);
      await run(at.platform, replication.close());
      expect(await restored(at)).toEqual(at.database.bytes);
      const again = await start(at);
      await run(at.platform, again.durable());
      expect(again.stats.files).toBe(0);
      await run(at.platform, again.close());
    });
  }

  test("a torn staged file is dropped", async () => {
    const at = bench();
    await firstRun(at);
    const writer = at.state.stage(level0(3).slice(4));
    writer.write(new Uint8Array(200).fill(7));
    writer.finish();
    const replication = await start(at);
    expect(at.state.staged()).toEqual([]);
    at.database.write([1]);
    await run(at.platform, replication.close());
    expect(await restored(at)).toEqual(at.database.bytes);
  });

  test("the token of a restore continues without a full file", async () => {
    const at = bench();
    await firstRun(at);
    const sink = bytesSink();
    const { position } = await run(
      at.platform,
      restoreReplica(at.store, sink, { platform: at.platform }),
    );
    const fresh = { ...at, state: durableState() };
    const replication = await start(fresh, { position: JSON.parse(JSON.stringify(position)) });
    expect(replication.position).toEqual({ local: 2n, staged: 2n, replicated: 2n });
    at.database.write([1]);
    await run(at.platform, replication.close());
    expect((await keys(at.store)).at(-1)).toBe(level0(3));
    expect(await restored(at)).toEqual(at.database.bytes);

    const tampered = { ...at, state: durableState() };
    at.database.tamper(2);
    const next = await start(tampered, { position });
    await run(at.platform, next.durable());
    expect(await restored(at)).toEqual(at.database.bytes);
    await run(at.platform, next.close());
  });
});

describe("random histories", () => {
  for (let seed = 1; seed <= 30; seed++) {
    test(`the replica equals the database after faults, crashes and restarts (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const at = bench({
        platform: fakePlatform(seed),
        database: new ModelDatabase(512, seed),
      });
      const store = gate(at.store);
      const options = { groupBytes: 4096, stagingBytes: 6000, groupMs: random.int(3_000) };
      let replication = await start({ ...at, store }, options);
      const states = new Map<bigint, Uint8Array>();
      for (let step = 0; step < 120; step++) {
        const action = random.int(100);
        if (action < 60) {
          const size = at.database.commit;
          const pgnos = Array.from({ length: 1 + random.int(6) }, () => 1 + random.int(size + 3));
          at.database.write(pgnos, random.int(10) === 0 ? 1 + random.int(12) : undefined);
        } else if (action < 62) {
          at.database.resize(random.pick([512, 1024, 2048]), 1 + random.int(10));
        } else if (action < 80) {
          await at.platform.clock.advanceAsync(random.int(2_000));
        } else if (action < 85) {
          store.mode = random.pick(["open", "refuse", "lose"]);
        } else if (action < 88) {
          at.database.needsFull("a test says so");
        } else if (action < 92 && at.database.commit > 0) {
          store.mode = "open";
          await flushed(at, replication);
          states.set(replication.position.replicated, at.database.bytes);
        } else if (action < 94) {
          // The process dies: its replication is left as it is and never heard of again.
          replication.pause();
          await at.platform.clock.advanceAsync(300_000);
          store.mode = "open";
          replication = await start({ ...at, store }, options);
        }
      }
      store.mode = "open";
      await flushed(at, replication);
      await run(at.platform, replication.close());
      expect(await restored(at)).toEqual(at.database.bytes);
      for (const [txid, bytes] of states) expect(await restored(at, txid)).toEqual(bytes);
    });
  }
});
