import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RunWriter } from "./run-writer.ts";

const MIB = 1 << 20;

let directory: string;
let handle: FileHandle;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "pagestream-runs-"));
  handle = await open(join(directory, "file"), "w");
});
afterEach(async () => {
  await handle.close();
  rmSync(directory, { recursive: true, force: true });
});

/** The handle with some of its calls replaced. */
function withCalls(calls: Partial<FileHandle>): FileHandle {
  return { write: handle.write.bind(handle), datasync: () => handle.datasync(), ...calls } as never;
}

describe("RunWriter", () => {
  test("write() takes small pieces, whole runs and gaps in any order of sizes", async () => {
    const content = randomBytes(6 * MIB + 12_345);
    const writer = new RunWriter(handle);
    let offset = 0;
    for (const size of [10, 2 * MIB, 4096, MIB - 4096, MIB, 2 * MIB - 10, 12_345]) {
      await writer.write(offset, content.subarray(offset, offset + size));
      offset += size;
    }
    await writer.write(offset + 5000, content.subarray(0, 100));
    await writer.drain();
    const expected = Buffer.concat([content, Buffer.alloc(5000), content.subarray(0, 100)]);
    expect(offset).toBe(content.length);
    expect(readFileSync(join(directory, "file")).equals(expected)).toBe(true);
  });

  test("write() of a whole run keeps nothing of it once its promise has ended", async () => {
    const writer = new RunWriter(handle);
    const run = new Uint8Array(2 * MIB).fill(1);
    await writer.write(0, run);
    run.fill(2);
    await writer.write(run.length, run);
    run.fill(3);
    await writer.drain();
    const written = readFileSync(join(directory, "file"));
    expect(
      written.equals(Buffer.concat([Buffer.alloc(2 * MIB, 1), Buffer.alloc(2 * MIB, 2)])),
    ).toBe(true);
  });

  test("write() that fails throws what failed, and so does drain()", async () => {
    const failure = new Error("ENOSPC");
    const writer = new RunWriter(withCalls({ write: () => Promise.reject(failure) }));
    await expect(writer.write(0, new Uint8Array(2 * MIB))).rejects.toBe(failure);
    await expect(writer.drain()).rejects.toBe(failure);
  });

  test("drain() throws what a sync on the way has failed with, and waits for it", async () => {
    const failure = new Error("EIO");
    let syncs = 0;
    const datasync = async (): Promise<void> => {
      syncs++;
      await handle.stat();
      throw failure;
    };
    const writer = new RunWriter(withCalls({ datasync }));
    const run = new Uint8Array(2 * MIB);
    for (let i = 0; i < 16; i++) await writer.write(i * run.length, run);
    expect(syncs).toBe(1);
    await expect(writer.drain()).rejects.toBe(failure);
  });
});
