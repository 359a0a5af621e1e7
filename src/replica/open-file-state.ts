/**
 * Replication state in files that are open from the start, for where opening one means waiting.
 *
 * @module
 */
import type { OpenFile } from "../core/sync-files.ts";
import { BlockFile } from "./block-file.ts";
import type { LocalState } from "./local-state.ts";
import { TwinFile, type Twins } from "./twin-file.ts";

/** The files of one database's state. Nobody else has them open. */
export interface StateFiles {
  readonly marker: Twins;
  readonly log: Twins;
  /** Holds all staged files. */
  readonly staged: OpenFile;
}

/** Makes a durable {@linkcode LocalState} of files, which are closed with it. */
export function openFileState(files: StateFiles): LocalState {
  const marker = new TwinFile(files.marker);
  const log = new TwinFile(files.log);
  const staged = new BlockFile(files.staged);
  return {
    durable: true,
    readMarker: () => {
      const { size } = marker;
      return size === undefined ? undefined : marker.read(0, size);
    },
    replaceMarker: (bytes) => marker.replace((append) => append(bytes)),
    appendMarker: (bytes) => marker.write(bytes, marker.size ?? 0),
    syncMarker: () => marker.sync(),
    removeMarker: () => marker.remove(),
    staged: () => staged.names(),
    stage: (name) => staged.write(name),
    stagedSize: (name) => staged.size(name),
    readStaged: (name, offset, length) => staged.read(name, offset, length),
    syncStaged: () => staged.sync(),
    removeStaged: (name) => staged.remove(name),
    readLog: (offset, length) => log.read(offset, length),
    writeLog: (bytes, offset) => log.write(bytes, offset),
    syncLog: () => log.sync(),
    truncateLog: (size) => log.truncate(size),
    replaceLog: (write) => log.replace(write),
    close() {
      for (const file of [...files.marker, ...files.log, files.staged]) file.close();
    },
  };
}
