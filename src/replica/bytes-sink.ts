/**
 * A sink that keeps the restored database in memory.
 *
 * @module
 */
import type { RestoreSink, RestoreStart } from "./restore-sink.ts";

/** Receives a restored database as bytes. */
export interface BytesSink extends RestoreSink {
  /** The database once the restore has finished; empty before that, and after a restore that failed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Options of {@linkcode bytesSink}. */
export interface BytesSinkOptions {
  /**
   * A database in memory has no WAL, and sqlite-wasm refuses one that is marked for it.
   * @default "rollback"
   */
  readonly journalHeader?: "keep" | "rollback" | undefined;
  /** Runs SQLite's check on the bytes; without it `integrityCheck` is refused for this sink. */
  readonly check?: ((bytes: Uint8Array, kind: "quick" | "full") => string) | undefined;
}

const FIRST_CAPACITY = 1024 * 1024;

/** A sink that keeps the database in memory, in an array that grows with what arrives. */
export function bytesSink(options: BytesSinkOptions = {}): BytesSink {
  const none = new Uint8Array(0);
  let limit = 0;
  let bytes = none;
  let length = 0;
  let finished = none;

  // Grows with what arrives rather than with what was announced: a header may announce terabytes.
  const reserve = (size: number): void => {
    if (size <= bytes.length) return;
    const grown = new Uint8Array(Math.min(limit, Math.max(size, bytes.length * 2, FIRST_CAPACITY)));
    grown.set(bytes.subarray(0, length));
    bytes = grown;
  };
  const { check } = options;
  const checking: Pick<RestoreSink, "check"> =
    check === undefined ? {} : { check: async (kind) => check(bytes.subarray(0, length), kind) };
  return {
    ...checking,
    name: "memory",
    journalHeader: options.journalHeader ?? "rollback",
    get bytes() {
      return finished;
    },
    start(info: RestoreStart) {
      limit = info.size;
      bytes = none;
      length = 0;
      finished = none;
    },
    write(offset, chunk) {
      const end = offset + chunk.length;
      if (end > limit) throw new RangeError(`${end} bytes written, ${limit} announced`);
      reserve(end);
      bytes.set(chunk, offset);
      length = Math.max(length, end);
    },
    truncate(size) {
      if (size > limit) throw new RangeError(`truncated to ${size} bytes, ${limit} announced`);
      reserve(size);
      length = size;
    },
    finish() {
      finished = length === bytes.length ? bytes : bytes.slice(0, length);
      bytes = none;
    },
    abort() {
      bytes = none;
      finished = none;
      length = 0;
    },
  };
}
