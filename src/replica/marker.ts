/**
 * The marker: which replicated state the local database was last known to equal, with the digest of every page.
 *
 * It advances only after a file is confirmed in the store, so it may lag behind the replica and never leads it. On
 * disk it is one base record followed by one step record per confirmed file:
 *
 * | size | field |
 * |---:|---|
 * | 1 | kind: 1 base, 2 step |
 * | 4 | length of the text, little-endian as all numbers here |
 * | 4 | number of digests |
 * | n | text: JSON in ASCII |
 * | … | digests: base 8 bytes a page (hi, lo); step 12 bytes (pgno, hi, lo) |
 * | 8 | CRC-64 of all before |
 *
 * The first record that is short or fails its checksum ends the log: what it said is simply not known.
 *
 * @module
 */
import { asciiBytes, asciiJson, asciiText } from "../core/ascii.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import { Crc64 } from "../ltx/crc64.ts";
import { formatTxid, parseTxid } from "../ltx/file-name.ts";
import type { LocalState } from "./local-state.ts";
import { PageDigests, PageTable } from "./page-table.ts";

/** What the marker says of one state. */
export interface MarkerState {
  readonly txid: bigint;
  readonly pageSize: number;
  /** Database size in pages. */
  readonly commit: number;
  /** Name of the L0 file that made this state, `<min>-<max>.ltx`. */
  readonly fileName: string;
  /** That file's checksum: proof that the object of this name is the one we know. */
  readonly fileChecksum: bigint;
  /** What the source called this state; see `CommitSource.mark`. */
  readonly mark?: string | undefined;
}

/** A marker read back: its newest state and the digests of exactly that state. */
export interface Marker {
  /** What the replica calls itself: a marker speaks of one replica only. */
  readonly replica: string;
  /** Digest key of the table. */
  readonly key: Uint8Array;
  readonly state: MarkerState;
  readonly table: PageTable;
  /** Whether a restore was told to restore this state although there were later ones. @default false */
  readonly chosen?: boolean | undefined;
  /** Tells whoever writes from here from all other writers: a restart takes its own lease at once. */
  readonly nonce?: string | undefined;
}

const BASE = 1;
const STEP = 2;
const RECORD_HEADER = 9;
const RECORD_TRAILER = 8;
/** A log longer than this and than its base is folded into a new base. */
const MIN_FOLD_BYTES = 1 << 20;

/** Writes a marker: the base once, then a step per confirmed file; a state in memory gets it at the end alone. */
export class MarkerLog {
  readonly #state: LocalState;
  readonly #replica: string;
  readonly #key: Uint8Array;
  readonly #nonce: string | undefined;
  readonly #table: PageTable;
  #current: MarkerState;
  #baseBytes = 0;
  #logBytes = 0;
  #unsynced = false;

  /** Continues from a state whose table is `table`, which this object owns from now on, and writes it as the base. */
  constructor(state: LocalState, marker: Marker) {
    this.#state = state;
    this.#replica = marker.replica;
    this.#key = marker.key;
    this.#nonce = marker.nonce;
    this.#table = marker.table;
    this.#current = marker.state;
    if (state.durable) this.#fold();
  }

  get current(): MarkerState {
    return this.#current;
  }

