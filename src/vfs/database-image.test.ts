import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, test } from "vitest";
import type { DatabaseImage } from "../core/commit-source.ts";
import { isPagestreamError } from "../core/errors.ts";
import { installCaptureVfs } from "./capture-vfs.ts";
import { CapturedImage } from "./database-image.ts";
import { installMemoryVfs } from "./memory-vfs.ts";
import type { ParentFile } from "./parent-file.ts";

const sqlite3 = await sqlite3InitModule();
const memory = installMemoryVfs(sqlite3);
const vfs = installCaptureVfs(sqlite3, { parent: memory.name });
type Database = InstanceType<typeof sqlite3.oo1.DB>;

let paths = 0;
function database(rows: number): { db: Database; path: string } {
  const path = `image-${++paths}.db`;
  const db = new sqlite3.oo1.DB(`file:${path}?vfs=${vfs.name}`, "c");
  db.exec(
    "pragma page_size=4096; pragma journal_mode=memory; create table t(a integer primary key, b)",
  );
  insert(db, rows);
  return { db, path };
}

function insert(db: Database, rows: number): void {
  db.exec(`with recursive c(i) as (select 1 union all select i+1 from c where i<${rows})
    insert into t(b) select randomblob(3000) from c`);
}

async function collect(image: DatabaseImage, between = (): void => {}): Promise<Uint8Array> {
  const bytes = new Uint8Array(image.commit * image.pageSize).fill(0xee);
  for await (const run of image.runs) {
    for (const { pgno, data } of run) bytes.set(data, (pgno - 1) * image.pageSize);
    between();
  }
  return bytes;
}

test("image() is the state of its boundary while commits, growth and VACUUM go on", async () => {
  const { db, path } = database(1500);
  const source = vfs.source(db);
  const promise = source.image();
  const then = memory.read(path)!;
  const { sequence } = source;
  // The boundary was fixed by the call itself: this is already after it.
  db.exec("update t set b=randomblob(3000) where a%7=0");
  const image = await promise;
  expect(image).toMatchObject({ sequence, pageSize: 4096, commit: then.length / 4096 });
  let step = 0;
  const bytes = await collect(image, () => {
    step++;
    if (step === 1) db.exec("update t set b=randomblob(3000) where a%5=0");
    if (step === 2) db.exec("delete from t where a>300");
    if (step === 3) db.exec("vacuum");
    if (step === 4) insert(db, 50);
  });
  expect(step).toBeGreaterThan(4);
  expect(Buffer.compare(bytes, then)).toBe(0);
  db.close();
});

test("image() hands out runs of at least 1 MiB, and pages on request only", async () => {
  const { db, path } = database(900);
  const source = vfs.source(db);
  const sizes: number[] = [];
  for await (const run of (await source.image()).runs) sizes.push(run.length * 4096);
  for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThanOrEqual(1 << 20);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(memory.read(path)!.length);

  const wanted = await source.image({ pages: new Uint32Array([2, 3, 7, 100_000]) });
  const pgnos: number[] = [];
  for await (const run of wanted.runs) pgnos.push(...run.map(({ pgno }) => pgno));
  expect(pgnos).toEqual([2, 3, 7]);
  await expect(source.image({ pages: new Uint32Array([3, 3]) })).rejects.toThrow(/ascending/u);
  db.close();
});

test("image() of an empty database has no pages", async () => {
  const db = new sqlite3.oo1.DB(`file:image-empty.db?vfs=${vfs.name}`, "c");
  const image = await vfs.source(db).image();
  expect(image).toMatchObject({ sequence: 0, pageSize: 0, commit: 0 });
  expect(await collect(image)).toHaveLength(0);
  db.close();
});

for (const end of ["commit", "rollback"]) {
  test(`image() waits for a transaction that spilled until its ${end}`, async () => {
    const { db, path } = database(100);
    const source = vfs.source(db);
    db.exec("pragma cache_size=3; begin; update t set b=randomblob(2900)");
    let settled = false;
    const promise = source.image().then((image) => {
      settled = true;
      return image;
    });
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(settled).toBe(false);
    db.exec(end);
    const then = memory.read(path)!;
    const { sequence } = source;
    // No other statement has to come along: the end itself begins the image.
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(settled).toBe(true);
    db.exec("update t set b=randomblob(2800)");
    const image = await promise;
    expect(image.sequence).toBe(sequence);
    expect(Buffer.compare(await collect(image), then)).toBe(0);
    db.close();
  });
}

