/**
 * Collects commits in the open group and decides when it becomes a file.
 *
 * A group is cut when its cadence says so, at once when it is late, large or waited for, and not at all while files
 * would only pile up. Usually its images are at hand; where they are not, because there were too many to keep or because
 * the file must hold every page, they are read from the database while later commits collect in the next group.
 *
 * @module
 */
import type {
  CommitListener,
  CommitSource,
  CommittedTransaction,
  DatabaseImage,
} from "../core/commit-source.ts";
import { isPagestreamError, type PagestreamError, UnsupportedError } from "../core/errors.ts";
import type { Clock } from "../core/platform.ts";
import { CommitGroup } from "./commit-group.ts";
import type { LogContext } from "./commit-log.ts";
import type { GroupCadence } from "./group-cadence.ts";
import type { CutState, CutterMark, L0Cutter } from "./l0-cutter.ts";
import { type ImageReader, readImage, releaseImage } from "./read-image.ts";
import type { StagedFile } from "./staged-file.ts";

/** Attempts to read chosen pages at one boundary before all pages are read instead. */
const IMAGE_ATTEMPTS = 3;
/** Pause before a cut is tried again that local storage refused. */
const CUT_RETRY_MS = 1_000;
const NEVER = Number.NEGATIVE_INFINITY;

/** Who is told what a {@linkcode CommitCollector} does. */
export interface CollectorEvents {
  /** Whether a file may be cut now as far as the store and the user are concerned. */
  mayCut(): boolean;
  /** Whether a file would only wait behind others, so that the group may grow until somebody wants it. */
  mayWait(): boolean;
  /** Why replication has stopped; a file whose reading ends after that is dropped. */
  stopped(): PagestreamError | undefined;
  /** A commit has been taken in. */
  committed(pages: number): void;
  /** Files were cut, to be uploaded in this order. `settles` is the number of doubts that end with them. */
  cut(files: readonly StagedFile[], settles: number | undefined): void;
  /** A file was cut whose transaction is kept back. `settles` as for `cut`. */
  held(files: readonly StagedFile[], settles: number | undefined): void;
  /** A cut failed; what was collected stays, and it is tried again. */
  failed(error: unknown): void;
  /** The database can no longer be observed. */
  lost(error: Error): void;
  /** Images were dropped, or continuity is in doubt: later files cost more. */
  degraded(reason: string): void;
  /** The database is empty as of commit `sequence`: there is nothing to save, and `settles` doubts are over. */
  empty(sequence: number, settles: number): void;
  /** TXID `from` will not be: its commits are part of `to`. */
  lowered(from: bigint, to: bigint): void;
}

/** A file cut before its transaction commits. */
export interface HeldCut {
  readonly file: StagedFile;
  /** What the file holds beside the transaction. */
  readonly earlier: CommitGroup;
  /** Where the cutter stood. */
  readonly mark: CutterMark;
}

/** What a {@linkcode CommitCollector} works with. */
export interface CollectorOptions {
  readonly source: CommitSource;
  readonly clock: Clock;
  readonly events: CollectorEvents;
  /** When the next group is due. */
  readonly cadence: GroupCadence;
  /** Bytes of images after which a group is cut at once. */
  readonly groupBytes: number;
  /** Bytes of images kept while nothing can be cut. */
  readonly stagingBytes: number;
}

/** The open group of one database and its way into files. */
export class CommitCollector implements CommitListener {
  readonly #options: CollectorOptions;
  #cutter: L0Cutter | undefined;
  #group = new CommitGroup();
  /** A group whose pages are being read from the database, while later commits collect in the next group. */
  #imaging: CommitGroup | undefined;
  #imageTask: Promise<void> = Promise.resolve();
  /** Counts readings: one that was abandoned finds another number here. */
  #reading = 0;
  #doubts = 0;
  #landed = 0n;
  /** The last commit that is in a file. */
  #cutSequence = -1;
  #lastCut = NEVER;
  /** After a failed cut: when to try again. */
  #retryAt = NEVER;
  /** Whether somebody waits for a cut, whatever the cadence says. */
  #urgent = false;
  #queued = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** How often the source doubted its continuity. */
  get doubts(): number {
    return this.#doubts;
  }