  /** Moves on to a confirmed state; `changed` are the pages its file carries. */
  advance(next: MarkerState, changed: PageDigests): void {
    const folds = next.pageSize !== this.#current.pageSize || this.#logBytes > this.#baseBytes;
    if (next.pageSize !== this.#current.pageSize) this.#table.resize(0);
    this.#table.resize(next.commit);
    this.#table.apply(changed);
    this.#current = next;
    // What is here is all there is until the end: a second copy of the table would prove nothing more.
    if (!this.#state.durable) return;
    if (folds) {
      this.#fold();
      return;
    }
    const digests = new Int32Array(3 * changed.length);
    for (let i = 0; i < changed.length; i++) {
      digests[3 * i] = changed.pgno(i);
      digests[3 * i + 1] = changed.hi(i);
      digests[3 * i + 2] = changed.lo(i);
    }
    const record = encodeRecord(STEP, stateText(next), digests, changed.length);
    this.#state.appendMarker(record);
    this.#logBytes += record.length;
    this.#unsynced = true;
  }

  /** Makes what was appended durable; without news it does nothing. */
  sync(): void {
    if (!this.#unsynced) return;
    this.#state.syncMarker();
    this.#unsynced = false;
  }

  /** Folds the log into one record, durably. */
  close(): void {
    if (this.#logBytes > 0 || !this.#state.durable) this.#fold();
  }

  #fold(): void {
    const base = encodeMarker({
      replica: this.#replica,
      key: this.#key,
      state: this.#current,
      table: this.#table,
      nonce: this.#nonce,
    });
    this.#state.replaceMarker(base);
    this.#baseBytes = Math.max(base.length, MIN_FOLD_BYTES);
    this.#logBytes = 0;
    this.#unsynced = false;
  }
}

/** A whole marker as one record, for `LocalState.replaceMarker`. */
export function encodeMarker(marker: Marker): Uint8Array<ArrayBuffer> {
  const { replica, key, state, table, chosen, nonce } = marker;
  const text = stateText(state, {
    version: 1,
    replica,
    key: toHex(key),
    ...(chosen === true ? { chosen } : {}),
    nonce,
  });
  return encodeRecord(BASE, text, table.values, table.size);
}

/** A marker that says nothing but who writes. */
export function encodeNonce(nonce: string): Uint8Array<ArrayBuffer> {
  return encodeRecord(BASE, asciiJson({ version: 1, nonce }), new Int32Array(0), 0);
}

/** Who wrote a marker, whether or not it says more. */
export function readNonce(bytes: Uint8Array | undefined): string | undefined {
  const nonce = bytes && decodeRecord(bytes, 0)?.text["nonce"];
  return typeof nonce === "string" ? nonce : undefined;
}

/** Reads a marker; `undefined` where there is none or its base is damaged. */
export function readMarker(bytes: Uint8Array | undefined): Marker | undefined {
  if (bytes === undefined) return undefined;
  const base = decodeRecord(bytes, 0);
  if (base?.kind !== BASE) return undefined;
  const { replica, key } = base.text;
  const state = parseState(base.text);
  if (state === undefined || typeof replica !== "string" || typeof key !== "string")
    return undefined;
  const table = new PageTable(base.count, base.digests as Int32Array<ArrayBuffer>);
  let current = state;
  for (let at = base.end; ;) {
    const step = decodeRecord(bytes, at);
    const next = step?.kind === STEP ? parseState(step.text) : undefined;
    if (step === undefined || next === undefined) break;
    const changed = new PageDigests();
    for (let i = 0; i < step.count; i++) {
      const word = (k: number): number => step.digests[3 * i + k] as number;
      changed.addValue(word(0) >>> 0, word(1), word(2));
    }
    table.resize(next.commit);
    table.apply(changed);
    current = next;
    at = step.end;
  }
  const chosen = base.text["chosen"] === true;
  return { replica, key: fromHex(key), state: current, table, chosen };
}

function stateText(state: MarkerState, more: Record<string, unknown> = {}): string {
  return asciiJson({
    ...more,
    txid: formatTxid(state.txid),
    pageSize: state.pageSize,
    commit: state.commit,
    fileName: state.fileName,
    fileChecksum: state.fileChecksum.toString(16),
    mark: state.mark,
  });
}

function parseState(text: Record<string, unknown>): MarkerState | undefined {
  const { txid, pageSize, commit, fileName, fileChecksum, mark } = text;
  if (typeof txid !== "string" || typeof fileName !== "string") return undefined;
  if (typeof pageSize !== "number" || typeof commit !== "number") return undefined;
  if (typeof fileChecksum !== "string") return undefined;
  return {
    txid: parseTxid(txid),
    pageSize,
    commit,
    fileName,
    fileChecksum: BigInt(`0x${fileChecksum}`),
    mark: typeof mark === "string" ? mark : undefined,
  };
}

function encodeRecord(
  kind: number,
  text: string,
  digests: Int32Array,
  count: number,
): Uint8Array<ArrayBuffer> {
  const textBytes = asciiBytes(text);
  const digestBytes = new Uint8Array(digests.buffer, digests.byteOffset, digests.byteLength);
  const end = RECORD_HEADER + textBytes.length + digestBytes.length;
  const record = new Uint8Array(end + RECORD_TRAILER);
  const view = new DataView(record.buffer);
  record[0] = kind;
  view.setUint32(1, textBytes.length, true);
  view.setUint32(5, count, true);
  record.set(textBytes, RECORD_HEADER);
  record.set(digestBytes, RECORD_HEADER + textBytes.length);
  const crc = new Crc64();
  crc.update(record.subarray(0, end));
  view.setInt32(end, crc.hi, true);
  view.setInt32(end + 4, crc.lo, true);
  return record;
}

interface DecodedRecord {
  readonly kind: number;
  readonly text: Record<string, unknown>;
  readonly count: number;
  readonly digests: Int32Array;
  readonly end: number;
}

function decodeRecord(bytes: Uint8Array, at: number): DecodedRecord | undefined {
  if (at + RECORD_HEADER > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = bytes[at] as number;
  const textStart = at + RECORD_HEADER;
  const digestStart = textStart + view.getUint32(at + 1, true);
  const count = view.getUint32(at + 5, true);
  const end = digestStart + count * (kind === BASE ? 8 : 12);
  if (end + RECORD_TRAILER > bytes.length) return undefined;
  const crc = new Crc64();
  crc.update(bytes.subarray(at, end));
  if (view.getInt32(end, true) !== crc.hi || view.getInt32(end + 4, true) !== crc.lo)
    return undefined;
  return {
    kind,
    text: JSON.parse(asciiText(bytes.subarray(textStart, digestStart))) as Record<string, unknown>,
    count,
    // A copy: the digests need not be aligned inside the file.
    digests: new Int32Array(bytes.slice(digestStart, end).buffer),
    end: end + RECORD_TRAILER,
  };
}
