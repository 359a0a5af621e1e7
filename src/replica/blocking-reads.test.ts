import { Worker } from "node:worker_threads";
import {
  type BlockingReads,
  blockingReads,
  type BlockingReadsOptions,
  isPagestreamError,
  type PagestreamError,
} from "pagestream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SAMPLE_SIZE, sampleBytes } from "../../test/helpers/read-worker.ts";

let worker: Worker;

async function startWorker(): Promise<Worker> {
  const started = new Worker(new URL("../../test/helpers/read-worker.ts", import.meta.url), {
    // Not those of the test runner.
    execArgv: [],
  });
  await new Promise((resolve, reject) => {
    started.once("message", resolve);
    started.once("error", reject);
  });
  return started;
}

beforeAll(async () => {
  worker = await startWorker();
});
afterAll(async () => {
  await worker.terminate();
});

/** Longer than anything here takes, unless it is to be awaited. */
const PATIENT: BlockingReadsOptions = { deadlineMs: 20_000 };

/** What reading ten bytes of an object throws. */
function failure(reads: BlockingReads, key: string, etag = ""): PagestreamError {
  try {
    reads.read(key, { offset: 0, length: 10, etag });
  } catch (error) {
    if (isPagestreamError(error)) return error;
    throw error;
  }
  throw new Error(`${key} was read`);
}

describe("blockingReads()", () => {
  test("blockingReads() reads exactly the range asked for, through a buffer that grows and one that may not", () => {
    for (const bufferBytes of [undefined, 70_000, 1]) {
      const reads = blockingReads(worker, { ...PATIENT, bufferBytes });
      const lengths = bufferBytes === 1 ? [0, 1, 3] : [1, 100, 65_536, 65_537, 200_000];
      for (const length of lengths) {
        const bytes = reads.read("data", { offset: 1234, length, etag: "" });
        expect(Buffer.compare(bytes, sampleBytes(1234, length)), `${length} bytes`).toBe(0);
        expect(bytes.buffer).toBeInstanceOf(ArrayBuffer);
      }
    }
  });

  test("blockingReads() throws the error of the store: class, code, words and what else it tells", () => {
    const reads = blockingReads(worker, PATIENT);
    const what = "ein Fehler – café";
    expect(failure(reads, "refused")).toMatchObject({
      name: "StoreError",
      code: "STORE",
      message: `Cannot read refused: ${what}. Check the credentials`,
      nextStep: "Check the credentials",
      retryable: false,
      retryAfterMs: 5,
      status: 403,
    });
    expect(failure(reads, "sealed")).toMatchObject({ name: "DecryptError", reason: "wrong-key" });
    expect(failure(reads, "absent")).toMatchObject({ name: "NotFoundError", code: "NOT_FOUND" });
    const other = failure(reads, "data", '"another"');
    expect(other).toMatchObject({ name: "PreconditionFailedError", code: "PRECONDITION_FAILED" });
  });

  test("blockingReads() tells nothing of an error that may hold a signed URL", () => {
    const { code, message } = failure(blockingReads(worker, PATIENT), "foreign");
    expect(code).toBe("STORE");
    expect(message).toBe(
      "Cannot read foreign: the store of the helper worker failed with TypeError",
    );
  });

  test("blockingReads() tries again what broke off, and refuses an object that is too short or an answer too long", () => {
    const reads = blockingReads(worker, PATIENT);
    const bytes = reads.read("flaky", { offset: 7, length: 100, etag: "" });
    expect(bytes).toEqual(sampleBytes(7, 100));
    expect(failure(reads, "long").message).toContain("more than the 10 bytes asked for");
    const past = { offset: SAMPLE_SIZE - 5, length: 10, etag: "" };
    expect(() => reads.read("data", past)).toThrow(`it has ${SAMPLE_SIZE} bytes`);
  });

  test("blockingReads() throws what the store failed with when the deadline ends its retries", () => {
    const { code, message } = failure(blockingReads(worker, { deadlineMs: 300 }), "busy");
    expect(code).toBe("STORE");
    expect(message).toContain("ein Fehler");
  });

  test("blockingReads() gives up at the deadline on a store that is silent, and goes on afterwards", () => {
    const reads = blockingReads(worker, { deadlineMs: 300 });
    const { code, message } = failure(reads, "hang");
    expect(code).toBe("TIMEOUT");
    expect(message).toContain("the store has not answered within 270 ms");
    expect(reads.read("data", { offset: 3, length: 9, etag: "" })).toEqual(sampleBytes(3, 9));
  });

  test("blockingReads() gives up at the deadline on a worker that has ended, and on one that never began", async () => {
    const mortal = await startWorker();
    const reads = blockingReads(mortal, { deadlineMs: 150 });
    const died = failure(reads, "die");
    expect(died).toMatchObject({ name: "TimeoutError", code: "TIMEOUT" });
    expect(died.message).toContain("the helper worker has not answered within 150 ms");
    expect(failure(reads, "data").code).toBe("TIMEOUT");
    const mute = { postMessage: () => undefined };
    expect(failure(blockingReads(mute, { deadlineMs: 50 }), "data").code).toBe("TIMEOUT");
    const ended = {
      postMessage: () => {
        throw new DOMException("Worker has been terminated", "InvalidStateError");
      },
    };
    expect(failure(blockingReads(ended), "data").code).toBe("CLOSED");
  });

  test.for([{ deadlineMs: Infinity }, { deadlineMs: 0 }, { bufferBytes: 0 }, { bufferBytes: 0.5 }])(
    "blockingReads() refuses %j",
    (options) => {
      expect(() => blockingReads(worker, options)).toThrow("is no whole number");
    },
  );

  test("blockingReads() refuses a range that is none", () => {
    const reads = blockingReads(worker, PATIENT);
    for (const range of [
      { offset: -1, length: 1 },
      { offset: 0, length: NaN },
      { offset: Number.MAX_SAFE_INTEGER, length: 1 },
    ]) {
      expect(() => reads.read("data", { ...range, etag: "" })).toThrow("is no whole number");
    }
  });
});
