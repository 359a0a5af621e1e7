/**
 * One captured path: what all its connections through one capture VFS share.
 *
 * @module
 */
import type {
  CommitListener,
  CommittedPages,
  DatabaseImage,
  ImageOptions,
} from "../core/commit-source.ts";
import { AbortedError, throwIfAborted } from "../core/errors.ts";
import { allPages, DirtyPages } from "./commit-detector.ts";
import { SQLITE_LOCK_SHARED, SQLITE_TXN_WRITE } from "./constants.ts";
import { CapturedImage } from "./database-image.ts";
import { NotCapturedError, VfsError } from "./errors.ts";
import { readFileHeader } from "./file-header.ts";
import type { ParentFile } from "./parent-file.ts";
import type { Sqlite3 } from "./sqlite3.ts";

/** An image that waits for a write transaction to end. */
interface Waiting {
  readonly begin: () => void;
  readonly fail: (error: unknown) => void;
}

/** The state of one captured path. */
export class CapturedDatabase {
  readonly name: string;
  /** Page size at the last commit; 0 while empty. */
  pageSize = 0;
  /** Size in pages at the last commit. */
  commit = 0;
  /** Number of commits seen. */
  sequence = 0;
  /** Open main files of the path. */
  readonly files: Set<ParentFile> = new Set();
  readonly #sqlite3: Sqlite3;
  readonly #dirty = new DirtyPages();
  readonly #images = new Set<CapturedImage>();
  readonly #waiting = new Set<Waiting>();
  #listener: CommitListener | undefined;
  /** Change counter at the last commit, to recognise the file when it is opened again. */
  #changeCounter = 0;
  /** Bytes past the end of the database that a crash between commit and truncation left in the file. */
  #trailing = 0;

  constructor(sqlite3: Sqlite3, name: string) {
    this.#sqlite3 = sqlite3;
    this.name = name;
  }

  /** Whether nobody would miss this state. */
  get idle(): boolean {
    return this.files.size === 0 && this.#listener === undefined;
  }

