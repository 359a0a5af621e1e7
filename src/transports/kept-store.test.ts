import { describe, expect, test } from "vitest";
import type { OpenFile } from "../core/sync-files.ts";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { KeptStore } from "./kept-store.ts";
import { memoryStore } from "./memory.ts";
import type { GetOptions, ObjectStore } from "./object-store.ts";

const KEY = "ltx/9/0000000000000001-0000000000000009.ltx";
const SIZE = 3_000_000;

interface Fixture {
  readonly files: ReturnType<typeof memorySyncFiles>;
  readonly store: ObjectStore;
  /** Bytes that the store was asked for. */
  fetched: number;
  /** A new process: the same file, opened again. */
  open(): KeptStore;
}

function fixture(options: Parameters<typeof memorySyncFiles>[0] = {}): Fixture {
  const files = memorySyncFiles(options);
  files.place("/kept", new Uint8Array(0));
  const inner = memoryStore();
  const made: Fixture = {
    files,
    fetched: 0,
    store: {
      ...inner,
      async get(key: string, range?: GetOptions) {
        const result = await inner.get(key, range);
        const counted = result.body.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            transform(chunk, controller) {
              made.fetched += chunk.length;
              controller.enqueue(chunk);
            },
          }),
        );
        return { ...result, body: counted };
      },
    },
    open: () => new KeptStore(made.store, files.open("/kept", { mode: "write" }) as OpenFile),
  };
  return made;
}

function content(seed = 1): Uint8Array {
  return seededRandom(seed).bytes(SIZE);
}

async function read(store: KeptStore, options: GetOptions): Promise<Uint8Array> {
  return await new Response((await store.get(KEY, options)).body as BodyInit).bytes();
}

describe("KeptStore", () => {
  test("fetches no byte twice that was read to its end, in whatever ranges", async () => {
    const each = fixture();
    const bytes = content();
    const { etag } = await each.store.put(KEY, bytes);
    const first = each.open();
    await read(first, { offset: 0, length: 1_000_000, ifMatch: etag });
    await read(first, { offset: 1_200_000, length: 700_000, ifMatch: etag });
    expect(each.fetched).toBe(1_700_000);
    const second = each.open();
    const whole = await second.get(KEY, { ifMatch: etag });
    expect(whole.size).toBe(SIZE);
    expect(Buffer.compare(await new Response(whole.body as BodyInit).bytes(), bytes)).toBe(0);
    const before = each.fetched;
    const third = each.open();
    for (const [offset, length] of [
      [0, SIZE],
      [999_999, 2],
      [2_999_999, 5],
    ] as const) {
      const got = await read(third, { offset, length, ifMatch: etag });
      expect(Buffer.compare(got, bytes.subarray(offset, offset + length))).toBe(0);
    }
    expect(each.fetched).toBe(before);
    expect(before).toBeLessThan(SIZE + 2_000_000);
  });

  test("keeps what had arrived when a body broke off or was left", async () => {
    const each = fixture();
    const bytes = content();
    const { etag } = await each.store.put(KEY, bytes);
    const first = each.open();
    const reader = (await first.get(KEY, { ifMatch: etag })).body.getReader();
    let had = 0;
    while (had < 600_000) had += (await reader.read()).value?.length ?? 0;
    await reader.cancel();
    each.fetched = 0;
    const second = each.open();
    expect(Buffer.compare(await read(second, { ifMatch: etag }), bytes)).toBe(0);
    expect(each.fetched).toBeLessThanOrEqual(SIZE - 600_000);
  });

  test("never gives bytes of another version, and nothing at all without a tag", async () => {
    const each = fixture();
    const old = await each.store.put(KEY, content(1));
    await read(each.open(), { ifMatch: old.etag });
    const next = await each.store.put(KEY, content(2));
    const store = each.open();
    expect(Buffer.compare(await read(store, { ifMatch: next.etag }), content(2))).toBe(0);
    expect(Buffer.compare(await read(store, {}), content(2))).toBe(0);
  });

  test("ends at a run that a power cut tore, and goes on from there", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const each = fixture();
      const bytes = content(seed);
      const { etag } = await each.store.put(KEY, bytes);
      await read(each.open(), { ifMatch: etag });
      each.files.crash("power", seededRandom(seed));
      const got = await read(each.open(), { ifMatch: etag });
      expect(Buffer.compare(got, bytes), `seed ${seed}`).toBe(0);
    }
  });

  test("begins anew where the listing has nothing of what was kept", async () => {
    const each = fixture();
    const { etag } = await each.store.put(KEY, content());
    await read(each.open(), { ifMatch: etag });
    expect(each.files.bytes("/kept")!.length).toBeGreaterThan(SIZE);
    await each.store.delete([KEY]);
    const other = KEY.replace("9.ltx", "a.ltx");
    await each.store.put(other, Uint8Array.of(1));
    const store = each.open();
    let listed = "";
    for await (const info of store.list()) listed = info.etag;
    await new Response((await store.get(other, { ifMatch: listed })).body as BodyInit).bytes();
    expect(each.files.bytes("/kept")!.length).toBeLessThan(500);
  });

  test("reads on without keeping where the disk is full, and forgets when told to", async () => {
    let isFull = false;
    const each = fixture({
      onOperation({ type }) {
        if (isFull && type === "write") throw new Error("no space left");
      },
    });
    const bytes = content();
    const { etag } = await each.store.put(KEY, bytes);
    const store = each.open();
    isFull = true;
    expect(Buffer.compare(await read(store, { ifMatch: etag }), bytes)).toBe(0);
    expect(each.files.bytes("/kept")!.length).toBe(0);
    isFull = false;
    const next = each.open();
    await read(next, { ifMatch: etag });
    next.forget();
    expect(each.files.bytes("/kept")!.length).toBe(0);
    expect(Buffer.compare(await read(next, { ifMatch: etag }), bytes)).toBe(0);
  });
});
