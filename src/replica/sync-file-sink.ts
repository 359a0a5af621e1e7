/**
 * A restore target on any runtime that has synchronous file calls.
 *
 * @module
 */
import type { SyncFile, SyncFiles } from "../core/sync-files.ts";
import type { RestoreSink } from "./restore-sink.ts";
import {
  directoryOf,
  recoverTarget,
  refuseTarget,
  swapTarget,
  temporaryPath,
} from "./target-swap.ts";

/** Options of {@linkcode syncFileSink}. */
export interface SyncFileSinkOptions {
  /** Replace an existing database and its side files. @default false */
  readonly force?: boolean | undefined;
  /** @default "keep" */
  readonly journalHeader?: "keep" | "rollback" | undefined;
}

/** A sink that writes a database file beside its target and swaps it in when it is complete. */
export function syncFileSink(
  files: SyncFiles,
  path: string,
  options: SyncFileSinkOptions = {},
): RestoreSink {
  const temporary = temporaryPath(path);
  let file: SyncFile | undefined;
  const close = (): void => {
    file?.close();
    file = undefined;
  };
  const opened = (): SyncFile => {
    file ??= files.open(temporary, { mode: "exclusive" });
    return file;
  };
  return {
    name: path,
    journalHeader: options.journalHeader ?? "keep",
    start() {
      recoverTarget(files, path);
      if (options.force !== true) refuseTarget(files, path);
      files.makeDirectory(directoryOf(path));
      opened();
    },
    write: (offset, bytes) => opened().write(bytes, offset),
    truncate: (size) => opened().truncate(size),
    finish() {
      opened().sync();
      close();
      swapTarget(files, path);
    },
    abort() {
      close();
      files.remove(temporary);
    },
  };
}
