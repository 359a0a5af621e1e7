/**
 * One captured path: what all its connections through one capture share.
 *
 * @module
 */
import type {
  CommitListener,
  DatabaseImage,
  ImageOptions,
  ListenOptions,
} from "../core/commit-source.ts";
import { allPages } from "../core/lock-page.ts";
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
} from "../core/wal.ts";
import type { CaptureContext } from "./capture-context.ts";
import { type CommitSize, DirtyPages } from "./commit-detector.ts";
import { SQLITE_LOCK_SHARED } from "./constants.ts";
import { CapturedFiles } from "./captured-files.ts";
import { CapturedImage } from "./database-image.ts";
import { VfsError } from "./errors.ts";
import { type FileHeader, readFileHeader } from "./file-header.ts";
import { ImageQueue } from "./image-queue.ts";
import { changesJournalModeOnly, switchedToWal } from "./journal-mode.ts";
import { ListenerSlot, reasonOf } from "./listener-slot.ts";
import { type Changes, LivePages, type ReadPage } from "./live-pages.ts";
import { notOpenError } from "./not-captured.ts";
import type { ParentFile } from "./parent-file.ts";
import { Preparation, type Verdict } from "./preparation.ts";
import type { Sqlite3 } from "./sqlite3.ts";
import type { CommitFrame, WalChange } from "./wal-log.ts";

/** The state of one captured path. */
export class CapturedDatabase {
  readonly name: string;
  /** Number of commits seen. */
  sequence = 0;
  readonly files: CapturedFiles;
  readonly preparation: Preparation;
  readonly #sqlite3: Sqlite3;
  readonly #onIdle: (() => void) | undefined;
  readonly #dirty = new DirtyPages();
  readonly #images: ImageQueue;
  readonly #slot = new ListenerSlot();
  /** The database file is written by a checkpoint. */
  #checkpointing = false;
  /** An own commit frame was written: it does not commit before SQLite says so, and never does where its sync failed. */
  #framesOpen = false;
  /** A write or sync of the WAL failed: what the log holds past the last commit never commits, however whole it is. */
  #walFailed = false;
  /** Change counter before the transaction that writes the main file now, where transactions are kept back. */
  #counterBefore: number | undefined;
  /** The frame being written commits; its number, page and the size it gives the database. */
  #commitFrame: CommitFrame | undefined;

