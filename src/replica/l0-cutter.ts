/**
 * Cuts L0 files: gives committed pages their TXID and their time, and encodes them into local state.
 *
 * Exactly one file is cut at a commit boundary, its TXID one past the last. After a page-size change the snapshot
 * `1..N` of the same state goes before the L0 file N: no file of the old size may be merged with one of the new.
 *
 * @module
 */
import type { CommittedTransaction, DatabaseImage } from "../core/commit-source.ts";
import { AbortedError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { replicaHeader } from "../ltx/header.ts";
import type { CommitGroup } from "./commit-group.ts";
import type { LocalState } from "./local-state.ts";
import { PageDigest } from "./page-digest.ts";
import { PageSet } from "./page-set.ts";
import type { ImageReader } from "./read-image.ts";
import { deriveSnapshot, type StagedFile, StagedFileWriter } from "./staged-file.ts";

/** The newest state a file was cut for. */
export interface CutState {
  /** 0 while nothing was ever cut. */
  readonly txid: bigint;
  /** 0 while nothing was ever cut. */
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Header time in milliseconds. */
  readonly time: bigint;
}

/** Where a cutter stands, to go back to. */
export interface CutterMark {
  readonly last: CutState;
  readonly fromEmpty: boolean;
}

/** What the next file covers, beside its pages. */
interface Contents {
  readonly pageSize: number;
  readonly commit: number;
  readonly sequence: number;
  readonly since: number | undefined;
  readonly full: boolean;
}

/** The sequence of L0 files of one database. Every method returns the files to upload, in order. */
export class L0Cutter {
  readonly #state: LocalState;
  readonly #platform: Platform;
  #last: CutState;
  readonly #key: Uint8Array;
  #fromEmpty = false;
  /** The file whose pages are being read from the database. */
  #reading: StagedFileWriter | undefined;

  /** Continues after `last`; pages are digested under `key`. */
  constructor(
    state: LocalState,
    platform: Platform,
    start: { readonly last: CutState; readonly key: Uint8Array },
  ) {
    this.#state = state;
    this.#platform = platform;
    this.#last = start.last;
    this.#key = start.key;
  }

  get last(): CutState {
    return this.#last;
  }

  /** Says that the database is empty now: the commits from here on bring every page it will have. */
  startFromEmpty(): void {
    this.#fromEmpty = true;
  }

  /** Whether the images of a group are enough for the next file: they continue the last one, or begin a database. */
  continues(group: CommitGroup): boolean {
    if (group.content !== "images") return false;
    return this.#fromEmpty || group.pageSize === this.#last.pageSize;
  }

  /** Cuts the images of a group. */
  cutGroup(group: CommitGroup): StagedFile[] {
    const { pageSize, commit, lastSequence: sequence, since } = group;
    return this.#cut({ pageSize, commit, sequence, since, full: this.#fromEmpty }, (writer) => {
      for (const pgno of group.sortedNumbers()) writer.page(pgno, group.image(pgno));
    });
  }

  /** Encodes one transaction straight from the database, without holding its pages. */
  cutTransaction(transaction: CommittedTransaction, since: number): StagedFile[] {
    const { pageSize, commit, sequence, pages } = transaction;
    const full = transaction.full || this.#fromEmpty;
    return this.#cut({ pageSize, commit, sequence, since, full }, (writer) => {
      for (let i = 0; i < pages.pgnos.length; i++) {
        writer.page(pages.pgnos[i] as number, pages.read(i));
      }
    });
  }

  /** Encodes one transaction on top of a group, every page as of the transaction; it may not change the page size. */
  cutMerged(group: CommitGroup, transaction: CommittedTransaction): StagedFile[] {
    const { pageSize, commit, sequence, pages } = transaction;
    const { since } = group;
    const full = transaction.full || this.#fromEmpty || group.content === "full";
    const pgnos = new PageSet();
    for (const pgno of group.sortedNumbers()) pgnos.add(pgno);
    for (const pgno of pages.pgnos) pgnos.add(pgno);
    return this.#cut({ pageSize, commit, sequence, since, full }, (writer) => {
      if (group.content === "full") {
        for (let pgno = 1; pgno <= commit; pgno++) writer.page(pgno, pages.page(pgno));
        return;
      }
      for (const pgno of pgnos.toArray()) {
        if (pgno <= commit) writer.page(pgno, pages.page(pgno));
      }
    });
  }

  /** Where the cutter stands. */
  mark(): CutterMark {
    return { last: this.#last, fromEmpty: this.#fromEmpty };
  }

  /** Goes back to before a file that may not have come to be, or on to one that has. */
  moveTo(mark: CutterMark): void {
    this.#last = mark.last;
    this.#fromEmpty = mark.fromEmpty;
  }

  /** Gives up the file whose pages are being read from the database, so that another can be cut now. */
  abandon(): void {
    this.#reading?.abort();
    this.#reading = undefined;
  }

  /** Returns when files are on stable storage. */
  sync(files: readonly StagedFile[]): void {
    for (const { name } of files) this.#state.syncStaged(name);
  }

  /**
   * Encodes pages read from the database at a commit boundary; `full` when they are all of them. Hands the files to `cut`
   * at the very moment they exist; throws when it was abandoned.
   */
  async cutImage(
    image: DatabaseImage,
    group: {
      readonly full: boolean;
      readonly since: number | undefined;
      readonly read: ImageReader;
      readonly cut: (files: readonly StagedFile[]) => void;
    },
  ): Promise<void> {
    const { pageSize, commit, sequence } = image;
    const { full, since, read, cut } = group;
    const writer = this.#writer({ pageSize, commit, sequence, full, since });
    this.#reading = writer;
    const throwIfAbandoned = (): void => {
      if (this.#reading === writer) return;
      const what = "another file is cut first";
      throw new AbortedError({ operation: "read", object: "pages of the database", what });
    };
    try {
      await read(image, (pgno, data) => {
        throwIfAbandoned();
        writer.page(pgno, data);
      });
      throwIfAbandoned();
      const files = this.#finish(writer);
      this.#reading = undefined;
      cut(files);
    } catch (error) {
      if (this.#reading === writer) this.abandon();
      throw error;
    }
  }

  #cut(contents: Contents, write: (writer: StagedFileWriter) => void): StagedFile[] {
    const writer = this.#writer(contents);
    try {
      write(writer);
      return this.#finish(writer);
    } catch (error) {
      writer.abort();
      throw error;
    }
  }

  #writer(contents: Contents): StagedFileWriter {
    const { pageSize, commit, sequence, full } = contents;
    const txid = this.#last.txid + 1n;
    const timestamp = this.#nextTime();
    const file = {
      level: 0,
      header: replicaHeader({ pageSize, commit, minTxid: txid, maxTxid: txid, timestamp }),
      // Every page that the last state did not have must be in the file: in a full one that is all of them.
      previousCommit: full ? 0 : this.#last.commit,
      full,
      sequence,
      since: contents.since ?? this.#platform.clock.monotonic(),
    };
    return new StagedFileWriter(this.#state, file, new PageDigest(this.#key));
  }

  #finish(writer: StagedFileWriter): StagedFile[] {
    const file = writer.finish();
    const { maxTxid: txid, pageSize, commit, timestamp: time } = file.header;
    const sizeChanged = this.#last.pageSize !== 0 && pageSize !== this.#last.pageSize;
    const files = sizeChanged ? [deriveSnapshot(this.#state, file), file] : [file];
    this.#last = { txid, pageSize, commit, time };
    this.#fromEmpty = false;
    return files;
  }

  /** Later than every file before, whatever the clock does. */
  #nextTime(): bigint {
    const now = BigInt(Math.trunc(this.#platform.clock.now()));
    return now > this.#last.time ? now : this.#last.time + 1n;
  }
}