  /** The newest state cut into a file; `undefined` before {@linkcode begin}. */
  get last(): CutState | undefined {
    return this.#cutter?.last;
  }

  /** TXID that the last commit carries or will carry. */
  get localTxid(): bigint {
    const staged = this.#cutter?.last.txid ?? 0n;
    return staged + (this.#imaging ? 1n : 0n) + (this.#pending ? 1n : 0n);
  }

  /** TXID of the last withdrawn file that landed after all: what was cut for it here is not its state. */
  get landed(): bigint {
    return this.#landed;
  }

  /** Where a transaction that commits now belongs; its group is not known to continue anything before {@linkcode begin}. */
  get next(): LogContext {
    const { txid, time } = this.last ?? { txid: 0n, time: 0n };
    const continues = this.#cutter !== undefined && this.#group.complete;
    return { txid: txid + (this.#imaging ? 2n : 1n), time, continues };
  }

  /** The open group. */
  get group(): CommitGroup {
    return this.#group;
  }

  /** Whether every commit is in a file. */
  get isEmpty(): boolean {
    return this.#group.isEmpty && this.#imaging === undefined;
  }

  /** Whether pages are being read from the database for the file before the open group's. */
  get isReading(): boolean {
    return this.#imaging !== undefined;
  }

  /** Bytes of memory held for commits that are in no file yet. */
  get heldBytes(): number {
    return this.#group.heldBytes + (this.#imaging?.heldBytes ?? 0);
  }

  /** Monotonic time of the oldest commit that is in no file yet. */
  get since(): number | undefined {
    return this.#imaging?.since ?? this.#group.since;
  }

  /**
   * Says where the files go on. What was collected so far is kept: all of it when `proven` is undefined, since then the
   * next file holds every page, else what came after that commit, and the pages that differed at it.
   */
  begin(
    cutter: L0Cutter,
    proven: { readonly sequence: number; readonly differing: Uint32Array } | undefined,
  ): void {
    this.#cutter = cutter;
    if (proven === undefined) {
      this.#group.makeFull();
    } else {
      this.#group.forgetUpTo(proven.sequence);
      this.#cutSequence = proven.sequence;
      if (proven.differing.length > 0) this.#group.addNumbers(proven.differing);
      if (cutter.last.pageSize === 0) cutter.startFromEmpty();
      if (!this.#group.isEmpty) this.#group.setIncomplete();
    }
    this.schedule();
  }

  /** Makes the next file hold every page. */
  makeFull(): void {
    this.#group.makeFull();
  }

  /** Cuts now, and goes on doing so until nothing waits. */
  hurry(): void {
    this.#urgent = true;
    this.#cutNow();
  }

  /** Cuts what is there now, as far as files may be cut. */
  cut(): void {
    this.#cutNow();
  }

  /**
   * The whole database at a boundary at which a file was cut, and that file's state; `undefined` where a commit slipped
   * in, or nothing may be cut.
   */
  async imageAtCut(
    signal: AbortSignal | undefined,
  ): Promise<{ readonly image: DatabaseImage; readonly cut: CutState } | undefined> {
    this.#cutNow();
    const image = await this.#options.source.image({ signal });
    // A transaction that was open at the call has committed since, and nothing after it: cut here.
    if (this.#group.lastSequence === image.sequence) this.#cutNow();
    const exact = !this.#pending && this.#imaging === undefined;
    if (exact && this.#cutSequence === image.sequence) {
      return { image, cut: (this.#cutter as L0Cutter).last };
    }
    await releaseImage(image);
    return undefined;
  }

  /** Ends the timer; resolves when nothing is read from the database any more. */
  async end(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#imageTask;
  }

  commit(transaction: CommittedTransaction): void {
    const { pages, pageSize, full } = transaction;
    const large = pages.pgnos.length * pageSize > this.#options.groupBytes;
    if (large || full) this.#cutNow();
    if ((large || full) && this.#mayCut && !this.#pending) this.#cutTransaction(transaction);
    else this.#collect(transaction, large);
    this.#options.events.committed(pages.pgnos.length);
    this.schedule();
  }

  /**
   * Cuts a transaction that has not committed yet, with all that waits, into one file; what was being read for another
   * file goes into it. The file is in nobody's hands yet. Throws, and changes nothing, where that cannot be done.
   */
  cutHeld(transaction: CommittedTransaction): HeldCut {
    const cutter = this.#cutter as L0Cutter;
    const { clock, events, source } = this.#options;
    const { pageSize } = cutter.last;
    if (pageSize !== 0 && pageSize !== transaction.pageSize) {
      throw new UnsupportedError({
        operation: "commit",
        object: source.name,
        what: "a transaction that changes the page size takes two files and cannot be held",
        next: "Replicate with durability async while the page size is changed",
      });
    }
    this.#abandonReading();
    const mark = cutter.mark();
    const earlier = this.#group;
    const now = clock.monotonic();
    const files = earlier.isEmpty
      ? cutter.cutTransaction(transaction, now)
      : cutter.cutMerged(earlier, transaction);
    try {
      // After a crash it is what proves that the replica is ahead of this database by a file of its own.
      cutter.sync(files);
    } catch (error) {
      cutter.moveTo(mark);
      throw error;
    }
    this.#group = new CommitGroup();
    this.#lastCut = now;
    this.#cutSequence = transaction.sequence;
    events.held(files, earlier.content === "full" ? this.#doubts : undefined);
    return { file: files.at(-1) as StagedFile, earlier, mark };
  }

  /** Whether the database has any page to put in place of a held file's. */
  canReplace(file: StagedFile): boolean {
    return this.#options.source.commit > 0 && file.pageCount > 0;
  }

  /** Takes back a held file that may or may not be in the store; another takes its TXID. */
  withdraw(held: HeldCut): void {
    this.#abandonReading();
    (this.#cutter as L0Cutter).moveTo(held.mark);
    this.#group.prepend(held.earlier);
    this.bringBack(held.file);
  }

  /** A withdrawn file has landed: the one that was to take its TXID comes after it. */
  superseded(landed: StagedFile, instead: StagedFile): void {
    const { maxTxid: txid, pageSize, commit, timestamp: time } = landed.header;
    (this.#cutter as L0Cutter).moveTo({ last: { txid, pageSize, commit, time }, fromEmpty: false });
    this.#landed = txid;
    if (instead.full) this.#group.makeFull();
    this.bringBack(instead, landed);
  }

  /** Has a file cut although nothing was committed: it holds the first page. */
  touch(): void {
    this.#group.addNumbers([1]);
    this.hurry();
  }

  /** Leaves TXIDs up to `txid` to files of an earlier life; the next one, with every page, comes after them. */
  leap(txid: bigint): void {
    this.#abandonReading();
    const cutter = this.#cutter as L0Cutter;
    cutter.moveTo({ last: { ...cutter.last, txid }, fromEmpty: false });
    this.#cutSequence = -1;
    this.#group.makeFull();
    this.hurry();
  }

  /** The database does not hold what files say: its own images of those pages come with the next one. */
  bringBack(...files: readonly StagedFile[]): void {
    this.#cutSequence = -1;
    for (const { digests, header } of files) {
      const pgnos = Array.from({ length: digests.length }, (_, i) => digests.pgno(i));
      for (let pgno = header.commit + 1; pgno <= this.#options.source.commit; pgno++) {
        pgnos.push(pgno);
      }
      this.#group.addNumbers(pgnos);
    }
    this.hurry();
  }

  /** A transaction whose file was cut before has committed. */
  committed(transaction: CommittedTransaction): void {
    this.#options.events.committed(transaction.pages.pgnos.length);
    this.schedule();
  }

  needsFull(reason: string): void {
    this.#doubts++;
    this.#group.makeFull();
    this.#options.events.degraded(reason);
    this.schedule();
  }

  lost(error: Error): void {
    this.#options.events.lost(error);
  }

  /**
   * Cuts the open group when its time has come, else sets a timer for that moment. While files pile up the group grows
   * instead, unless somebody waits for it: the next upload brings it up again.
   */
  schedule(): void {
    if (!this.#pending) {
      this.#urgent = false;
      return;
    }
    if (!this.#mayCut || this.#queued) return;
    const { clock, cadence } = this.#options;
    if (this.#mayWait) return;
    const due = this.#urgent ? NEVER : cadence(this.#lastCut);
    const wait = Math.max(this.#retryAt, due) - clock.monotonic();
    if (wait > 0) {
      this.#cancelTimer ??= clock.schedule(() => {
        this.#cancelTimer = undefined;
        if (this.#mayWait) return;
        this.#options.source.catchUp?.();
        this.#cutNow();
      }, wait);
      return;
    }
    // At the end of the current turn: commits made in one go share a file.
    this.#queued = true;
    void Promise.resolve().then(() => {
      this.#queued = false;
      this.#cutNow();
    });
  }

  /** Whether there is anything to cut: commits, or the need for a full file. */
  get #pending(): boolean {
    return !this.#group.isEmpty;
  }

  get #mayCut(): boolean {
    return (
      this.#cutter !== undefined && this.#imaging === undefined && this.#options.events.mayCut()
    );
  }

  get #mayWait(): boolean {
    return !this.#urgent && this.#options.events.mayWait();
  }

  #collect(transaction: CommittedTransaction, large: boolean): void {
    const { clock, groupBytes, stagingBytes } = this.#options;
    const group = this.#group;
    const otherSize = group.transactions > 0 && group.pageSize !== transaction.pageSize;
    if (transaction.full || otherSize) group.makeFull();
    else if (large) this.#dropImages();
    group.add(transaction, clock.monotonic());
    if (group.bytes > Math.min(groupBytes, stagingBytes)) this.#cutNow();
    if (this.#group.bytes > stagingBytes) this.#dropImages();
  }

  #dropImages(): void {
    if (this.#group.content !== "images") return;
    this.#group.dropImages();
    this.#options.events.degraded("more waits than is kept: page images will be read again later");
  }

  #cutNow(): void {
    const cutter = this.#cutter;
    if (cutter === undefined || !this.#pending || !this.#mayCut) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#lastCut = this.#options.clock.monotonic();
    if (!cutter.continues(this.#group)) {
      const before = this.#imageTask;
      this.#imageTask = this.#cutImage(cutter).then(() => before);
      return;
    }
    try {
      const files = cutter.cutGroup(this.#group);
      this.#cutSequence = this.#group.lastSequence;
      this.#group = new CommitGroup();
      this.#handOn(files, undefined);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Encodes a transaction straight from the database: it is too large to hold, or it changed the page size. */
  #cutTransaction(transaction: CommittedTransaction): void {
    const now = this.#options.clock.monotonic();
    this.#lastCut = now;
    try {
      const files = (this.#cutter as L0Cutter).cutTransaction(transaction, now);
      this.#cutSequence = transaction.sequence;
      this.#handOn(files, undefined);
    } catch (error) {
      // Its pages can be read only during the commit; later only the whole database will do.
      this.#group.makeFull();
      this.#group.add(transaction, now);
      this.#failed(error);
    }
  }

  /** Gives files to whoever uploads them, with what their state is recognised by. */
  #handOn(files: readonly StagedFile[], settles: number | undefined): void {
    const { source, events } = this.#options;
    const { sequence } = files.at(-1) as StagedFile;
    const mark = source.mark?.(sequence);
    const marked = mark === undefined ? files : files.map((file) => ({ ...file, mark }));
    events.cut(marked, settles);
  }

  /** Cuts a file whose pages are read from the database: those of a group without images, or all. */
  async #cutImage(cutter: L0Cutter): Promise<void> {
    const doubts = this.#doubts;
    const reading = ++this.#reading;
    this.#imaging = this.#group;
    this.#group = new CommitGroup();
    try {
      let overrun = false;
      await readImage(this.#options.clock, async (read) => {
        if (reading !== this.#reading) return;
        if (overrun) this.#widenImaging();
        overrun = true;
        await this.#tryImage(cutter, { read, doubts, reading });
      });
    } catch (error) {
      if (reading !== this.#reading) return;
      if (this.#imaging !== undefined) this.#group.prepend(this.#imaging);
      this.#imaging = undefined;
      if (this.#options.events.stopped() === undefined) this.#failed(error);
    }
    this.schedule();
  }

  async #tryImage(
    cutter: L0Cutter,
    attempt: { readonly read: ImageReader; readonly doubts: number; readonly reading: number },
  ): Promise<void> {
    const { events } = this.#options;
    const { read, doubts, reading } = attempt;
    const image = await this.#imageOf(cutter);
    if (reading !== this.#reading) return await releaseImage(image);
    const { content, since } = this.#imaging as CommitGroup;
    this.#throwIfStopped();
    if (image.pageSize === 0) {
      // The first commit will bring every page.
      cutter.startFromEmpty();
      this.#group.forgetUpTo(image.sequence);
      this.#imaging = undefined;
      // A file that cannot be read is in doubt again each time it is looked at.
      if (doubts !== this.#doubts) this.#retryAt = this.#options.clock.monotonic() + CUT_RETRY_MS;
      events.empty(image.sequence, doubts);
      return;
    }
    this.#forgetUpTo(image.sequence, cutter.last.txid);
    const full = content === "full";
    await cutter.cutImage(image, {
      full,
      since,
      read,
      cut: (files) => {
        this.#throwIfStopped();
        this.#imaging = undefined;
        this.#cutSequence = image.sequence;
        this.#handOn(files, full ? doubts : undefined);
      },
    });
  }

  /**
   * The image for the imaging group. Chosen pages are right only when no commit slipped in before the boundary, since
   * the pages it changed would be missing; after a few attempts all pages are read, which is right at any boundary.
   */
  async #imageOf(cutter: L0Cutter): Promise<DatabaseImage> {
    const { source } = this.#options;
    const reading = this.#reading;
    for (let attempt = 1; ; attempt++) {
      const imaging = this.#imaging as CommitGroup;
      const resized = source.pageSize !== cutter.last.pageSize;
      if (resized || attempt > IMAGE_ATTEMPTS) imaging.makeFull();
      const before = source.sequence;
      const full = imaging.content === "full";
      const image = await source.image(full ? {} : { pages: imaging.sortedNumbers() });
      if (full || image.sequence === before || reading !== this.#reading) return image;
      await releaseImage(image);
      this.#widenImaging();
    }
  }

  /** Adds what was committed meanwhile to the imaging group: its image will be of a later boundary. */
  #widenImaging(): void {
    this.#group.prepend(this.#imaging as CommitGroup);
    this.#imaging = this.#group;
    this.#group = new CommitGroup();
  }

  /** Stops reading pages for a file; what it was to hold goes back into the open group. */
  #abandonReading(): void {
    if (this.#imaging === undefined) return;
    this.#reading++;
    this.#cutter?.abandon();
    this.#group.prepend(this.#imaging);
    this.#imaging = undefined;
  }

  /** Drops what the file being cut already covers. Whoever was told the TXID after it is told the right one. */
  #forgetUpTo(sequence: number, staged: bigint): void {
    const had = this.#pending;
    if (this.#group.forgetUpTo(sequence) && had) {
      this.#options.events.lowered(staged + 2n, staged + 1n);
    }
  }

  #throwIfStopped(): void {
    const stopped = this.#options.events.stopped();
    if (stopped !== undefined) throw stopped;
  }

  #failed(error: unknown): void {
    // What the encoder refuses will not become right by trying again; a full file will.
    if (isPagestreamError(error, "LTX_ENCODE")) this.#group.makeFull();
    this.#retryAt = this.#options.clock.monotonic() + CUT_RETRY_MS;
    this.#options.events.failed(error);
    this.schedule();
  }
}
