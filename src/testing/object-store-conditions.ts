/**
 * The conditions of the object store contract: of several writers, one wins.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import type { PutResult } from "../transports/object-store.ts";
import { failure, readBody } from "./test-kit.ts";
import { streamOf, type StoreCase, type StoreSuite } from "./object-store-suite.ts";

/** Registers the cases of `ifNoneMatch` and `ifMatch`; a store that lacks a capability must refuse to use it. */
export function conditionCases(suite: StoreSuite): void {
  createCases(suite);
  replaceCases(suite);
  deleteCases(suite);
}

function createCases({ expect, storeTest, raceTest, largeSize, races }: StoreSuite): void {
  storeTest("put() with ifNoneMatch creates, and never replaces", async ({ store, can, key }) => {
    const create = (byte: number): Promise<PutResult> =>
      store.put(key("a"), new Uint8Array([byte]), { ifNoneMatch: "*" });
    if (!can.conditionalPut) {
      expect(await failure(() => create(1))).toBe("UNSUPPORTED");
      return;
    }
    await create(1);
    expect(await failure(() => create(2))).toBe("PRECONDITION_FAILED");
    expect(await firstByte(store, key("a"))).toBe(1);
    await store.delete([key("a")]);
    await create(3);
    expect(await firstByte(store, key("a"))).toBe(3);
  });

  raceTest("put() with ifNoneMatch lets exactly one of racing writers win", async (context) => {
    const { store, can, key } = context;
    if (!can.conditionalPut) return;
    for (let round = 0; round < races; round++) {
      const name = key(`race-${round}`);
      const winners = await race(10, (i) =>
        store.put(name, new Uint8Array(100).fill(i), { ifNoneMatch: "*" }),
      );
      expect(winners.failures).toEqual(Array.from({ length: 9 }, () => "PRECONDITION_FAILED"));
      expect([await firstByte(store, name)]).toEqual(winners.indexes);
    }
  });

  storeTest(
    "put() with ifNoneMatch never replaces by a large stream",
    async ({ store, can, key }) => {
      if (!can.conditionalPut) return;
      await store.put(key("a"), new Uint8Array([1]));
      const large = streamOf(new Uint8Array(largeSize).fill(2), [1_000_000]);
      const put = (): unknown => store.put(key("a"), large, { ifNoneMatch: "*" });
      expect(await failure(put)).toBe("PRECONDITION_FAILED");
      expect(await firstByte(store, key("a"))).toBe(1);
    },
  );

  raceTest("put() with ifNoneMatch lets one of racing large streams win", async (context) => {
    const { store, can, key } = context;
    if (!can.conditionalPut || !can.conditionalLarge) return;
    const winners = await race(3, (i) =>
      store.put(key("a"), streamOf(new Uint8Array(largeSize).fill(i), [1_000_000]), {
        ifNoneMatch: "*",
      }),
    );
    expect(winners.failures).toEqual(["PRECONDITION_FAILED", "PRECONDITION_FAILED"]);
    expect([await firstByte(store, key("a"))]).toEqual(winners.indexes);
    expect((await store.head(key("a"))).size).toBe(largeSize);
  });

  storeTest("put() refuses both conditions at once", async ({ store, key }) => {
    const put = (): unknown =>
      store.put(key("a"), new Uint8Array(1), { ifNoneMatch: "*", ifMatch: "x" });
    expect(await failure(put)).toBe("INVALID_ARGUMENT");
  });
}

function replaceCases({ expect, storeTest, raceTest, races }: StoreSuite): void {
  storeTest("put() with ifMatch replaces that version alone", async ({ store, can, key }) => {
    const first = await store.put(key("a"), new Uint8Array([1]));
    const replace = (byte: number, ifMatch: string): Promise<PutResult> =>
      store.put(key("a"), new Uint8Array([byte]), { ifMatch });
    if (!can.conditionalReplace) {
      expect(await failure(() => replace(2, first.etag))).toBe("UNSUPPORTED");
      expect(await firstByte(store, key("a"))).toBe(1);
      return;
    }
    const second = await replace(2, first.etag);
    expect(await failure(() => replace(3, first.etag))).toBe("PRECONDITION_FAILED");
    expect(await firstByte(store, key("a"))).toBe(2);
    await replace(4, second.etag);
    expect(await firstByte(store, key("a"))).toBe(4);
    await store.delete([key("a")]);
    expect(await failure(() => replace(5, second.etag))).toBe("PRECONDITION_FAILED");
    expect(await failure(() => store.head(key("a")))).toBe("NOT_FOUND");
  });

  raceTest("put() with ifMatch loses no update of racing writers", async ({ store, can, key }) => {
    if (!can.conditionalReplace) return;
    let { etag } = await store.put(key("a"), new Uint8Array([99]));
    for (let round = 0; round < Math.min(races, 3); round++) {
      const ifMatch = etag;
      // Never what is there already: where tags are hashes, that would be the same version.
      const bytes = (i: number): Uint8Array => new Uint8Array([i, round]);
      const winners = await race(8, (i) => store.put(key("a"), bytes(i), { ifMatch }));
      expect(winners.failures).toEqual(Array.from({ length: 7 }, () => "PRECONDITION_FAILED"));
      expect([await firstByte(store, key("a"))]).toEqual(winners.indexes);
      etag = (await store.head(key("a"))).etag;
    }
  });
}

function deleteCases({ expect, storeTest }: StoreSuite): void {
  storeTest("deleteOne() with ifMatch removes that version alone", async ({ store, can, key }) => {
    const first = await store.put(key("a"), new Uint8Array([1]));
    const remove = (ifMatch: string): Promise<void> => store.deleteOne(key("a"), { ifMatch });
    if (!can.conditionalDelete) {
      expect(await failure(() => remove(first.etag))).toBe("UNSUPPORTED");
      expect(await firstByte(store, key("a"))).toBe(1);
      return;
    }
    const second = await store.put(key("a"), new Uint8Array([2]));
    expect(await failure(() => remove(first.etag))).toBe("PRECONDITION_FAILED");
    expect(await firstByte(store, key("a"))).toBe(2);
    await remove(second.etag);
    expect(await failure(() => store.head(key("a")))).toBe("NOT_FOUND");
    await remove(second.etag);
  });
}

interface RaceResult {
  /** Who succeeded. */
  readonly indexes: readonly number[];
  /** The codes the others failed with. */
  readonly failures: readonly string[];
}

async function race(count: number, call: (index: number) => Promise<unknown>): Promise<RaceResult> {
  const settled = await Promise.allSettled(Array.from({ length: count }, (_, i) => call(i)));
  const indexes: number[] = [];
  const failures: string[] = [];
  for (const [i, result] of settled.entries()) {
    if (result.status === "fulfilled") indexes.push(i);
    else
      failures.push(isPagestreamError(result.reason) ? result.reason.code : String(result.reason));
  }
  return { indexes, failures };
}

async function firstByte(store: StoreCase["store"], key: string): Promise<number | undefined> {
  return (await readBody((await store.get(key)).body))[0];
}
