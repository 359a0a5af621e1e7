/**
 * The part of SQLite that guards a followed copy, on files in memory: what it does with the files, without its locks.
 *
 * @module
 */
import { isWalMagic, WAL_FRAME_HEADER_SIZE } from "../../src/core/wal.ts";
import {
  appendFramePages,
  readWalIndexHeader,
  WAL_INDEX_BLOCK,
  type WalIndexHeader,
  writeWalIndexHeader,
} from "../../src/core/wal-index.ts";
import { openWal, type WalReader } from "../../src/core/wal-reader.ts";
import type { SyncFile, SyncFiles } from "../../src/core/sync-files.ts";
import type { CopyGuard } from "../../src/replica/follow-wal.ts";

const EMPTY: WalIndexHeader = {
  change: 0,
  bigEndian: false,
  pageSize: 0,
  frames: 0,
  commit: 0,
  checksum1: 0,
  checksum2: 0,
  salts: new Uint8Array(8),
};

/** Recovers, checkpoints and removes files in SQLite's order. */
export function memoryGuard(files: SyncFiles, path: string): CopyGuard {
  const use = <T>(name: string, call: (file: SyncFile) => T): T => {
    const file = files.open(name, { mode: "create" });
    try {
      return call(file);
    } finally {
      file.close();
    }
  };
  const mark = (format: number): void =>
    use(path, (main) => {
      const bytes = new Uint8Array(2);
      main.read(bytes, 18);
      if (bytes[0] === format) return;
      main.write(bytes.fill(format), 18);
      main.sync();
    });

  /** Rebuilds the index from what is committed in the WAL. */
  const recover = (): void => {
    use(`${path}-wal`, (wal) =>
      use(`${path}-shm`, (index) => {
        index.truncate(0);
        index.write(new Uint8Array(WAL_INDEX_BLOCK), 0);
        let header = EMPTY;
        const pgnos: number[] = [];
        const reader = readerOf(wal);
        for (let frame = reader?.readFrame(); frame !== undefined; frame = reader?.readFrame()) {
          pgnos.push(frame.pgno);
          if (frame.commit === 0 || reader === undefined) continue;
          const stored = new Uint8Array(WAL_FRAME_HEADER_SIZE);
          wal.read(stored, frame.offset);
          const view = new DataView(stored.buffer);
          header = {
            change: header.change + 1,
            bigEndian: reader.header.bigEndian,
            pageSize: reader.pageSize,
            frames: pgnos.length,
            commit: frame.commit,
            checksum1: view.getUint32(16),
            checksum2: view.getUint32(20),
            salts: stored.slice(8, 16),
          };
        }
        appendFramePages(index, 0, pgnos.slice(0, header.frames));
        writeWalIndexHeader(index, header);
      }),
    );
  };

  const checkpoint = (): void =>
    use(`${path}-wal`, (wal) => {
      const reader = readerOf(wal);
      const { frames, commit } = reader?.readPages() ?? {
        frames: new Map<number, number>(),
        commit: 0,
      };
      if (reader !== undefined && commit > 0) {
        const { pageSize } = reader;
        wal.sync();
        use(path, (main) => {
          for (const [pgno, offset] of frames) {
            const page = new Uint8Array(pageSize);
            wal.read(page, offset + WAL_FRAME_HEADER_SIZE);
            main.write(page, (pgno - 1) * pageSize);
          }
          main.truncate(commit * pageSize);
          main.sync();
        });
      }
      use(`${path}-shm`, (index) => writeWalIndexHeader(index, EMPTY));
      wal.truncate(0);
    });

  return {
    open() {
      mark(2);
      recover();
    },
    lock() {
      const index = files.open(`${path}-shm`, { mode: "read" });
      const header = readWalIndexHeader(index);
      index.close();
      // Whoever begins a transaction and finds it torn rebuilds it.
      if (header === undefined) recover();
    },
    unlock() {},
    checkpoint,
    leaveWal() {
      checkpoint();
      mark(1);
      files.remove(`${path}-wal`);
      files.remove(`${path}-shm`);
    },
    close() {
      if (files.identity(`${path}-wal`) === undefined) return;
      checkpoint();
      files.remove(`${path}-wal`);
      files.remove(`${path}-shm`);
    },
  };
}

/** Reads a WAL; `undefined` where it has no header, or a torn one, which SQLite takes for an empty log. */
function readerOf(wal: SyncFile): WalReader | undefined {
  const read = (offset: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, wal.read(bytes, offset));
  };
  const start = read(0, 32);
  return start.length === 32 && isWalMagic(start) ? openWal(read) : undefined;
}
