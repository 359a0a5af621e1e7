import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collect, failure, readBody, seededRandom, testObjectStore } from "pagestream/testing";
import { formatTimestamp, parseTimestamp } from "pagestream/transports/store-kit";
import { afterAll, describe, expect, test } from "vitest";
import { fileStore } from "./file-store.ts";

const base = mkdtempSync(join(tmpdir(), "pagestream-file-store-"));
let count = 0;
const freshRoot = (): string => join(base, String(++count), "made", "later");

afterAll(() => rmSync(base, { recursive: true, force: true }));

const shared = freshRoot();
testObjectStore(() => fileStore(shared), { describe, test, expect, name: "fileStore() contract" });

const openFiles = (): number =>
  existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;

describe("fileStore", () => {
  test("fileStore() does nothing before it is used, and a missing root is an empty list", async () => {
    const root = freshRoot();
    expect(await collect(fileStore(root).list())).toEqual([]);
    expect(await collect(fileStore(root).list({ prefix: "ltx/0/" }))).toEqual([]);
    expect(existsSync(root)).toBe(false);
  });

  test("put() makes files for the owner alone, unless told otherwise", async () => {
    const root = freshRoot();
    await fileStore(root).put("ltx/0/a", new Uint8Array(1));
    expect((await fs.stat(join(root, "ltx/0/a"))).mode & 0o777).toBe(0o600);
    expect((await fs.stat(join(root, "ltx"))).mode & 0o777).toBe(0o700);
    const open = fileStore(freshRoot(), {
      fileMode: 0o640,
      directoryMode: 0o750,
      description: "x",
    });
    await open.put("ltx/0/a", new Uint8Array(1));
    expect((await fs.stat(join(base, String(count), "made/later/ltx/0/a"))).mode & 0o777).toBe(
      0o640,
    );
    expect((await fs.stat(join(base, String(count), "made/later/ltx"))).mode & 0o777).toBe(0o750);
    expect(open.description).toBe("x");
  });

  test("put() keeps 1,000 random times to the millisecond, before 1970 and after 2038 too", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    const random = seededRandom(20);
    const first = Date.UTC(1905, 0, 1);
    const span = Date.UTC(2400, 0, 1) - first;
    for (let i = 0; i < 1000; i++) {
      const ms = Math.floor(first + (random.next() / 2 ** 32) * span) + random.int(1000);
      const text = formatTimestamp(ms);
      await store.put("a", new Uint8Array(1), { metadata: { "litestream-timestamp": text } });
      const { mtimeNs } = await fs.stat(join(root, "a"), { bigint: true });
      // As Go reads it: whole milliseconds, rounded down.
      const nsInMs = ((mtimeNs % 1_000_000n) + 1_000_000n) % 1_000_000n;
      expect([text, Number((mtimeNs - nsInMs) / 1_000_000n)]).toEqual([text, ms]);
      const { metadata, lastModified } = await store.head("a");
      expect(metadata?.["litestream-timestamp"]).toBe(text);
      expect(lastModified.getTime()).toBe(ms);
    }
  }, 30_000);

  test("put() refuses a time that the file system cannot hold", async () => {
    const root = freshRoot();
    const metadata = { "litestream-timestamp": "0001-01-01T00:00:00Z" };
    const store = fileStore(root);
    expect(await failure(() => store.put("a", new Uint8Array(1), { metadata }))).toBe("STORE");
    expect(await fs.readdir(root)).toEqual([]);
    const bad = { "litestream-timestamp": "yesterday" };
    const put = (): unknown => store.put("a", new Uint8Array(1), { metadata: bad });
    expect(await failure(put)).toBe("INVALID_ARGUMENT");
  });

  test("put() without a time gives the object the time of writing", async () => {
    const store = fileStore(freshRoot());
    const before = Date.now();
    await store.put("a", new Uint8Array(1));
    const ms = parseTimestamp((await store.head("a")).metadata?.["litestream-timestamp"] ?? "");
    expect(ms).toBeGreaterThanOrEqual(before - 100);
    expect(ms).toBeLessThanOrEqual(Date.now() + 100);
  });

  test("put() leaves no temporary file behind, whatever happens", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    await store.put("d/a", new Uint8Array(1));
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      throw new Error("no more");
    }
    const aborter = new AbortController();
    async function* aborting(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      aborter.abort();
    }
    async function* racing(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await store.put("d/raced", new Uint8Array([7]));
    }
    await failure(() => store.put("d/b", failing()));
    await failure(() => store.put("d/c", aborting(), { signal: aborter.signal }));
    expect(await failure(() => store.put("d/raced", racing(), { ifNoneMatch: "*" }))).toBe(
      "PRECONDITION_FAILED",
    );
    await fs.mkdir(join(root, "d/directory/x"), { recursive: true });
    expect(await failure(() => store.put("d/directory", new Uint8Array(1)))).toBe("STORE");
    expect((await fs.readdir(join(root, "d"))).sort()).toEqual(["a", "directory", "raced"]);
    expect([...(await readBody((await store.get("d/raced")).body))]).toEqual([7]);
  });

  test("list() skips files that are being written, and they cannot be keys", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    await store.put("d/a", new Uint8Array(1));
    await fs.writeFile(join(root, "d/.pagestream-0123456789abcdef.tmp"), "half");
    expect((await collect(store.list())).map((info) => info.key)).toEqual(["d/a"]);
    const key = "d/.pagestream-0123456789abcdef.tmp";
    expect(await failure(() => store.get(key))).toBe("STORE");
    expect(await failure(() => store.put(key, new Uint8Array(1)))).toBe("STORE");
  });

  test("symbolic links inside the root are refused, a linked root is fine", async () => {
    const root = freshRoot();
    const outside = freshRoot();
    const store = fileStore(root);
    await store.put("d/a", new Uint8Array(1));
    await fileStore(outside).put("secret", new Uint8Array([5]));
    await fs.symlink(outside, join(root, "linked"));
    await fs.symlink(join(outside, "secret"), join(root, "d/file"));
    for (const key of ["linked/secret", "linked/new", "d/file"]) {
      expect(await failure(() => store.get(key))).toBe("STORE");
      expect(await failure(() => store.head(key))).toBe("STORE");
      expect(await failure(() => store.put(key, new Uint8Array(1)))).toBe("STORE");
      expect(await failure(() => store.delete([key]))).toBe("STORE");
    }
    expect(await failure(() => collect(store.list()))).toBe("STORE");
    expect(await failure(() => collect(store.list({ prefix: "linked/" })))).toBe("STORE");
    expect([...(await fs.readFile(join(outside, "secret")))]).toEqual([5]);
    expect(await fs.readdir(outside)).toEqual(["secret"]);

    const link = join(base, "root-link");
    await fs.symlink(outside, link);
    expect((await collect(fileStore(link).list())).map((info) => info.key)).toEqual(["secret"]);
  });

  test("get() reports a file that shrinks, and closes it", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    await store.put("a", new Uint8Array(3 << 20));
    const before = openFiles();
    const { body } = await store.get("a");
    const reader = body.getReader();
    expect((await reader.read()).value?.length).toBe(1 << 20);
    await fs.truncate(join(root, "a"), (2 << 20) - 5);
    expect(await failure(() => reader.read())).toBe("STORE");
    expect(openFiles()).toBe(before);
  });

  test("get() closes its file at the end, on cancellation, on abort and on refusal", async () => {
    const store = fileStore(freshRoot());
    await store.put("a", new Uint8Array(2 << 20));
    const before = openFiles();
    const aborter = new AbortController();
    for (let i = 0; i < 20; i++) {
      await readBody((await store.get("a")).body);
      await (await store.get("a")).body.cancel();
      await readBody((await store.get("a", { offset: 5 << 20 })).body);
      expect(await failure(() => store.get("a", { ifMatch: "x" }))).toBe("PRECONDITION_FAILED");
      const reader = (await store.get("a")).body.getReader();
      await reader.read();
      await reader.cancel();
    }
    const reader = (await store.get("a", { signal: aborter.signal })).body.getReader();
    await reader.read();
    expect(openFiles()).toBe(before + 1);
    aborter.abort();
    expect(await failure(() => reader.read())).toBe("ABORTED");
    expect(openFiles()).toBe(before);
  });

  test("get() refuses pipes and directories without waiting", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    await store.put("d/a", new Uint8Array(1));
    expect(await failure(() => store.get("d"))).toBe("NOT_FOUND");
    const { execFileSync } = await import("node:child_process");
    execFileSync("mkfifo", [join(root, "d/pipe")]);
    expect(await failure(() => store.get("d/pipe"))).toBe("STORE");
    expect((await collect(store.list())).map((info) => info.key)).toEqual(["d/a"]);
  });

  test("put() makes its directory again when somebody has removed it", async () => {
    const root = freshRoot();
    const store = fileStore(root);
    await store.put("ltx/0/a", new Uint8Array(1));
    await fs.rm(root, { recursive: true });
    await store.put("ltx/0/a", new Uint8Array(2));
    expect((await store.head("ltx/0/a")).size).toBe(2);
  });

  test("list() of a root that is a file is an error, not an empty list", async () => {
    const root = freshRoot();
    await fileStore(root).put("file", new Uint8Array(1));
    expect(await failure(() => collect(fileStore(join(root, "file")).list()))).toBe("STORE");
  });

  test("list() skips objects that are deleted while it runs, and finishes", async () => {
    const store = fileStore(freshRoot());
    for (let i = 100; i < 300; i++) await store.put(`d/${i}`, new Uint8Array(1));
    const seen: string[] = [];
    for await (const info of store.list()) {
      if (seen.length === 0) {
        await store.delete(Array.from({ length: 100 }, (_, i) => `d/${200 + i}`));
      }
      seen.push(info.key);
    }
    expect(seen.slice(0, 64)).toEqual(Array.from({ length: 64 }, (_, i) => `d/${100 + i}`));
    expect(seen).not.toContain("d/299");
  });

  test("the tag differs between files of the same size, time and inode number", async () => {
    const store = fileStore(freshRoot());
    const metadata = { "litestream-timestamp": "2026-01-01T00:00:00Z" };
    const tags = new Set<string>();
    for (let i = 0; i < 20; i++) {
      tags.add((await store.put("a", new Uint8Array([i]), { metadata })).etag);
    }
    expect(tags.size).toBe(20);
  });
});