  /** Adds a file that was just opened. Throws `VfsError` where its header cannot be read. */
  opened(file: ParentFile): void {
    if (this.files.size === 0) {
      const { pageSize, commit } = this;
      const changeCounter = this.#changeCounter;
      this.#measure(file);
      const same =
        pageSize === this.pageSize &&
        commit === this.commit &&
        changeCounter === this.#changeCounter;
      if (!same) this.#doubt("the database changed while it was not open through the capture VFS");
    }
    if (this.#waiting.size > 0) file.methods.watchUnlock(true);
    this.files.add(file);
  }

  /** Removes a file that is about to be closed. */
  closing(file: ParentFile): void {
    if (this.#waiting.size > 0) file.methods.watchUnlock(false);
    this.files.delete(file);
    if (this.files.size > 0) return;
    for (const waiting of this.#waiting) waiting.fail(this.#notOpen("read"));
    this.#waiting.clear();
  }

  /** Called before a write to the main file. */
  writing(offset: number, length: number): void {
    if (this.#images.size > 0) {
      for (const image of this.#images) image.beforeWrite(offset, length);
    }
    this.#dirty.note(offset, length);
  }

  /** Called before the main file is truncated. */
  truncating(size: number): void {
    for (const image of this.#images) image.beforeTruncation(size);
    this.#dirty.noteTruncation(size);
  }

  /** A transaction is committed: called at SQLITE_FCNTL_COMMIT_PHASETWO, the locks still held. Never throws. */
  committed(file: ParentFile): void {
    if (!this.#dirty.clean) {
      try {
        this.#deliver(file);
      } catch (error) {
        // What was committed is unknown: as if all of it were new.
        this.commit = 0;
        this.#doubt(`the commit could not be read: ${text(error)}`);
      }
      this.#dirty.clear();
    }
    if (this.#waiting.size > 0) this.retryWaiting();
  }

  /** Called after `file` gave up its write lock, while an image waits. */
  unlocked(file: ParentFile, level: number): void {
    if (level <= SQLITE_LOCK_SHARED) this.retryWaiting(file);
  }

  /** Begins the waiting images if no write transaction is open; one of `ended` does not count. */
  retryWaiting(ended?: ParentFile): void {
    if (this.#waiting.size === 0 || !this.#atBoundary(ended)) return;
    for (const file of this.files) file.methods.watchUnlock(false);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { begin } of waiting) begin();
  }

  /**
   * Reads size and page size anew unless a write transaction is open: a hot journal may have been played back since
   * the file was opened.
   */
  refresh(): void {
    const file = this.#anyFile();
    if (file !== undefined && this.#atBoundary()) this.#measure(file);
  }

  /** See `CommitSource.listen`. Throws `VfsError` where there is a listener already. */
  listen(listener: CommitListener): () => void {
    if (this.#listener !== undefined) {
      throw new VfsError({
        operation: "listen to",
        object: this.name,
        what: "its commits already go to another listener",
        next: "Close the other replication first",
      });
    }
    if (this.files.size === 0) throw this.#notOpen("listen to");
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  /** See `CommitSource.image`. */
  async image(options: ImageOptions = {}): Promise<DatabaseImage> {
    throwIfAborted(options.signal, "read", this.name);
    if (this.files.size === 0) throw this.#notOpen("read");
    if (this.#atBoundary()) return this.#beginImage(options);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        if (this.#waiting.size === 0) this.#watchUnlock(false);
        reject(
          new AbortedError({
            operation: "read",
            object: this.name,
            what: "the operation was aborted",
            cause: options.signal?.reason,
          }),
        );
      };
      const waiting: Waiting = {
        begin: () => {
          options.signal?.removeEventListener("abort", onAbort);
          try {
            resolve(this.#beginImage(options));
          } catch (error) {
            reject(error);
          }
        },
        fail: (error) => {
          options.signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      if (this.#waiting.size === 0) this.#watchUnlock(true);
      this.#waiting.add(waiting);
      options.signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #watchUnlock(watch: boolean): void {
    for (const file of this.files) file.methods.watchUnlock(watch);
  }

  #beginImage(options: ImageOptions): CapturedImage {
    const image = new CapturedImage({
      name: this.name,
      sequence: this.sequence,
      pageSize: this.pageSize,
      commit: this.commit,
      pages: options.pages,
      signal: options.signal,
      file: () => this.#anyFile(),
      onRelease: (released) => this.#images.delete(released),
    });
    this.#images.add(image);
    return image;
  }

  /** The file holds a committed state, except for free pages that a rollback did not restore. */
  #atBoundary(ended?: ParentFile): boolean {
    if (this.#dirty.clean) return true;
    for (const file of this.files) {
      if (file !== ended && this.#writes(file)) return false;
    }
    return true;
  }

  /** Some parents cannot tell whether anyone holds RESERVED, so both signs are asked for. */
  #writes(file: ParentFile): boolean {
    if (file.connection !== 0) {
      const state = this.#sqlite3.capi.sqlite3_txn_state(file.connection, 0);
      if (state !== SQLITE_TXN_WRITE) return false;
    }
    return file.reserved() ?? true;
  }

  #deliver(file: ParentFile): void {
    const previousPageSize = this.pageSize;
    const previousCommit = this.commit;
    const trailing = this.#trailing;
    this.#measure(file);
    const { pageSize, commit } = this;
    if (pageSize === 0) throw new Error("the header holds no page size");
    const full = previousPageSize !== 0 && previousPageSize !== pageSize;
    if (this.#trailing !== trailing) {
      this.sequence++;
      this.#doubt("the header's database size is not that of the file");
      return;
    }
    const pgnos = full
      ? allPages(pageSize, commit)
      : this.#dirty.collect({ pageSize, previousCommit, commit });
    if (pgnos.length === 0 && commit === previousCommit) return;
    const sequence = ++this.sequence;
    if (this.#listener === undefined) return;
    const pages = new LivePages(file, pageSize, pgnos);
    try {
      this.#listener.commit({ sequence, pageSize, commit, previousCommit, full, pages });
    } catch (error) {
      this.#doubt(`the listener failed: ${text(error)}`);
    } finally {
      pages.end();
    }
  }

  /** Takes page size and size from the file. */
  #measure(file: ParentFile): void {
    const size = file.size();
    const header = readFileHeader(file, size);
    this.pageSize = header.pageSize;
    this.#changeCounter = header.changeCounter;
    const pages = header.pageSize === 0 ? 0 : Math.floor(size / header.pageSize);
    this.commit = Math.min(header.commit, pages);
    this.#trailing = size - header.commit * header.pageSize;
  }

  #doubt(reason: string): void {
    try {
      this.#listener?.needsFull(reason);
    } catch {
      // The transaction is committed; a failing listener has no way to say so to SQLite.
    }
  }

  #anyFile(): ParentFile | undefined {
    for (const file of this.files) return file;
    return undefined;
  }

  #notOpen(operation: string): NotCapturedError {
    return new NotCapturedError({
      operation,
      object: this.name,
      what: "it is not open through the capture VFS, or no longer",
      next: "Open it through the capture VFS, and do not move it with sqlite3_deserialize",
    });
  }
}

/** Pages of a commit that just happened, read back through the parent. */
class LivePages implements CommittedPages {
  readonly pgnos: Uint32Array;
  readonly #file: ParentFile;
  readonly #pageSize: number;
  #live = true;

  constructor(file: ParentFile, pageSize: number, pgnos: Uint32Array) {
    this.#file = file;
    this.#pageSize = pageSize;
    this.pgnos = pgnos;
  }

  read(index: number): Uint8Array {
    const pgno = this.pgnos[index];
    if (pgno === undefined || !this.#live) {
      throw new VfsError({
        operation: "read",
        object: `page ${index} of a commit`,
        what: this.#live ? `it has ${this.pgnos.length} pages` : "the commit's call has returned",
      });
    }
    return this.page(pgno);
  }

  page(pgno: number): Uint8Array {
    return this.#file.read((pgno - 1) * this.#pageSize, this.#pageSize);
  }

  end(): void {
    this.#live = false;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
