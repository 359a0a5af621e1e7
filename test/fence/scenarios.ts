/**
 * Two writers of one replica in two processes, one of which is frozen where it hurts most.
 *
 * @module
 */
import { openReplica, type ObjectStore } from "pagestream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { webPlatform } from "../../src/transports/web-platform.ts";
import { rowsAt, rowsOf } from "./rows.ts";
import { Writer } from "./writer.ts";
import type { Place, Step, WrittenState } from "./writer-process.ts";

/** Short enough that no test waits for it. */
const L0_RETENTION_MS = 100;

/** One replica, from both sides. */
export interface FencePlace {
  readonly place: Place;
  readonly store: ObjectStore;
}

/** What a suite is run on. */
export interface FenceSuite {
  readonly name: string;
  /** Makes an empty place. */
  readonly make: (name: string) => FencePlace | Promise<FencePlace>;
  /** Whether the store can keep a lease. */
  readonly canLease: boolean;
  /** Leaves out what another store shows as well. @default false */
  readonly short?: boolean | undefined;
  /** Judges the newest state by other means too. */
  readonly judge?:
    | ((place: FencePlace, isRight: (database: Uint8Array) => void) => Promise<void>)
    | undefined;
}

const FROZEN_MAINTENANCE: readonly (Step & { readonly title: string })[] = [
  { title: "before a compaction", operation: "put", key: "ltx/1/", when: "before" },
  { title: "before a removal", operation: "delete", key: "ltx/0/", when: "before" },
  { title: "between a compaction and its answer", operation: "put", key: "ltx/1/", when: "after" },
  { title: "between a removal and its answer", operation: "delete", key: "ltx/0/", when: "after" },
];

const FROZEN_UPLOADS: readonly (Step & { readonly title: string })[] = [
  { title: "before an upload", operation: "put", key: "ltx", when: "before" },
  { title: "between an upload and its answer", operation: "put", key: "ltx", when: "after" },
];

