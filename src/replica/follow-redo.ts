/**
 * A followed copy in files that nobody else has open, as the browser's private file system gives them.
 *
 * Each step is first written to a redo log with a checksum over all of it, and synced. From then on the step is certain:
 * its pages are copied into the database in one synchronous run, then the position is written, then the log is emptied.
 * A crash before the log is complete leaves the old state; after it, opening again repeats the copying.
 *
 * | log | size | field |
 * | ---: | ---: | --- |
 * | 0 | 8 | `pgsredo1` |
 * | 8 | 8 | TXID |
 * | 16 | 4 | page size |
 * | 20 | 4 | database size in pages |
 * | 24 | 4 | number of pages that follow |
 * | 28 | 4 | 0 |
 * | 32 | 8 | CRC-64 of bytes 0 to 31 and of all that follows |
 * | 40 | ... | for each page its number (4), then the page |
 *
 * @module
 */
import { viewOf } from "../core/bytes.ts";
import { isValidPageSize, setJournalHeader } from "../core/database-header.ts";
import { InvalidDatabaseError } from "../core/errors.ts";
import type { OpenFile } from "../core/sync-files.ts";
import { Crc64 } from "../ltx/crc64.ts";
import { FollowPositionError } from "./errors.ts";
import { decodePosition, encodePosition } from "./follow-position.ts";
import type { CopyState, FollowStep, FollowTarget, NextState } from "./follow-target.ts";

const MAGIC = Uint8Array.from("pgsredo1", (c) => c.charCodeAt(0));
const HEADER_SIZE = 40;
const CHECKED = 32;
const ENTRY_HEADER = 4;

/** Bytes that are read or written at once. */
const RUN_BYTES = 256 * 1024;

/** The three files of a copy. */
export interface RedoFiles {
  /** The copy itself. */
  readonly database: OpenFile;
  /** `<database>-redo`. */
  readonly log: OpenFile;
  /** `<database>-txid`, as Litestream keeps it; empty where there is no copy yet. */
  readonly position: OpenFile;
}

/** Makes the target of a copy that is kept by a redo log; `open` gives its files, made where they are missing. */
export function redoFollowTarget(
  name: string,
  open: () => RedoFiles | Promise<RedoFiles>,
): FollowTarget {
  return new RedoTarget(name, open);
}

class RedoTarget implements FollowTarget {
  readonly name: string;
  readonly #openFiles: () => RedoFiles | Promise<RedoFiles>;
  #files: RedoFiles | undefined;
  #state: CopyState | undefined;
  /** A step that is certain, and whose copying failed. */
  #unfinished: RedoLog | undefined;

  constructor(name: string, open: () => RedoFiles | Promise<RedoFiles>) {
    this.name = name;
    this.#openFiles = open;
  }

  get state(): CopyState | undefined {
    return this.#state;
  }

  async open(): Promise<void> {
    const files = await this.#openFiles();
    this.#files = files;
    const log = readLog(files.log);
    if (log !== undefined) this.#redo(log);
    else this.#state = this.#recorded(files);
  }

  begin(next: NextState): FollowStep {
    const files = this.#files as RedoFiles;
    if (this.#unfinished !== undefined) this.#redo(this.#unfinished);
    const log = new LogWriter(files.log, next);
    return {
      write: (pgno, page) => log.write(pgno, page),
      commit: () => {
        log.finish();
        this.#redo({ ...next, count: log.count });
      },
      abort: () => {
        if (this.#unfinished === undefined) files.log.truncate(0);
      },
    };
  }

  close(): void {
    const files = this.#files;
    this.#files = undefined;
    if (files === undefined) return;
    for (const file of [files.database, files.log, files.position]) file.close();
  }

  /** Brings the database to what a complete log says. Repeated as often as it takes, it leads to the same. */
  #redo(log: RedoLog): void {
    const { database, log: file, position } = this.#files as RedoFiles;
    const { txid, pageSize, commit } = log;
    this.#unfinished = log;
    if (this.#state !== undefined) this.#state = { ...this.#state, atMost: txid };
    for (const { pgno, page } of entries(file, log)) database.write(page, (pgno - 1) * pageSize);
    database.truncate(commit * pageSize);
    database.sync();
    position.write(encodePosition(txid), 0);
    position.sync();
    this.#state = { txid, atMost: txid, pageSize, commit };
    this.#unfinished = undefined;
    file.truncate(0);
  }

  /** The state that the position file names; `undefined` where there is no copy. */
  #recorded({ database, position }: RedoFiles): CopyState | undefined {
    const size = database.size();
    if (size === 0) return undefined;
    const bytes = new Uint8Array(64);
    const txid = decodePosition(bytes.subarray(0, position.read(bytes, 0)));
    const header = new Uint8Array(18);
    database.read(header, 0);
    const stored = viewOf(header).getUint16(16);
    const pageSize = stored === 1 ? 65_536 : stored;
    if (!isValidPageSize(pageSize)) {
      throw new InvalidDatabaseError({
        operation: "follow into",
        object: this.name,
        what: `its page size at offset 16 is ${pageSize}`,
      });
    }
    if (txid !== undefined) {
      return { txid, atMost: txid, pageSize, commit: Math.floor(size / pageSize) };
    }
    throw new FollowPositionError({
      operation: "follow into",
      object: this.name,
      what: `the database exists, but ${this.name}-txid does not tell its TXID`,
      next: "Remove the database with its side files, and follow anew",
    });
  }
}

interface RedoLog extends Omit<NextState, "isWhole"> {
  readonly count: number;
}

/** Writes a log in large runs; its header comes last. */
class LogWriter {
  count = 0;
  readonly #file: OpenFile;
  readonly #next: NextState;
  readonly #run: Uint8Array;
  readonly #crc = new Crc64();
  #filled = 0;
  #offset = HEADER_SIZE;