  constructor(name: string, context: CaptureContext) {
    this.name = name;
    this.#sqlite3 = context.sqlite3;
    this.#onIdle = context.onIdle;
    this.files = new CapturedFiles(name, context);
    this.preparation = new Preparation(name, context.wrapper);
    this.#images = new ImageQueue({
      name,
      files: this.files.main,
      atBoundary: (ended) => this.#atBoundary(ended),
      begin: (options, onRelease) => this.#beginImage(options, onRelease),
    });
  }

  /** Whether nothing was written to the main file since the last commit. */
  get clean(): boolean {
    return this.#dirty.clean;
  }

  /** Adds a main file that was just opened. Throws `VfsError` where its header cannot be read. */
  opened(file: ParentFile): void {
    if (this.files.main.size === 0) {
      const { pageSize, commit } = this.files;
      const changeCounter = this.files.counter.last;
      const { wal } = this.files.measure(file);
      const same =
        pageSize === this.files.pageSize &&
        commit === this.files.commit &&
        changeCounter === this.files.counter.last;
      // A WAL changes the database without changing its header.
      if (!same || wal) this.#doubt("the database may have changed while it was not open here");
    }
    this.#images.watch(file, true);
    this.files.main.add(file);
  }

  /** Removes a main file that is about to be closed. */
  closing(file: ParentFile): void {
    this.#images.watch(file, false);
    const { connection } = file;
    this.files.main.delete(file);
    // A connection that closes has no statements left. One that runs a statement goes on without this file.
    if (connection !== 0 && Boolean(this.#sqlite3.capi.sqlite3_next_stmt(connection, 0))) {
      this.#slot.lost(this.name, "it was moved away by sqlite3_deserialize, or detached");
    }
    if (this.files.main.size > 0) return;
    this.#images.fail(notOpenError(this.name, "read"));
    if (this.#slot.listener === undefined) this.#onIdle?.();
  }

  /** The files are given back to their VFS: nothing more can be seen. */
  abandon(): void {
    this.files.main.clear();
    this.files.wals.clear();
    this.#images.fail(notOpenError(this.name, "read"));
    this.#slot.lost(this.name, "the capture was detached");
  }

  /** Adds a WAL that was just opened. */
  walOpened(file: ParentFile): void {
    // Somebody else may have switched to WAL: from here on the header in the file does not count.
    if (this.files.wals.size === 0) this.check();
    this.files.wals.add(file);
    // Without shared memory the connection has the WAL to itself.
    if (this.files.copies.wal !== undefined && !file.methods.sharedMemory) {
      this.files.copies.wal.size = undefined;
      this.files.copies.wal.size = file.size();
    }
  }

  /** Removes a WAL that is about to be closed. */
  walClosing(file: ParentFile): void {
    if (this.files.wals.size === 1) {
      this.check();
      this.#beforeWalReset();
      const main = this.files.any;
      this.files.counter.last = main && this.files.header(main).changeCounter;
      this.files.log.closed();
    }
    this.files.wals.delete(file);
  }

  /** Called before a write to the main file. */
  writing(offset: number, length: number): void {
    const { running } = this.#images;
    if (running.size > 0) for (const image of running) image.beforeWrite(offset, length);
    // What a checkpoint writes was committed before.
    if (this.files.wals.size > 0 || this.#checkpointing) return;
    if (this.preparation.mode !== undefined && this.#counterBefore === undefined) {
      this.#counterBefore = this.files.header(this.files.any as ParentFile).changeCounter;
    }
    this.#dirty.note(offset, length);
  }

  /** Called with the first page of the main file before it is written. */
  headerWriting(page: Uint8Array): void {
    this.files.counter.wrote(readFileHeader(page).changeCounter);
  }

  /** Called before the main file is truncated. */
  truncating(size: number): void {
    for (const image of this.#images.running) image.beforeTruncation(size);
    this.files.copies.main?.forget();
    if (this.files.wals.size === 0 && !this.#checkpointing) this.#dirty.noteTruncation(size);
  }

  /** A checkpoint begins or ends. */
  checkpointing(begins: boolean): void {
    this.#checkpointing = begins;
  }

  /**
   * SQLite asks for the main file to be synced: a transaction is about to commit, or one was just taken back. Throws
   * what the listener refuses the transaction with.
   */
  syncing(file: ParentFile): Verdict {
    if (this.preparation.mode === undefined || this.#dirty.clean || this.files.wals.size > 0)
      return "commit";
    const header = this.files.header(file);
    if (header.changeCounter === (this.#counterBefore ?? this.files.counter.last)) {
      this.#counterBefore = undefined;
      this.preparation.rolledBack(this.#slot.listener);
      return "commit";
    }
    // The file is cut to its new size only after the commit: the header tells it.
    const changes = this.#mainChanges(file, header);
    if (!this.preparation.knows(this.sequence + 1)) return this.#prepare(changes);
    return this.preparation.repeat(changes);
  }

  /** A transaction is committed: called at SQLITE_FCNTL_COMMIT_PHASETWO, the locks still held. Never throws. */
  committed(file: ParentFile): void {
    const { sequence } = this;
    try {
      if (!this.#dirty.clean) this.#deliverMain(file);
      else if (this.files.wals.size > 0 && !this.#walFailed)
        this.#deliverWal(this.#commitFrame?.frame);
    } catch (error) {
      // What was committed is unknown: as if all of it were new.
      this.files.commit = 0;
      this.#doubt(`the commit could not be read: ${reasonOf(error)}`);
    }
    this.#dirty.clear();
    this.#framesOpen = false;
    this.#counterBefore = undefined;
    if (this.sequence > sequence) this.preparation.committed();
    // An empty transaction: in a WAL nothing else tells that the one before it was taken back.
    else this.preparation.rolledBack(this.#slot.listener);
    this.files.copies.main?.forget();
    this.files.copies.wal?.forget();
    this.#images.retry();
  }

  /** What was prepared did not commit, whatever SQLite said meanwhile. */
  takenBack(): void {
    this.preparation.rolledBack(this.#slot.listener);
  }

  /** Called after `file` gave up its write lock, while an image waits. */
  unlocked(file: ParentFile, level: number): void {
    if (level <= SQLITE_LOCK_SHARED) this.#images.retry(file);
  }

  /**
   * Called before a write to the WAL. `bytes` begin with what is written and go on to the end of the header or page
   * that it is a part of; `resumed` says that the write waited for the listener. Throws what the listener refuses the
   * transaction with.
   */
  walWriting(
    file: ParentFile,
    offset: number,
    write: { bytes: Uint8Array; resumed: boolean },
  ): Verdict {
    const { bytes, resumed } = write;
    if (offset === 0) {
      this.#walRestarting(file, bytes.slice(0, WAL_HEADER_SIZE));
      return "commit";
    }
    const wal = this.files.log;
    const frame = wal.frameAt(offset);
    if (frame !== undefined) {
      const { pgno, commit } = decodeWalFrameHeader(bytes);
      this.#commitFrame = commit === 0 ? undefined : { frame, pgno, commit };
      return "commit";
    }
    const written = wal.frameAt(offset - WAL_FRAME_HEADER_SIZE);
    // Whatever failed was given up: this is another transaction.
    if (written !== undefined) this.#walFailed = false;
    const verdict = this.#walPageWriting(file, { written, bytes, resumed });
    if (verdict === "commit" && written !== undefined && written === this.#commitFrame?.frame) {
      this.#framesOpen = true;
    }
    return verdict;
  }

  #walPageWriting(
    file: ParentFile,
    write: { written: number | undefined; bytes: Uint8Array; resumed: boolean },
  ): Verdict {
    const wal = this.files.log;
    const { written, bytes, resumed } = write;
    if (this.preparation.mode === "retry") throw switchedToWal(this.name);
    if (this.preparation.mode === undefined || written === undefined || resumed) return "commit";
    // Headers may be written once more before the commit ends, but a page after them is another transaction's first.
    if (written === wal.end) this.preparation.rolledBack(this.#slot.listener);
    const asked = this.preparation.knows(this.sequence + 1);
    if (asked || written !== this.#commitFrame?.frame) return "commit";
    const { pgno, commit } = this.#commitFrame;
    const frames = wal.uncommitted(file, written);
    frames.set(pgno, written);
    const page = bytes.slice(0, wal.pageSize);
    const change: WalChange = { frames, commit, lowest: commit };
    const read: ReadPage = (number) => (number === pgno ? page : this.files.page(number, frames));
    return this.#prepare(wal.changes(change, this.files.commit, read));
  }

  /** A write or sync of the WAL has failed: the transaction is taken back, though its frames may be whole. */
  walFailed(): void {
    this.#walFailed = true;
  }

  /** Called before the WAL is truncated. */
  walTruncating(size: number): void {
    if (size === 0) {
      this.check();
      this.#beforeWalReset();
      this.files.log.truncated();
    }
    const { wal } = this.files.copies;
    if (wal?.size !== undefined) wal.size = Math.min(wal.size, size);
  }

  #walRestarting(file: ParentFile, header: Uint8Array): void {
    // What others appended to the old log is about to be overwritten.
    if (!this.#framesOpen && !this.#walFailed) this.#deliverWal();
    if (file.size() < WAL_HEADER_SIZE && this.files.log.end > 0) {
      this.#doubt("the WAL was truncated by someone else");
    }
    this.#beforeWalReset();
    this.files.log.restarted(decodeWalHeader(header));
  }

  #beforeWalReset(): void {
    for (const image of this.#images.running) image.beforeWalReset();
    this.files.copies.wal?.forget();
  }

  /** Looks for commits that did not pass through the capture. See `CommitSource.check`. */
  check(): void {
    const file = this.files.any;
    if (file === undefined || !this.#atBoundary()) return;
    try {
      if (this.files.wals.size > 0) {
        const { sequence } = this;
        this.files.copies.wal?.forget();
        // Nobody else commits while one of ours writes; but others may have written over frames it took back.
        if (this.#framesOpen || this.#walFailed || this.files.inWrite) return;
        this.takenBack();
        this.#deliverWal();
        // Whoever committed them may have copied them over pages that an image still needs.
        if (this.sequence !== sequence) this.#images.overrun();
        return;
      }
      const { changeCounter } = this.files.header(file);
      if (this.files.counter.last === undefined || changeCounter === this.files.counter.last)
        return;
      this.files.measure(file);
      this.#doubt("foreign commit: the database was written beside the capture");
    } catch (error) {
      this.#doubt(`the database could not be read: ${reasonOf(error)}`);
    }
  }

  /** Ends the images where somebody else has written what they still need. */
  #checkImages(): void {
    if (this.files.wals.size > 0 && !this.files.log.isCurrent(this.files.wal))
      this.#images.overrun();
    else this.check();
  }

  /**
   * Reads size and page size anew unless a write transaction is open: a hot journal may have been played back since
   * the file was opened, or a WAL recovered.
   */
  refresh(): void {
    // Whoever listens must hear of what has changed.
    if (this.#slot.listener !== undefined) return this.check();
    const file = this.files.any;
    if (file === undefined || !this.#atBoundary()) return;
    if (this.files.wals.size > 0 && !this.#framesOpen && !this.#walFailed)
      this.files.log.advance(this.files.wal);
    this.files.log.doubt = undefined;
    this.files.measure(file);
  }

  /** See `CommitSource.listen`. Throws `VfsError` where there is a listener already. */
  listen(listener: CommitListener, options: ListenOptions = {}): () => void {
    if (this.#slot.listener !== undefined) {
      throw new VfsError({
        operation: "listen to",
        object: this.name,
        what: "its commits already go to another listener",
        next: "Close the other replication first",
      });
    }
    if (this.files.main.size === 0) throw notOpenError(this.name, "listen to");
    this.#slot.listener = listener;
    this.preparation.mode = options.prepare;
    return () => {
      if (this.#slot.listener !== listener) return;
      this.#slot.listener = undefined;
      this.preparation.mode = undefined;
      if (this.files.main.size === 0) this.#onIdle?.();
    };
  }

  /** See `CommitSource.image`. */
  image(options: ImageOptions = {}): Promise<DatabaseImage> {
    if (this.files.main.size === 0) return Promise.reject(notOpenError(this.name, "read"));
    return this.#images.request(options);
  }

  /** A transaction may have ended: images that wait for it begin. */
  retryImages(): void {
    this.#images.retry();
  }

  #beginImage(options: ImageOptions, onRelease: (image: CapturedImage) => void): CapturedImage {
    // What others committed is in the image, so the commits must hold it too or be in doubt.
    this.check();
    const inWal = this.files.wals.size > 0;
    if (!this.#dirty.clean) {
      // Free pages that a rollback did not restore: the image will hold them, so the commits must.
      this.takenBack();
      const file = this.files.any as ParentFile;
      // A database whose first transaction was taken back is empty.
      if (file.size() > 0) this.#deliverMain(file);
      this.#dirty.clear();
      this.files.copies.main?.forget();
    }
    return new CapturedImage({
      name: this.name,
      sequence: this.sequence,
      pageSize: this.files.pageSize,
      commit: this.files.commit,
      pages: options.pages,
      signal: options.signal,
      file: () => this.files.any,
      check: () => this.#checkImages(),
      wal: inWal
        ? { frames: new Map(this.files.log.frames), read: (frame) => this.files.walPage(frame) }
        : undefined,
      onRelease,
    });
  }

  /** The file holds a committed state, except for free pages that a rollback did not restore. */
  #atBoundary(ended?: ParentFile): boolean {
    return this.#dirty.clean || !this.files.isWritten(ended);
  }

  #deliverMain(file: ParentFile): void {
    const trailing = this.files.trailing;
    const { pageSize, commit } = this.files;
    const header = this.files.header(file);
    if (header.pageSize === 0) throw new Error("the header holds no page size");
    const own = this.files.counter.follows(header.changeCounter);
    this.files.take(file, header);
    if (this.files.trailing !== trailing) {
      this.sequence++;
      this.#doubt("the header's database size is not that of the file");
      return;
    }
    const changes = this.#mainChanges(
      file,
      { ...header, commit: this.files.commit },
      { pageSize, commit },
    );
    if (!own && !changes.full && changes.pgnos.length < this.files.commit) {
      this.#doubt("foreign commit: the change counter has moved by more than this commit");
    } else if (!own) {
      this.#images.overrun();
    }
    this.#deliver(changes, commit);
  }

  /** The pages of a transaction in the main file, which has `header` now. */
  #mainChanges(
    file: ParentFile,
    header: FileHeader,
    before: Pick<CommitSize, "pageSize" | "commit"> = this.files,
  ): Changes {
    const { pageSize, commit } = header;
    const full = before.pageSize !== 0 && before.pageSize !== pageSize;
    const pgnos = full
      ? allPages(pageSize, commit)
      : this.#dirty.collect({ pageSize, previousCommit: before.commit, commit });
    const read: ReadPage = (pgno) => file.readPadded((pgno - 1) * pageSize, pageSize);
    return { pageSize, commit, full, pgnos, read };
  }

  #deliverWal(own?: number): void {
    const change = this.files.log.advance(this.files.wal, own);
    const { doubt } = this.files.log;
    if (doubt !== undefined) {
      this.files.log.doubt = undefined;
      this.#doubt(doubt);
    }
    if (change === undefined) return;
    const previousCommit = this.files.commit;
    const changes = this.files.log.changes(change, this.files.commit, (pgno) =>
      this.files.page(pgno),
    );
    this.files.pageSize = changes.pageSize;
    this.files.commit = changes.commit;
    this.#deliver(changes, previousCommit);
  }

  #prepare(changes: Changes): Verdict {
    if (this.#slot.listener === undefined || changesJournalModeOnly(changes, this.files))
      return "commit";
    const pages = new LivePages(changes.pgnos, changes.read);
    try {
      const sequence = this.sequence + 1;
      const { pageSize, commit, full } = changes;
      const { commit: previousCommit } = this.files;
      const transaction = { sequence, pageSize, commit, previousCommit, full, pages };
      return this.preparation.decide(this.#slot.listener, transaction, changes);
    } finally {
      pages.end();
    }
  }

  #deliver(changes: Changes, previousCommit: number): void {
    if (changes.pgnos.length === 0 && changes.commit === previousCommit) return;
    const failure = this.#slot.commit(changes, { sequence: ++this.sequence, previousCommit });
    if (failure !== undefined) this.#doubt(failure);
  }

  #doubt(reason: string): void {
    this.#images.overrun();
    this.#slot.doubt(reason);
  }
}
