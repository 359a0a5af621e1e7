import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { openTestReader } from "../../test/helpers/open-reader.ts";
import { RandomHistory } from "../../test/helpers/random-history.ts";
import {
  buildLtx,
  fakePlatform,
  type FakePlatform,
  type FaultyStore,
  faultyStore,
  storeFault,
} from "../testing/index.ts";
import { memoryStore } from "../transports/memory.ts";
import type { ObjectInfo, ObjectStore } from "../transports/object-store.ts";
import { encodePointer, POINTER_KEY } from "./pointer.ts";
import type { ReaderEvent, ReaderOptions, ReplicaReader } from "./reader.ts";

/** A replica with a writer, and what a reader of it tells: time stands still until the test moves it. */
class Scene {
  readonly platform: FakePlatform = fakePlatform(1);
  readonly history: RandomHistory = new RandomHistory(memoryStore({ platform: this.platform }), 7);
  readonly store: FaultyStore = faultyStore(this.history.store);
  readonly events: ReaderEvent[] = [];

  async open(options: Partial<ReaderOptions> = {}, store: ObjectStore = this.store) {
    const { platform } = this;
    const reader = await openTestReader(store, { platform, follow: undefined, ...options });
    void (async () => {
      for await (const event of reader.events) this.events.push(event);
    })();
    this.store.reset();
    return reader;
  }

  async commits(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.history.commit();
  }

  async seconds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.platform.clock.advanceAsync(1000);
  }

  async removeL0(from: number, to = from): Promise<void> {
    const keys: string[] = [];
    for (let txid = from; txid <= to; txid++) keys.push(`ltx/0/${name(txid, txid)}`);
    await this.history.store.delete(keys);
  }

  /** What has happened, in a word each. */
  get told(): string {
    return this.events
      .map((event) => (event.type === "view" ? `view ${event.view.txid}` : event.type))
      .join(" ");
  }
}

function name(from: number, to: number): string {
  const hex = (txid: number): string => txid.toString(16).padStart(16, "0");
  return `${hex(from)}-${hex(to)}.ltx`;
}

async function expectNewest(reader: ReplicaReader, { history }: Scene): Promise<void> {
  const view = reader.latest;
  expect(view.txid).toBe(BigInt(history.txid));
  for (let pgno = 1; pgno <= view.commit; pgno++) {
    if (reader.peek(view, pgno) === undefined) await reader.fetch(view, [pgno]);
    expect(reader.peek(view, pgno), `page ${pgno}`).toEqual(history.page(history.txid, pgno));
  }
}