  constructor(file: OpenFile, next: NextState) {
    this.#file = file;
    this.#next = next;
    const entry = ENTRY_HEADER + next.pageSize;
    this.#run = new Uint8Array(Math.max(1, Math.floor(RUN_BYTES / entry)) * entry);
    file.truncate(0);
  }

  write(pgno: number, page: Uint8Array): void {
    const entry = this.#run.subarray(this.#filled, this.#filled + ENTRY_HEADER + page.length);
    viewOf(entry).setUint32(0, pgno);
    entry.set(page, ENTRY_HEADER);
    if (pgno === 1) setJournalHeader(entry.subarray(ENTRY_HEADER), "rollback");
    this.#crc.update(entry);
    this.#filled += entry.length;
    this.count++;
    if (this.#filled === this.#run.length) this.#flush();
  }

  finish(): void {
    this.#flush();
    const header = encodeHeader({ ...this.#next, count: this.count }, this.#crc);
    this.#file.write(header, 0);
    this.#file.sync();
  }

  #flush(): void {
    this.#file.write(this.#run.subarray(0, this.#filled), this.#offset);
    this.#offset += this.#filled;
    this.#filled = 0;
  }
}

/** The header of a log; `crc` has been given its entries, and takes the header's fields after them. */
function encodeHeader(log: RedoLog, crc: Crc64): Uint8Array {
  const header = new Uint8Array(HEADER_SIZE);
  const view = viewOf(header);
  header.set(MAGIC);
  view.setBigUint64(8, log.txid);
  view.setUint32(16, log.pageSize);
  view.setUint32(20, log.commit);
  view.setUint32(24, log.count);
  crc.update(header.subarray(0, CHECKED));
  view.setInt32(32, crc.hi);
  view.setInt32(36, crc.lo);
  return header;
}

/** What a complete log says; `undefined` for anything else. */
function readLog(file: OpenFile): RedoLog | undefined {
  const header = new Uint8Array(HEADER_SIZE);
  if (file.read(header, 0) < HEADER_SIZE) return undefined;
  const view = viewOf(header);
  const [pageSize, commit, count] = [view.getUint32(16), view.getUint32(20), view.getUint32(24)];
  const log = { txid: view.getBigUint64(8), pageSize, commit, count };
  if (MAGIC.some((byte, i) => header[i] !== byte) || !isValidPageSize(pageSize)) return undefined;
  if (file.size() < HEADER_SIZE + count * (ENTRY_HEADER + pageSize)) return undefined;
  const crc = new Crc64();
  for (const { entry } of entries(file, log)) crc.update(entry);
  const expected = encodeHeader(log, crc);
  return expected.every((byte, i) => header[i] === byte) ? log : undefined;
}

/** The pages of a log in order; each is a view that is valid until the next. */
function* entries(
  file: OpenFile,
  log: RedoLog,
): Generator<{ readonly pgno: number; readonly page: Uint8Array; readonly entry: Uint8Array }> {
  const size = ENTRY_HEADER + log.pageSize;
  const perRun = Math.max(1, Math.floor(RUN_BYTES / size));
  const run = new Uint8Array(Math.min(perRun, log.count) * size);
  for (let done = 0; done < log.count; done += perRun) {
    file.read(run, HEADER_SIZE + done * size);
    for (let i = 0; i < Math.min(perRun, log.count - done); i++) {
      const entry = run.subarray(i * size, (i + 1) * size);
      yield { pgno: viewOf(entry).getUint32(0), page: entry.subarray(ENTRY_HEADER), entry };
    }
  }
}
