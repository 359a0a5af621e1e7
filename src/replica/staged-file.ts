/**
 * Files cut from commits: encoded into local state, where their final bytes stay until the store has confirmed them.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import { LtxDecoder } from "../ltx/decoder.ts";
import { LtxEncoder } from "../ltx/encoder.ts";
import { formatFileName, parseFileName } from "../ltx/file-name.ts";
import { type LtxHeader, replicaHeader } from "../ltx/header.ts";
import { SNAPSHOT_LEVEL } from "./layout.ts";
import type { LocalState, StagedWriter } from "./local-state.ts";
import type { PageDigest } from "./page-digest.ts";
import { PageDigests } from "./page-table.ts";

/** Bytes read at a time from local state. */
const CHUNK = 1 << 20;

/** A file that waits in local state for its upload. */
export interface StagedFile {
  /** Its name in local state, `<level>/<min>-<max>.ltx`. */
  readonly name: string;
  readonly level: number;
  readonly header: LtxHeader;
  /** Size in bytes. */
  readonly size: number;
  readonly pageCount: number;
  readonly fileChecksum: bigint;
  /** Digests of its pages; empty for a snapshot, whose L0 brings them. */
  readonly digests: PageDigests;
  /** Whether it holds every page of the database. */
  readonly full: boolean;
  /** Sequence of the last commit it covers; see `CommitSource.sequence`. */
  readonly sequence: number;
  /** Monotonic time of the oldest commit it holds. */
  readonly since: number;
  /** What the source called the state it leads to; see `CommitSource.mark`. */
  readonly mark?: string | undefined;
}

/** What a new file is to be. */
export interface NewFile {
  readonly level: number;
  readonly header: LtxHeader;
  /** Its name in local state. @default that of its level and range */
  readonly name?: string | undefined;
  /** Size in pages of the state before, for the proof that all new pages are there. */
  readonly previousCommit?: number | undefined;
  readonly full: boolean;
  readonly sequence: number;
  readonly since: number;
}

/** Encodes one file into local state, page by page. */
export class StagedFileWriter {
  readonly #file: NewFile;
  readonly #writer: StagedWriter;
  readonly #encoder: LtxEncoder;
  readonly #digest: PageDigest | undefined;
  readonly #digests = new PageDigests();
  readonly #name: string;
  readonly #lockPage: number;

  /** Page digests are computed with `digest`, or not at all. */
  constructor(state: LocalState, file: NewFile, digest?: PageDigest) {
    const { header, level, previousCommit } = file;
    this.#file = file;
    this.#digest = digest;
    this.#name = file.name ?? stagedName(level, header.minTxid, header.maxTxid);
    this.#lockPage = lockPage(header.pageSize);
    this.#writer = state.stage(this.#name);
    this.#encoder = new LtxEncoder(
      header,
      (chunk) => this.#writer.write(chunk),
      previousCommit === undefined ? {} : { previousCommit },
    );
  }

  /** Adds a page; those past the size and the lock page are left out. `data` is not kept. */
  page(pgno: number, data: Uint8Array): void {
    if (pgno > this.#file.header.commit || pgno === this.#lockPage) return;
    this.#encoder.encodePage(pgno, data);
    this.#note(pgno, data);
  }

  /** Adds a page whose compressed form is known. */
  frame(pgno: number, payload: Uint8Array, data: Uint8Array): void {
    this.#encoder.encodeFrame(pgno, payload, data);
    this.#note(pgno, data);
  }

  finish(): StagedFile {
    const summary = this.#encoder.finish();
    this.#writer.finish();
    return {
      name: this.#name,
      level: this.#file.level,
      header: this.#file.header,
      size: summary.size,
      pageCount: summary.pageCount,
      fileChecksum: summary.fileChecksum,
      digests: this.#digests,
      full: this.#file.full,
      sequence: this.#file.sequence,
      since: this.#file.since,
    };
  }

  abort(): void {
    this.#writer.abort();
  }

  #note(pgno: number, data: Uint8Array): void {
    if (this.#digest === undefined) return;
    this.#digest.update(pgno, data);
    this.#digests.add(pgno, this.#digest);
  }
}

/** A file's name in local state. */
export function stagedName(level: number, minTxid: bigint, maxTxid: bigint): string {
  return `${level}/${formatFileName(minTxid, maxTxid)}`;
}

/** Whether a name in local state is that of a file to upload; what a bridge made is of no use to another process. */
export function isForUpload(name: string): boolean {
  return name.startsWith("0/") || name.startsWith(`${SNAPSHOT_LEVEL}/`);
}

/** Copies a staged file that another one takes the name of. The copy is of no commit, and not uploaded by a later process. */
export function copyStaged(state: LocalState, file: StagedFile): StagedFile {
  const name = `withdrawn-${file.name}`;
  const writer = state.stage(name);
  try {
    for (let offset = 0; offset < file.size; offset += CHUNK) {
      writer.write(state.readStaged(file.name, offset, CHUNK));
    }
    writer.finish();
  } catch (error) {
    writer.abort();
    throw error;
  }
  return { ...file, name, sequence: 0 };
}