describe("a reader that follows", () => {
  test("asks for the next file by its name, less and less often while nothing comes", async () => {
    const scene = new Scene();
    await scene.commits(3);
    const reader = await scene.open();
    const before = reader.latest;
    await scene.commits(2);
    await scene.seconds(1);
    expect(scene.told).toBe("view 4 view 5");
    expect(scene.store.count("list")).toBe(0);
    expect(scene.store.count("get")).toBe(3);
    expect(before.txid).toBe(3n);
    expect(reader.latest.sequence).toBeGreaterThan(before.sequence);
    await expectNewest(reader, scene);
    scene.store.reset();
    await scene.seconds(600);
    // Six hundred questions, had they gone on as they began; a listing each 75 seconds.
    expect(scene.store.count("get")).toBeLessThan(110);
    expect(scene.store.count("list")).toBeLessThanOrEqual(8);
    expect(reader.lastLookAt?.getTime()).toBeGreaterThan(scene.platform.clock.now() - 12_000);
  });

  test("never asks, and has no timer, where it is told not to follow", async () => {
    const scene = new Scene();
    await scene.commits(1);
    const reader = await scene.open({ follow: false });
    expect(scene.platform.clock.pending).toBe(0);
    await scene.commits(1);
    await scene.seconds(100);
    expect(scene.store.count()).toBe(0);
    expect((await reader.refresh()).txid).toBe(2n);
    expect((await reader.waitFor(2n)).txid).toBe(2n);
    await expect(reader.waitFor(3n)).rejects.toMatchObject({ code: "TXID_NOT_AVAILABLE" });
    expect(scene.platform.clock.pending).toBe(0);
  });

  test("asks once for all who ask while it waits for an answer, and what they get is newer than that", async () => {
    const scene = new Scene();
    await scene.commits(1);
    const reader = await scene.open({ follow: false });
    const first = reader.refresh();
    await scene.commits(1);
    const others = Array.from({ length: 50 }, () => reader.refresh());
    for (const view of await Promise.all(others)) expect(view.txid).toBe(2n);
    await first;
    // Nothing newer; then a file, and again nothing newer.
    expect(scene.store.count()).toBeLessThanOrEqual(3);
  });

  test("asks at no pace that timers do not know", async () => {
    const scene = new Scene();
    await scene.commits(1);
    for (const follow of [{ intervalMs: 0 }, { intervalMs: -1 }, { maxIntervalMs: Infinity }]) {
      await expect(scene.open({ follow })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
  });

  test("begins with a state of the past, and follows when the newest is asked for", async () => {
    const scene = new Scene();
    await scene.commits(4);
    const reader = await scene.open({ target: { txid: 2n } });
    await scene.seconds(100);
    expect([reader.latest.txid, scene.store.count()]).toEqual([2n, 0]);
    expect((await reader.viewAt({})).txid).toBe(4n);
    await scene.commits(1);
    await scene.seconds(2);
    await expectNewest(reader, scene);
  });

  test("bridges a gap by a file of any level, or by a snapshot", async () => {
    const scene = new Scene();
    await scene.commits(3);
    const reader = await scene.open();
    await scene.commits(5);
    await scene.history.write(2, 3, 6);
    await scene.removeL0(4, 5);
    await reader.refresh();
    await scene.seconds(90);
    await expectNewest(reader, scene);
    await scene.commits(5);
    await scene.history.write(9, 1, 11);
    await scene.removeL0(9, 10);
    await scene.seconds(90);
    await expectNewest(reader, scene);
    expect(scene.told).not.toContain("stale");
  });

  test("says that it is stale where nothing leads on, and recovers by itself", async () => {
    const scene = new Scene();
    await scene.commits(3);
    const reader = await scene.open();
    await scene.commits(3);
    await scene.removeL0(5);
    await scene.seconds(2);
    expect(reader.latest.txid).toBe(4n);
    await scene.seconds(100);
    expect(reader.error).toMatchObject({ code: "GAP" });
    expect(scene.told).toBe("view 4 error stale");
    await expect(reader.refresh()).rejects.toMatchObject({ code: "GAP" });
    await scene.history.write(9, 1, 6);
    await scene.seconds(70);
    expect(scene.told).toBe("view 4 error stale view 6 recovered");
    expect(reader.error).toBeUndefined();
    await expectNewest(reader, scene);
  });

  test("keeps the state it has where the newest file is damaged, until that is right", async () => {
    const scene = new Scene();
    await scene.commits(3);
    const reader = await scene.open();
    await scene.commits(1);
    const key = `ltx/0/${name(4, 4)}`;
    const whole = await bytesAt(scene.history.store, key);
    await scene.history.store.put(key, whole.subarray(0, whole.length - 5));
    await scene.seconds(2);
    expect([reader.latest.txid, reader.error?.code]).toEqual([3n, "DAMAGED_FILE"]);
    await scene.history.store.put(key, whole);
    await scene.seconds(20);
    expect(reader.error).toBeUndefined();
    await expectNewest(reader, scene);
  });

  test("goes on after a store that fails, and after a replica that was begun anew says so", async () => {
    const scene = new Scene();
    await scene.commits(3);
    const reader = await scene.open();
    await scene.commits(1);
    scene.store.failNext("get", { before: storeFault() });
    await scene.seconds(1);
    expect([reader.latest.txid, reader.error?.code]).toEqual([3n, "STORE"]);
    await scene.seconds(3);
    await expectNewest(reader, scene);
    expect(scene.told).toBe("error view 4 recovered");
    await scene.removeL0(2, 4);
    await scene.seconds(100);
    expect([reader.latest.txid, reader.error?.code]).toEqual([4n, "REPLICA_BEHIND"]);
  });

  test("mixes no state with those of a replica that was begun anew, and follows that once it is as far", async () => {
    for (const commits of [6, 9]) {
      const scene = new Scene();
      await scene.commits(6);
      const reader = await scene.open({ cacheBytes: 0 });
      const old = reader.latest;
      await scene.removeL0(1, 6);
      scene.platform.clock.advance(1000);
      const anew = new RandomHistory(scene.history.store, 8);
      for (let txid = 1; txid < 6; txid++) await anew.commit();
      await scene.seconds(100);
      expect([reader.latest, reader.error?.code]).toEqual([old, "REPLICA_BEHIND"]);
      while (anew.txid < commits) await anew.commit();
      await scene.seconds(100);
      const view = reader.latest;
      expect([view.txid, reader.error]).toEqual([BigInt(commits), undefined]);
      expect(view).not.toBe(old);
      for (let pgno = 1; pgno <= view.commit; pgno++) {
        await reader.fetch(view, [pgno]);
        expect(reader.peek(view, pgno), `page ${pgno}`).toEqual(anew.page(commits, pgno));
      }
      await expect(reader.fetch(old, [1])).rejects.toBeDefined();
    }
  });

  test("takes the shorter way that the writer's pointer names", async () => {
    const scene = new Scene();
    await scene.commits(2);
    const reader = await scene.open({ pointer: true });
    await scene.commits(20);
    await scene.history.write(1, 1, 22);
    await scene.history.store.put(
      POINTER_KEY,
      encodePointer([{ level: 1, minTxid: 1n, maxTxid: 22n }]),
    );
    await scene.removeL0(3, 21);
    await scene.seconds(90);
    expect(scene.told).toBe("view 22");
    await expectNewest(reader, scene);
  });

  test("starts anew from the snapshot where the page size has changed", async () => {
    const scene = new Scene();
    await scene.commits(2);
    const reader = await scene.open();
    const old = reader.latest;
    const pages = { 1: 1, 2: 2, 3: 3 };
    const snapshot = buildLtx({ minTxid: 1n, maxTxid: 3n, pageSize: 1024, pages });
    await scene.history.store.put(`ltx/9/${snapshot.name}`, snapshot.bytes);
    const l0 = buildLtx({ minTxid: 3n, pageSize: 1024, commit: 3, pages });
    await scene.history.store.put(`ltx/0/${l0.name}`, l0.bytes);
    await scene.seconds(2);
    expect([reader.latest.txid, reader.latest.pageSize]).toEqual([3n, 1024]);
    await reader.fetch(reader.latest, [2]);
    expect(reader.peek(reader.latest, 2)).toEqual(new Uint8Array(1024).fill(2));
    await reader.fetch(old, [1]);
    expect(reader.peek(old, 1)).toEqual(scene.history.page(2, 1));
    expect(reader.changedPages(old, reader.latest).length).toBe(Math.max(old.commit, 3));
  });

  test("waits for a TXID, until the signal or the end of the reader", async () => {
    const scene = new Scene();
    await scene.commits(1);
    const reader = await scene.open();
    const third = reader.waitFor(3n);
    const never = reader.waitFor(9n);
    const aborter = new AbortController();
    const aborted = reader.waitFor(8n, { signal: aborter.signal });
    const refused = expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
    aborter.abort();
    await refused;
    await scene.commits(2);
    await scene.seconds(2);
    expect((await third).txid).toBe(3n);
    const closed = expect(never).rejects.toMatchObject({ code: "CLOSED" });
    await reader.close();
    await closed;
    expect(scene.platform.clock.pending).toBe(0);
    expect(scene.told).toContain("closed");
  });

  test("finds its pages in the files of higher levels once those of level 0 are gone, and keeps what it has in memory", async () => {
    const scene = new Scene();
    await scene.commits(40);
    const reader = await scene.open();
    await expectNewest(reader, scene);
    await scene.history.write(1, 1, 30);
    await scene.removeL0(1, 30);
    await scene.seconds(90);
    expect(reader.latest.fileCount).toBeLessThanOrEqual(11);
    const pages = reader.stats.pages;
    await expectNewest(reader, scene);
    expect(reader.stats.pages).toBe(pages);
  });

  test("looks when the store says that there is something", async () => {
    const scene = new Scene();
    await scene.commits(1);
    const { store, platform } = scene;
    const told: ((info: ObjectInfo) => void)[] = [];
    const watching: ObjectStore = {
      ...store,
      get: store.get,
      list: store.list,
      capabilities: { ...store.capabilities, watch: true },
      async *watch({ ready, signal } = {}) {
        ready?.();
        for (;;) {
          yield await new Promise<ObjectInfo>((resolve, reject) => {
            told.push(resolve);
            signal?.addEventListener("abort", () => reject(new Error("aborted")));
          });
        }
      },
    };
    const reader = await scene.open({}, watching);
    await platform.clock.advanceAsync(0);
    store.reset();
    await scene.seconds(300);
    expect(store.count()).toBe(0);
    await scene.commits(1);
    told[0]?.(await store.head(`ltx/0/${name(2, 2)}`));
    await platform.clock.advanceAsync(0);
    await platform.clock.advanceAsync(0);
    await expectNewest(reader, scene);
  });
});