test("image() that waits ends with its signal, and with the last connection", async () => {
  const { db } = database(100);
  const source = vfs.source(db);
  db.exec("pragma cache_size=3; begin; update t set b=randomblob(2900)");
  const controller = new AbortController();
  const aborted = source.image({ signal: controller.signal });
  controller.abort();
  await expect(aborted).rejects.toSatisfy((error) => isPagestreamError(error, "ABORTED"));
  // Closing rolls back, which begins the image, and then there is nothing left to read it through.
  const waiting = source.image();
  db.close();
  await expect(waiting.then((image) => collect(image))).rejects.toSatisfy((error) =>
    isPagestreamError(error, "NOT_CAPTURED"),
  );
});

test("image() ends with its signal between two runs", async () => {
  const { db } = database(900);
  const controller = new AbortController();
  const image = await vfs.source(db).image({ signal: controller.signal });
  const iterator = image.runs[Symbol.asyncIterator]();
  await iterator.next();
  controller.abort();
  await expect(iterator.next()).rejects.toSatisfy((error) => isPagestreamError(error, "ABORTED"));
  await expect(vfs.source(db).image({ signal: controller.signal })).rejects.toThrow(/aborted/u);
  db.close();
});

test("image() fails once its database is closed", async () => {
  const { db } = database(900);
  const image = await vfs.source(db).image();
  const iterator = image.runs[Symbol.asyncIterator]();
  await iterator.next();
  db.close();
  await expect(iterator.next()).rejects.toThrow(/was closed/u);
});

/** A file of `commit` pages of 512 bytes, each filled with its number. */
function fakeFile(commit: number): { file: ParentFile; bytes: Uint8Array; reads: () => number } {
  const bytes = new Uint8Array(commit * 512).map((_, i) => Math.floor(i / 512) + 1);
  let reads = 0;
  const file = {
    read: (offset: number, amount: number) => {
      reads++;
      return bytes.subarray(offset, offset + amount);
    },
  } as unknown as ParentFile;
  return { file, bytes, reads: () => reads };
}

function fakeImage(
  commit: number,
  savedBound: number,
): { image: CapturedImage; bytes: Uint8Array; reads: () => number; released: () => number } {
  const { file, bytes, reads } = fakeFile(commit);
  let released = 0;
  const image = new CapturedImage({
    name: "fake",
    sequence: 1,
    pageSize: 512,
    commit,
    pages: undefined,
    signal: undefined,
    file: () => file,
    onRelease: () => released++,
    savedBound,
  });
  return { image, bytes, reads, released: () => released };
}

test("CapturedImage is refused once the saved pages pass the bound, and keeps none of them", async () => {
  const { image, released } = fakeImage(20, 2 * 512);
  for (let pgno = 3; pgno <= 5; pgno++) image.beforeWrite((pgno - 1) * 512, 512);
  expect(released()).toBe(1);
  const refused = await collect(image).catch((error: unknown) => error);
  expect(isPagestreamError(refused, "IMAGE_OVERRUN")).toBe(true);
});

test("CapturedImage.runsAtOnce() reads all pages without a turn in between", () => {
  const { image, bytes, released } = fakeImage(20, 2 * 512);
  const read: number[] = [];
  for (const run of image.runsAtOnce()) for (const { data } of run) read.push(...data);
  expect(read).toEqual([...bytes]);
  expect(released()).toBe(1);
});

test("CapturedImage saves an old page once and a cut-off tail whole", async () => {
  const { image, bytes, reads } = fakeImage(10, 1 << 20);
  const then = bytes.slice();
  image.beforeWrite(512, 512);
  image.beforeWrite(512, 512);
  expect(reads()).toBe(1);
  image.beforeTruncation(512 * 8);
  expect(reads()).toBe(3);
  bytes.fill(0xff, 512, 1024);
  bytes.fill(0xff, 512 * 8);
  expect(Buffer.compare(await collect(image), then)).toBe(0);
});

test("CapturedImage gives up its pages when its iterator is returned before the first run", async () => {
  const { image, released, reads } = fakeImage(10, 1 << 20);
  const iterator = image.runs[Symbol.asyncIterator]();
  await iterator.return!();
  expect(released()).toBe(1);
  image.beforeWrite(0, 512 * 10);
  expect(reads()).toBe(0);
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
});
