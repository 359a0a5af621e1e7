/**
 * A database file that nobody has open, as a source without commits: what a snapshot of it is taken from.
 *
 * @module
 */
import type {
  CommitSource,
  DatabaseImage,
  ImageOptions,
  PageImage,
} from "../core/commit-source.ts";
import {
  DATABASE_HEADER_SIZE,
  decodeDatabaseHeader,
  storedPageCount,
} from "../core/database-header.ts";
import { InvalidDatabaseError, throwIfAborted, UnsupportedError } from "../core/errors.ts";
import { allPages } from "../core/lock-page.ts";
import type { SyncFile, SyncFiles } from "../core/sync-files.ts";
import { ForeignAccessError } from "./errors.ts";

/** Bytes of a run. */
const RUN_SIZE = 1 << 20;

/** Options of {@linkcode openFileSource}. */
export interface FileSourceOptions {
  /** The runtime's file calls. */
  readonly files: SyncFiles;
  /** Absolute path of the database, whose lock (`SyncFiles.lock`) the caller holds. */
  readonly path: string;
  /**
   * Something that changes whenever anybody writes to the file, such as its times: a program that does not know our lock
   * is noticed by it.
   */
  readonly fingerprint: () => string;
}

/** A database file at rest. */
export interface FileSource extends CommitSource {
  /** Closes the file. */
  close(): void;
}

/**
 * Opens a database file to read its pages as they are, in whichever journal mode it is. Nothing is written.
 *
 * Throws `UnsupportedError` where a `-wal` or `-journal` beside it holds what is not in the file, and `InvalidDatabaseError` where
 * it is no database or not all of one. An image throws `ForeignAccessError` if the file was written to meanwhile.
 */
export function openFileSource(options: FileSourceOptions): FileSource {
  const { files, path } = options;
  refuseJournals(files, path);
  const file = files.open(path, { mode: "read" });
  try {
    return new FileAtRest(file, options);
  } catch (error) {
    file.close();
    throw error;
  }
}

class FileAtRest implements FileSource {
  readonly name: string;
  readonly pageSize: number;
  readonly commit: number;
  readonly sequence = 0;
  readonly #file: SyncFile;
  readonly #options: FileSourceOptions;
  readonly #fingerprint: string;

  constructor(file: SyncFile, options: FileSourceOptions) {
    this.#file = file;
    this.#options = options;
    this.#fingerprint = options.fingerprint();
    this.name = options.path;
    const bytes = new Uint8Array(DATABASE_HEADER_SIZE);
    const length = file.read(bytes, 0);
    const header = decodeDatabaseHeader(bytes.subarray(0, length), options.path);
    this.pageSize = header.pageSize;
    const size = file.size();
    // As SQLite has it: the size that the header tells counts, unless another program did not keep it.
    this.commit = storedPageCount(header) ?? Math.floor(size / header.pageSize);
    if (this.commit === 0 || this.commit * header.pageSize > size) {
      throw new InvalidDatabaseError({
        operation: "read",
        object: options.path,
        what: `it has ${size} bytes, fewer than its ${this.commit} pages of ${header.pageSize}`,
        next: "Restore it from a replica",
      });
    }
  }

  listen(): () => void {
    return () => undefined;
  }

  image(options: ImageOptions = {}): Promise<DatabaseImage> {
    const { pageSize, commit, sequence } = this;
    const wanted = options.pages?.filter((pgno) => pgno <= commit) ?? allPages(pageSize, commit);
    const runs = (): Generator<readonly PageImage[]> => this.#runs(wanted, options.signal);
    return Promise.resolve({
      sequence,
      pageSize,
      commit,
      runs: (async function* () {
        yield* runs();
      })(),
      runsAtOnce: runs,
    });
  }

  close(): void {
    this.#file.close();
  }

  *#runs(
    wanted: Uint32Array,
    signal: AbortSignal | undefined,
  ): Generator<readonly PageImage[], void, undefined> {
    const { pageSize } = this;
    const buffer = new Uint8Array(RUN_SIZE);
    const most = RUN_SIZE / pageSize;
    for (let at = 0; at < wanted.length; at += most) {
      throwIfAborted(signal, "read", this.name);
      const run = Array.from(wanted.subarray(at, at + most), (pgno, i): PageImage => ({
        pgno,
        data: buffer.subarray(i * pageSize, (i + 1) * pageSize),
      }));
      this.#fill(buffer, run);
      yield run;
    }
    this.#proveUntouched();
  }

  /** Reads neighbours in one call. */
  #fill(buffer: Uint8Array, run: readonly PageImage[]): void {
    const { pageSize } = this;
    for (let from = 0; from < run.length;) {
      const first = run[from]!.pgno;
      let to = from + 1;
      while (to < run.length && run[to]!.pgno === first + to - from) to++;
      const into = buffer.subarray(from * pageSize, to * pageSize);
      if (this.#file.read(into, (first - 1) * pageSize) < into.length) throw this.#touched();
      from = to;
    }
  }

  #proveUntouched(): void {
    if (this.#options.fingerprint() !== this.#fingerprint) throw this.#touched();
    refuseJournals(this.#options.files, this.name);
  }

  #touched(): ForeignAccessError {
    return new ForeignAccessError({
      operation: "read",
      object: this.name,
      what: "another program wrote to it meanwhile",
      next: "Stop that program, or replicate the database from inside it",
    });
  }
}

/** What SQLite would play back at the next open is not in the file. */
function refuseJournals(files: SyncFiles, path: string): void {
  for (const suffix of ["-wal", "-journal"]) {
    if (!isFilled(files, path + suffix)) continue;
    throw new UnsupportedError({
      operation: "read",
      object: path,
      what: `${path}${suffix} beside it holds what is not in the file`,
      next: "Open the database with SQLite once, read something and close it: that puts the file in order",
    });
  }
}

/** A journal whose first byte is zero is finished, as SQLite sees it; a WAL never begins with zero. */
function isFilled(files: SyncFiles, path: string): boolean {
  if ((files.identity(path)?.size ?? 0) === 0) return false;
  const file = files.open(path, { mode: "read" });
  try {
    const first = new Uint8Array(1);
    return file.read(first, 0) === 1 && first[0] !== 0;
  } finally {
    file.close();
  }
}