/** The range of TXIDs that a name in local state tells. */
export function parseStagedName(
  name: string,
): { readonly minTxid: bigint; readonly maxTxid: bigint } | undefined {
  return parseFileName(name.slice(name.indexOf("/") + 1));
}

/** The snapshot `1..N` that holds what a full L0 file N holds: its compressed pages under another header. */
export function deriveSnapshot(state: LocalState, full: StagedFile): StagedFile {
  return deriveFile(state, full, { level: SNAPSHOT_LEVEL, minTxid: 1n });
}

/**
 * Files in order, with the snapshot that goes before an L0 file of another page size than the file before; `pageSize` is
 * that before the first of them, 0 where there is none. A crash may have prevented it, or another destination have it.
 */
export function withSnapshots(
  state: LocalState,
  files: readonly StagedFile[],
  pageSize: number,
): StagedFile[] {
  const complete: StagedFile[] = [];
  let before = pageSize;
  for (const file of files) {
    const resized = before !== 0 && file.header.pageSize !== before;
    if (resized && file.level === 0) complete.push(deriveSnapshot(state, file));
    complete.push(file);
    before = file.header.pageSize;
  }
  return complete;
}

/** The file of another level or range that holds what a full file holds, and ends with the same TXID. */
export function deriveFile(
  state: LocalState,
  full: StagedFile,
  where: { readonly level: number; readonly minTxid: bigint; readonly name?: string | undefined },
): StagedFile {
  const { pageSize, commit, maxTxid, timestamp } = full.header;
  const { level, minTxid, name } = where;
  const header = replicaHeader({ pageSize, commit, minTxid, maxTxid, timestamp });
  const { sequence, since } = full;
  const writer = new StagedFileWriter(state, { level, name, header, full: true, sequence, since });
  try {
    decodeStaged(state, full.name, (pgno, data, payload) => {
      if (payload === undefined) writer.page(pgno, data);
      else writer.frame(pgno, payload, data);
    });
    return writer.finish();
  } catch (error) {
    writer.abort();
    throw error;
  }
}

/**
 * Reads back a file staged by an earlier process. Throws the decoder's errors where it is torn: files are synced by
 * nobody before their upload, so after a power cut they may be.
 */
export function readStaged(
  state: LocalState,
  name: string,
  options: {
    readonly digest: PageDigest;
    readonly sequence: number;
    readonly now: number;
    /** @default what its name says */
    readonly level?: number | undefined;
  },
): StagedFile {
  const { digest, sequence, now } = options;
  const [folder, fileName] = name.split("/") as [string, string];
  const level = options.level ?? Number(folder);
  const digests = new PageDigests();
  const decoder = decodeStaged(state, name, (pgno, data) => {
    digest.update(pgno, data);
    digests.add(pgno, digest);
  });
  const names = parseFileName(fileName);
  const { header } = decoder;
  if (names === undefined || names.minTxid !== header.minTxid || names.maxTxid !== header.maxTxid) {
    throw new RangeError(`${name} holds another range of TXIDs than its name says`);
  }
  return {
    name,
    level,
    header,
    size: decoder.size,
    pageCount: digests.length,
    fileChecksum: decoder.trailer.fileChecksum,
    digests: level === 0 ? digests : new PageDigests(),
    full: coversAll(digests, header),
    sequence,
    since: now,
  };
}

/** Whether pages in ascending order are all pages of the database. */
export function coversAll(pages: { readonly length: number }, header: LtxHeader): boolean {
  const lock = lockPage(header.pageSize);
  return pages.length === header.commit - (lock <= header.commit ? 1 : 0);
}

function decodeStaged(
  state: LocalState,
  name: string,
  page: (pgno: number, data: Uint8Array, payload: Uint8Array | undefined) => void,
): LtxDecoder {
  const decoder = new LtxDecoder({ name });
  for (let offset = 0; ;) {
    const step = decoder.next();
    if (step === "done") return decoder;
    if (step === "page") {
      page(decoder.pgno, decoder.data, decoder.payload);
      continue;
    }
    const chunk = state.readStaged(name, offset, CHUNK);
    if (chunk.length === 0) decoder.end();
    else decoder.push(chunk);
    offset += chunk.length;
  }
}

/** A staged file's bytes as an upload body that can be repeated: whole when small, else piece by piece. */
export function stagedBody(
  state: LocalState,
  file: StagedFile,
): Uint8Array | (() => AsyncIterable<Uint8Array>) {
  if (file.size <= 8 * CHUNK) return state.readStaged(file.name, 0, file.size);
  return async function* () {
    for (let offset = 0; offset < file.size; offset += CHUNK) {
      yield state.readStaged(file.name, offset, CHUNK);
    }
  };
}
