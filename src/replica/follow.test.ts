import { afterEach, describe, expect, test } from "vitest";
import { ONE_TRY } from "../../test/helpers/one-try.ts";
import {
  buildLtx,
  fakePlatform,
  type FaultyStore,
  faultyStore,
  type LtxSpec,
  storeFault,
} from "../testing/index.ts";
import { EventStream } from "../core/event-stream.ts";
import { memoryStore } from "../transports/memory.ts";
import { type BytesFollowTarget, bytesFollowTarget } from "./follow-bytes.ts";
import type { FollowEvent, Follower, FollowReplicaOptions } from "./follow-options.ts";
import { followReplica } from "./follow.ts";
import { encodePointer, POINTER_KEY } from "./pointer.ts";
import type { ObjectStore } from "../transports/object-store.ts";

const PAGE_SIZE = 512;

let open: Follower[] = [];
afterEach(async () => {
  for (const follower of open) await follower.close();
  open = [];
});

/** A replica and what follows it: time stands still until the test moves it. */
class Scene {
  readonly inner: ObjectStore = memoryStore();
  readonly store: FaultyStore = faultyStore(this.inner);
  readonly platform: ReturnType<typeof fakePlatform> = fakePlatform(1);
  readonly target: BytesFollowTarget = bytesFollowTarget();
  readonly events: FollowEvent[] = [];

  /** Writes a file whose pages hold one byte each; returns its key. */
  async put(
    level: number,
    spec: Omit<LtxSpec, "pageSize"> & { pageSize?: number },
  ): Promise<string> {
    const built = buildLtx({ pageSize: PAGE_SIZE, ...spec });
    const key = `ltx/${level}/${built.name}`;
    await this.inner.put(key, built.bytes);
    return key;
  }

  /** L0 files `from` to `to`, each of which sets page 1 and one more to its TXID. */
  async l0(from: number, to = from): Promise<void> {
    for (let txid = from; txid <= to; txid++) {
      const pages: Record<number, number> =
        txid === 1 ? { 1: 1, 2: 1, 3: 1, 4: 1 } : { 1: txid, [2 + (txid % 3)]: txid };
      await this.put(0, { minTxid: BigInt(txid), pages, commit: 4 });
    }
  }

  /** A file of a level that leads from any state before `min` to the state of `max`. */
  level(level: number, min: number, max: number): Promise<string> {
    const pages = Object.fromEntries([1, 2, 3, 4].map((pgno) => [pgno, this.valueAt(max, pgno)]));
    return this.put(level, { minTxid: BigInt(min), maxTxid: BigInt(max), pages });
  }

  /** What a page holds in the state of a TXID. */
  valueAt(txid: number, pgno: number): number {
    if (pgno === 1) return txid;
    for (let at = txid; at > 1; at--) if (2 + (at % 3) === pgno) return at;
    return 1;
  }

  async follow(options: Partial<FollowReplicaOptions> = {}): Promise<Follower> {
    const follower = await followReplica(this.store, this.target, {
      platform: this.platform,
      retry: ONE_TRY,
      ...options,
    });
    open.push(follower);
    void (async () => {
      for await (const event of follower.events) this.events.push(event);
    })();
    // The first look, which the start makes by itself.
    await follower.poll();
    this.store.reset();
    return follower;
  }

  /** Requests since the last question, as `operation key`. */
  asked(): string[] {
    const asked = this.store.requests.map(({ operation, key }) => `${operation} ${key}`);
    this.store.reset();
    return asked;
  }

  expectState(txid: number): void {
    expect(this.target.state?.txid).toBe(BigInt(txid));
    const { bytes } = this.target;
    expect([1, 2, 3, 4].map((pgno) => bytes[(pgno - 1) * PAGE_SIZE + 40])).toEqual(
      [1, 2, 3, 4].map((pgno) => this.valueAt(txid, pgno)),
    );
  }
}

const name = (min: number, max = min): string =>
  [min, max].map((txid) => txid.toString(16).padStart(16, "0")).join("-");
const ask = (min: number, max = min, level = 0): string => `get ltx/${level}/${name(min, max)}.ltx`;