/** Registers the tests. */
export function testFence(suite: FenceSuite): void {
  const { name, make, canLease, short = false, judge } = suite;
  describe(`two writers in two processes on ${name}`, () => {
    let a: Writer;
    let b: Writer;
    beforeAll(async () => {
      [a, b] = await Promise.all([Writer.start(), Writer.start()]);
    });
    afterAll(async () => {
      await Promise.all([a, b].map((writer) => writer[Symbol.asyncDispose]()));
    });

    /** Another writer goes on, compacts, and frees the names that the frozen one will use; waits for its own proof to age. */
    const overtake = async (
      { place }: FencePlace,
      told: Told,
      how: { readonly lease: boolean; readonly clears?: boolean },
    ): Promise<void> => {
      const { lease, clears = true } = how;
      const begun = performance.now();
      told.add(await b.call("open", { place, who: "b", lease, takeOver: lease }));
      for (let i = 0; i < 3; i++) told.add(await b.call("write"));
      if (clears) {
        await b.call("compact");
        await b.call("retain");
        told.add(await b.call("write"));
      }
      while (performance.now() - begun <= L0_RETENTION_MS) told.add(await b.call("write"));
    };

    const begin = async (
      at: FencePlace,
      told: Told,
      how: { readonly lease: boolean; readonly maintains?: boolean },
    ): Promise<void> => {
      const { place } = at;
      const l0RetentionMs = L0_RETENTION_MS;
      told.add(await a.call("open", { ...how, place, who: "a", l0RetentionMs }));
      for (let i = 0; i < 3; i++) told.add(await a.call("write"));
    };

    const end = async (at: FencePlace, told: Told): Promise<void> => {
      await told.check(at.store);
      const rows = told.newest;
      await judge?.(at, (database) => expect(rowsOf(database)).toEqual(rows));
      await a.call("close").catch(() => undefined);
      await b.call("close");
      // Nothing that a writer does at its end changes that.
      await told.check(at.store);
    };

    for (const lease of canLease ? [false, true] : [false]) {
      const how = lease ? "with a lease" : "without a lease";
      for (const { title, ...step } of FROZEN_UPLOADS) {
        test(`a writer ${how} frozen ${title} ends in a conflict and harms nothing`, async () => {
          const at = await make(`${step.when}-${lease}`);
          const told = new Told();
          await begin(at, told, { lease });
          const ended = await a.frozenAt(
            step,
            () => a.call("write"),
            () => overtake(at, told, { lease }),
          );
          expect(ended).toMatchObject({ status: "rejected", reason: { code: "CONFLICT" } });
          expect(await a.call("event", ["conflict"])).toBe("conflict");
          await expect(a.call("write")).rejects.toMatchObject({ code: "CONFLICT" });
          await end(at, told);
        });
      }
    }

    test("a writer frozen between an upload and its answer leaves the file that the other stands on", async () => {
      const at = await make("stands");
      const told = new Told();
      await begin(at, told, { lease: false });
      const ended = await a.frozenAt(
        { operation: "put", key: "ltx", when: "after" },
        () => a.call("write"),
        () => overtake(at, told, { lease: false, clears: false }),
      );
      expect(ended).toMatchObject({ status: "rejected", reason: { code: "CONFLICT" } });
      expect(told.newest.filter((row) => row.startsWith("a:"))).toHaveLength(4);
      await end(at, told);
    });

    const maintenance = FROZEN_MAINTENANCE.filter(({ when }) => !short || when === "before");
    test.each(maintenance)("a writer frozen $title harms nothing", async ({ title, ...step }) => {
      const at = await make(title.replaceAll(" ", "-"));
      const told = new Told();
      const key = at.store.layout === "hex" ? step.key.replace("ltx/", "000") : step.key;
      await begin(at, told, { lease: false, maintains: true });
      // It comes first, and would leave nothing to compact.
      await a.call("event", ["snapshot"]);
      await a.freeze(
        { ...step, key },
        async () => told.add(await a.call("write")),
        () => overtake(at, told, { lease: false }),
      );
      // A removal that was under way is over; whatever comes next is refused.
      await expect(a.call("write")).rejects.toMatchObject({ code: "CONFLICT" });
      expect(await a.call("event", ["conflict"])).toBe("conflict");
      await end(at, told);
    });

    test("answers that are lost during a freeze never end in a conflict", async () => {
      const at = await make("lost");
      const told = new Told();
      await begin(at, told, { lease: canLease });
      await a.call("loseAnswers", { operation: "put", count: 3 });
      const ended = await a.frozenAt(
        { operation: "put", key: "ltx", when: "after" },
        () => a.call("write"),
        async () => {
          const begun = performance.now();
          while (performance.now() - begun <= 2 * L0_RETENTION_MS) await rowsAt(at.store);
        },
      );
      expect(ended.status).toBe("fulfilled");
      if (ended.status === "fulfilled") told.add(ended.value);
      told.add(await a.call("write"));
      await told.check(at.store);
      await a.call("close");
    });

    test("takeOver() goes on behind the other's last file", async () => {
      const at = await make("take-over");
      const told = new Told();
      await begin(at, told, { lease: canLease });
      await a.frozenAt(
        { operation: "put", key: "ltx", when: "before" },
        () => a.call("write"),
        () => overtake(at, told, { lease: canLease }),
      );
      told.add(await a.call("takeOver"));
      told.add(await a.call("write"));
      await expect(b.call("write")).rejects.toMatchObject({ code: "CONFLICT" });
      expect(told.newest.some((row) => row.startsWith("b:"))).toBe(false);
      await told.check(at.store);
      await b.call("close").catch(() => undefined);
      await a.call("close");
      await told.check(at.store);
    });

    if (!canLease) return;

    test.each([true, false])(
      "a writer frozen before it prolongs its lease ends in a conflict (after it has ended: %s)",
      async (hasEnded) => {
        const at = await make(`prolong-${hasEnded}`);
        const told = new Told();
        await begin(at, told, { lease: true });
        await a.call("age", hasEnded ? 40_000 : 15_000);
        const ended = await a.frozenAt(
          { operation: "put", key: "lock.json", when: "before" },
          () => a.call("write"),
          () => overtake(at, told, { lease: true }),
        );
        expect(ended).toMatchObject({ status: "rejected", reason: { code: "CONFLICT" } });
        await end(at, told);
      },
    );

    test("a second writer is refused at its start while the first holds the lease, and not after it has closed", async () => {
      const at = await make("refused");
      const told = new Told();
      await begin(at, told, { lease: true });
      const { place } = at;
      await expect(b.call("open", { place, who: "b" })).rejects.toMatchObject({
        code: "CONFLICT",
        message: expect.stringContaining("another writer, a,") as string,
      });
      await a.call("close");
      told.add(await b.call("open", { place, who: "b" }));
      told.add(await b.call("write"));
      await end(at, told);
    });
  });
}

/** What the writers told of the states they uploaded. */
class Told {
  readonly #states = new Map<string, Set<string>>();
  #newest: WrittenState = { txid: "0", rows: [] };

  /** Rows of the newest state. */
  get newest(): readonly string[] {
    return this.#newest.rows;
  }

  add(state: WrittenState): void {
    const known = this.#states.get(state.txid) ?? new Set();
    known.add(state.rows.join(" "));
    this.#states.set(state.txid, known);
    if (BigInt(state.txid) >= BigInt(this.#newest.txid)) this.#newest = state;
  }

  /** Restores every TXID that can be had: each is a state that somebody uploaded, and the newest is the newest. */
  async check(store: ObjectStore): Promise<void> {
    const replica = openReplica(store, { platform: webPlatform });
    const { maxTxid } = await replica.position();
    expect(await rowsAt(store)).toEqual(this.newest);
    for (let txid = 1n; txid <= maxTxid; txid++) {
      const rows = await rowsAt(store, txid);
      const known = this.#states.get(String(txid));
      if (rows === undefined) continue;
      expect([...(known ?? [])], `txid ${txid}`).toContain(rows.join(" "));
    }
  }
}
