/**
 * What a database is with the content of its WAL applied.
 *
 * @module
 */
import {
  decodeWalFrameHeader,
  decodeWalHeader,
  isWalMagic,
  WAL_FRAME_HEADER_SIZE,
  WAL_HEADER_SIZE,
  WalChecksum,
} from "../core/wal.ts";

/** A copy of `main` with every committed frame of `wal` applied, as a checkpoint of all of them leaves it. */
export function checkpointed(
  main: Uint8Array,
  wal: Uint8Array | undefined,
): Uint8Array<ArrayBuffer> {
  const start = wal?.slice(0, WAL_HEADER_SIZE);
  const isWal = start?.length === WAL_HEADER_SIZE && isWalMagic(start);
  const header = isWal ? decodeWalHeader(start) : undefined;
  if (wal === undefined || header === undefined) return main.slice();
  const { pageSize, salt1, salt2 } = header;
  const sums = new WalChecksum(header.bigEndian).restart(header.checksum1, header.checksum2);
  const committed = new Map<number, Uint8Array>();
  let open = new Map<number, Uint8Array>();
  let commit = 0;
  const frameSize = WAL_FRAME_HEADER_SIZE + pageSize;
  for (let at = WAL_HEADER_SIZE; at + frameSize <= wal.length; at += frameSize) {
    const bytes = wal.slice(at, at + frameSize);
    const frame = decodeWalFrameHeader(bytes);
    if (frame.pgno === 0 || frame.salt1 !== salt1 || frame.salt2 !== salt2) break;
    const page = bytes.slice(WAL_FRAME_HEADER_SIZE);
    sums.update(bytes.slice(0, 8)).update(page);
    if (sums.s1 !== frame.checksum1 || sums.s2 !== frame.checksum2) break;
    open.set(frame.pgno, page);
    if (frame.commit === 0) continue;
    for (const [pgno, data] of open) committed.set(pgno, data);
    open = new Map();
    commit = frame.commit;
  }
  if (commit === 0) return main.slice();
  const bytes = new Uint8Array(commit * pageSize);
  bytes.set(main.subarray(0, bytes.length));
  for (const [pgno, data] of committed) {
    if (pgno <= commit) bytes.set(data, (pgno - 1) * pageSize);
  }
  return bytes;
}