describe("followReplica()", () => {
  test("followReplica() resolves with the newest state", async () => {
    const scene = new Scene();
    await scene.l0(1, 5);
    const follower = await scene.follow();
    expect(follower.position).toBe(5n);
    scene.expectState(5);
    expect(scene.events[0]).toMatchObject({ type: "applied", txid: 5n, files: 5, rebased: true });
  });

  test("followReplica() fails without a replica", async () => {
    const scene = new Scene();
    await expect(scene.follow()).rejects.toMatchObject({ code: "NO_BACKUP" });
  });

  test.each(["txid", "timestamp"])("followReplica() refuses the option %s", async (key) => {
    const scene = new Scene();
    await scene.l0(1);
    await expect(scene.follow({ [key]: 1n })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("followReplica() asks for the next file by its name, one request each and one that finds none", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow();
    expect(await follower.poll()).toBe(3n);
    expect(scene.asked()).toEqual([ask(4)]);
    await scene.l0(4, 6);
    expect(await follower.poll()).toBe(6n);
    scene.expectState(6);
    expect(scene.asked()).toEqual([ask(4), ask(5), ask(6), ask(7)]);
  });

  test("followReplica() asks once a second, and less often the longer nothing comes", async () => {
    const scene = new Scene();
    await scene.l0(1);
    await scene.follow();
    const { clock } = scene.platform;
    const perMinute: number[] = [];
    for (let minute = 0; minute < 4; minute++) {
      for (let ms = 0; ms < 60_000; ms += 250) {
        clock.advance(250);
        for (let i = 0; i < 12; i++) await Promise.resolve();
        await new Promise((resolve) => setImmediate(resolve));
      }
      perMinute.push(scene.asked().length);
    }
    expect(perMinute[0]).toBeGreaterThan(25);
    expect(perMinute[0]).toBeLessThanOrEqual(60);
    expect(perMinute[3]).toBeLessThanOrEqual(8);
  });

  test("followReplica() lists all levels once after a quarter of the level 0 retention", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    // The name that is asked for never comes: a bridge has another.
    await scene.level(1, 4, 9);
    scene.platform.clock.advance(74_000);
    await follower.poll();
    expect(scene.asked()).toEqual([ask(4)]);
    scene.platform.clock.advance(1000);
    expect(await follower.poll()).toBe(9n);
    scene.expectState(9);
    expect(scene.asked()).toEqual(["list ltx/", ask(4, 9, 1), ask(10)]);
    scene.platform.clock.advance(75_000);
    await follower.poll();
    expect(scene.asked()).toEqual(["list ltx/"]);
  });

  test("followReplica() lists after many files in a row, to find a shorter way", async () => {
    const scene = new Scene();
    await scene.l0(1);
    const follower = await scene.follow();
    await scene.l0(2, 200);
    await scene.level(1, 25, 180);
    expect(await follower.poll()).toBe(200n);
    scene.expectState(200);
    const asked = scene.asked();
    expect(asked.filter((request) => request.startsWith("list"))).toHaveLength(1);
    expect(asked.length).toBeLessThan(30 + 2 + 20 + 5);
  });

  test.each([
    ["level 1", 1],
    ["level 8", 8],
  ])("followReplica() bridges a gap in level 0 by %s", async (_, level) => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    await scene.level(level, 2, 7);
    await scene.l0(8, 9);
    scene.platform.clock.advance(75_000);
    expect(await follower.poll()).toBe(9n);
    scene.expectState(9);
    expect(scene.events.every(({ type }) => type === "applied")).toBe(true);
  });

  test("followReplica() re-bases from a snapshot where the history between was pruned", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    await scene.level(9, 1, 20);
    await scene.put(0, { minTxid: 21n, pages: { 1: 21, 2: 21 }, commit: 4 });
    scene.platform.clock.advance(75_000);
    expect(await follower.poll()).toBe(21n);
    expect(scene.events.at(-1)).toMatchObject({ type: "applied", rebased: true, files: 2 });
    scene.expectState(21);
  });

  test("followReplica() re-bases from the snapshot that replaced the listed one meanwhile", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    const old = await scene.level(9, 1, 20);
    scene.platform.clock.advance(75_000);
    const { list } = scene.inner;
    let replaced = false;
    scene.inner.list = async function* (options) {
      yield* list.call(scene.inner, options);
      if (replaced) return;
      replaced = true;
      await scene.inner.delete([old]);
      await scene.level(9, 1, 30);
    };
    expect(await follower.poll()).toBe(30n);
    scene.expectState(30);
    expect(follower.error).toBeUndefined();
    expect(scene.events.some(({ type }) => type === "stalled")).toBe(false);
  });

  test("followReplica() says what it lacks where nothing bridges a gap, and goes on when it can", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    await scene.l0(6, 8);
    scene.platform.clock.advance(75_000);
    await expect(follower.poll()).rejects.toMatchObject({ code: "GAP" });
    scene.expectState(3);
    await expect(follower.poll()).rejects.toMatchObject({ code: "GAP" });
    expect(follower.error).toMatchObject({ code: "GAP" });
    await scene.level(9, 1, 8);
    expect(await follower.poll()).toBe(8n);
    scene.expectState(8);
    expect(scene.events.map(({ type }) => type)).toEqual([
      "applied",
      "stalled",
      "applied",
      "recovered",
    ]);
  });

  test("followReplica() says that a replica ends before the copy", async () => {
    const scene = new Scene();
    await scene.l0(1, 5);
    const first = await scene.follow();
    await first.close();
    await scene.inner.delete([4, 5].map((txid) => ask(txid).slice(4)));
    await expect(scene.follow()).rejects.toMatchObject({
      code: "REPLICA_BEHIND",
      txid: 5n,
      newestTxid: 3n,
    });
    scene.expectState(5);
  });

  test("followReplica() resumes at any position that some file continues", async () => {
    const scene = new Scene();
    await scene.l0(1, 5);
    const first = await scene.follow();
    await first.close();
    // The snapshot is older than the position, and the first files are gone.
    await scene.level(9, 1, 2);
    await scene.inner.delete([1, 2, 3, 4, 5].map((txid) => ask(txid).slice(4)));
    await scene.level(1, 3, 6);
    const follower = await scene.follow();
    expect(follower.position).toBe(6n);
    scene.expectState(6);
  });

  test.each([
    ["a flipped bit", (bytes: Uint8Array) => (bytes[bytes.length - 30]! ^= 1)],
    ["another name", undefined],
  ])("followReplica() applies nothing of a file with %s", async (_, damage) => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    const before = scene.target.bytes;
    const txid = damage === undefined ? 5n : 4n;
    const built = buildLtx({
      pageSize: PAGE_SIZE,
      minTxid: txid,
      pages: { 1: 9, 2: 9 },
      commit: 4,
    });
    damage?.(built.bytes);
    const key = ask(4).slice(4);
    await scene.inner.put(key, built.bytes);
    await expect(follower.poll()).rejects.toMatchObject({ object: key });
    expect(scene.target.bytes).toBe(before);
    // A level with the same TXIDs takes its place.
    await scene.level(1, 4, 6);
    expect(await follower.poll()).toBe(6n);
    scene.expectState(6);
  });

  test("followReplica() refuses a file that lacks pages the database grew by", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    await scene.put(0, { minTxid: 4n, pages: { 1: 4, 6: 4 }, commit: 6 });
    await expect(follower.poll()).rejects.toMatchObject({ code: "DAMAGED_FILE" });
    scene.expectState(3);
  });

  test("followReplica() shrinks and grows the copy", async () => {
    const scene = new Scene();
    await scene.l0(1);
    const follower = await scene.follow();
    await scene.put(0, { minTxid: 2n, pages: { 1: 2 }, commit: 2 });
    await follower.poll();
    expect(scene.target.bytes).toHaveLength(2 * PAGE_SIZE);
    await scene.put(0, { minTxid: 3n, pages: { 1: 3, 3: 3 }, commit: 3 });
    await follower.poll();
    expect(scene.target.bytes).toHaveLength(3 * PAGE_SIZE);
  });

  test("followReplica() takes another page size from the snapshot that brings it", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow();
    const pages = { 1: 4, 2: 4 };
    await scene.put(9, { pageSize: 1024, minTxid: 1n, maxTxid: 4n, pages });
    await scene.put(0, { pageSize: 1024, minTxid: 4n, pages });
    await scene.put(0, { pageSize: 1024, minTxid: 5n, pages: { 2: 5 }, commit: 2 });
    expect(await follower.poll()).toBe(5n);
    expect(scene.target.state).toMatchObject({ pageSize: 1024, commit: 2 });
    expect(scene.target.bytes[1024]).toBe(5);
  });

  test("followReplica() tells of a store that fails once, and recovers", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow({ intervalMs: 3_600_000 });
    await scene.l0(4);
    for (let i = 0; i < 2; i++) {
      scene.store.failNext("get", { before: storeFault() });
      scene.store.failNext("list", { before: storeFault() });
      await expect(follower.poll()).rejects.toMatchObject({ code: "STORE" });
    }
    scene.store.reset();
    expect(await follower.poll()).toBe(4n);
    expect(scene.events.map(({ type }) => type)).toEqual([
      "applied",
      "stalled",
      "applied",
      "recovered",
    ]);
  });

  test("followReplica() reads a large file in windows", async () => {
    const scene = new Scene();
    await scene.l0(1);
    const follower = await scene.follow();
    const pages = Object.fromEntries(
      Array.from({ length: 5000 }, (_, i) => [i + 1, { seed: i }] as const),
    );
    await scene.put(0, { minTxid: 2n, pages });
    expect(await follower.poll()).toBe(2n);
    expect(scene.target.bytes).toHaveLength(5000 * PAGE_SIZE);
    expect(scene.events.at(-1)).toMatchObject({ pages: 5000 });
  });

  test("followReplica() lets who waits for a TXID know", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    const follower = await scene.follow();
    await follower.waitFor(2n);
    const waiting = follower.waitFor(5n);
    const aborter = new AbortController();
    const given = follower.waitFor(9n, { signal: aborter.signal });
    const never = follower.waitFor(8n);
    never.catch(() => undefined);
    aborter.abort();
    await expect(given).rejects.toMatchObject({ code: "ABORTED" });
    await scene.l0(4, 5);
    await follower.poll();
    await waiting;
    await follower.close();
    await expect(never).rejects.toMatchObject({ code: "CLOSED" });
    await expect(follower.waitFor(9n)).rejects.toMatchObject({ code: "CLOSED" });
    expect(scene.events.at(-1)).toMatchObject({ type: "closed", position: 5n });
  });

  test("followReplica() ends at once when its start is aborted", async () => {
    const scene = new Scene();
    await scene.l0(1);
    const aborter = new AbortController();
    aborter.abort();
    await expect(scene.follow({ signal: aborter.signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
  });
});

describe("followReplica() where the store announces new objects", () => {
  /** A scene whose store announces what `announce` is given, until it fails. */
  async function watched(): Promise<{
    scene: Scene;
    announce(key: string): void;
    fail(): void;
  }> {
    const scene = new Scene();
    await scene.l0(1, 3);
    let keys = new EventStream<string | undefined>();
    Object.defineProperty(scene.store, "capabilities", {
      value: { ...scene.inner.capabilities, watch: true },
    });
    scene.store.watch = async function* (options) {
      const reader = keys[Symbol.asyncIterator]();
      options?.signal?.addEventListener("abort", () => keys.close());
      options?.ready?.();
      for (;;) {
        const { value, done } = await reader.next();
        if (done === true) return;
        if (value === undefined) throw storeFault("the watch broke off");
        yield { key: value, size: 1, etag: "", lastModified: new Date(0) };
      }
    };
    return {
      scene,
      announce: (key) => keys.emit(key),
      fail() {
        const old = keys;
        keys = new EventStream();
        old.emit(undefined);
      },
    };
  }

  /** Lets everything happen that needs no clock. */
  async function settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  test("followReplica() asks nothing while nothing is announced", async () => {
    const { scene, announce } = await watched();
    const follower = await scene.follow();
    await settle();
    scene.asked();
    for (let minute = 0; minute < 60; minute++) {
      scene.platform.clock.advance(60_000);
      await settle();
    }
    expect(scene.asked()).toEqual([]);
    await scene.l0(4);
    announce(ask(4).slice(4));
    await settle();
    expect(follower.position).toBe(4n);
    expect(scene.asked()).toEqual([ask(4), ask(5)]);
  });

  test("followReplica() lists when a file of another name is announced", async () => {
    const { scene, announce } = await watched();
    const follower = await scene.follow();
    await settle();
    scene.asked();
    announce(await scene.level(1, 4, 9));
    await settle();
    expect(follower.position).toBe(9n);
    expect(scene.asked()[0]).toBe("list ltx/");
    // What it has already is no news.
    announce(ask(2, 9, 2).slice(4));
    await settle();
    expect(scene.asked()).toEqual([]);
  });

  test("followReplica() asks again when the announcements end, and stops when they are back", async () => {
    const { scene, fail } = await watched();
    const follower = await scene.follow();
    await settle();
    fail();
    await settle();
    await scene.l0(4);
    scene.platform.clock.advance(1000);
    await settle();
    expect(follower.position).toBe(4n);
    for (let second = 0; second < 6; second++) {
      scene.platform.clock.advance(1000);
      await settle();
    }
    scene.asked();
    scene.platform.clock.advance(3_600_000);
    await settle();
    expect(scene.asked()).toEqual([]);
  });
});

describe("followReplica() with a pointer", () => {
  const heads = (level: number, min: number, max: number) =>
    encodePointer([{ level, minTxid: BigInt(min), maxTxid: BigInt(max) }]);

  /** A copy at 3 that is opened again when the replica has come to 200. */
  async function resumed(pointer: Uint8Array | undefined): Promise<Scene> {
    const scene = new Scene();
    await scene.l0(1, 3);
    await (await scene.follow()).close();
    await scene.l0(4, 200);
    await scene.level(1, 4, 195);
    if (pointer !== undefined) await scene.inner.put(POINTER_KEY, pointer);
    const follower = await followReplica(scene.store, scene.target, {
      platform: scene.platform,
      retry: ONE_TRY,
      pointer: true,
    });
    open.push(follower);
    expect(await follower.poll()).toBe(200n);
    scene.expectState(200);
    expect(follower.error).toBeUndefined();
    return scene;
  }

  test("followReplica() skips ahead by the file that a pointer names, without a listing", async () => {
    const asked = (await resumed(heads(1, 4, 195))).asked();
    const expected = [`get ${POINTER_KEY}`, ask(4, 195, 1)];
    expect(asked.slice(0, 2)).toEqual(expected);
    expect(asked).toEqual([...expected, ...[196, 197, 198, 199, 200, 201, 201].map((t) => ask(t))]);
  });

  test.each([
    ["missing", undefined],
    ["stale", heads(1, 1, 2)],
    ["damaged", Uint8Array.of(0x7b, 0x22, 0xff)],
    ["about something else", Uint8Array.from('{"levels":{"1":"x.ltx"}}', (c) => c.charCodeAt(0))],
    ["too large", new Uint8Array(5000).fill(0x20)],
    ["lying about a file that is not there", heads(2, 4, 900)],
    ["lying about a snapshot", heads(9, 1, 900)],
  ])(
    "followReplica() is as right, for one or two requests more, with one that is %s",
    async (_, pointer) => {
      const asked = (await resumed(pointer)).asked();
      expect(asked.filter((request) => request.startsWith("list"))).toHaveLength(1);
      expect(asked.length).toBeLessThan(14);
    },
  );

  test("followReplica() does not believe a file that the pointer leads to and that is another's", async () => {
    const scene = new Scene();
    await scene.l0(1, 3);
    await (await scene.follow()).close();
    await scene.l0(4, 6);
    const other = buildLtx({
      pageSize: PAGE_SIZE,
      minTxid: 7n,
      maxTxid: 9n,
      pages: { 1: 9 },
      commit: 4,
    });
    await scene.inner.put(`ltx/3/${name(4, 9)}.ltx`, other.bytes);
    await scene.inner.put(POINTER_KEY, heads(3, 4, 9));
    const follower = await followReplica(scene.store, scene.target, {
      platform: scene.platform,
      retry: ONE_TRY,
      pointer: true,
    });
    open.push(follower);
    await expect(follower.poll()).rejects.toMatchObject({ code: "DAMAGED_FILE" });
    scene.expectState(3);
  });
});
