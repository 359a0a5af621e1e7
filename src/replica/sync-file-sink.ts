/**
 * A restore target on any runtime that has synchronous file calls.
 *
 * @module
 */
import { parentDirectory } from "../core/paths.ts";
import type { Platform } from "../core/platform.ts";
import type { SyncFile, SyncFiles } from "../core/sync-files.ts";
import { fileState, stateDirectory } from "./local-state.ts";
import type { RestoreSink } from "./restore-sink.ts";
import { recoverFiles, refuseTarget, swapIn, temporaryPath } from "./target-files.ts";

/** Options of {@linkcode syncFileSink}. */
export interface SyncFileSinkOptions {
  /** Draws the name of the temporary file. */
  readonly platform: Platform;
  /** Replace an existing database and its side files. @default false */
  readonly force?: boolean | undefined;
  /** Whether a file marked WAL stays so, or opens with a rollback journal. @default "keep" */
  readonly journalHeader?: "keep" | "rollback" | undefined;
}

/**
 * A sink that writes a database file beside its target and puts it in its place when it is complete. The caller holds
 * the lock of the target.
 */
export function syncFileSink(
  files: SyncFiles,
  path: string,
  options: SyncFileSinkOptions,
): RestoreSink {
  const temporary = temporaryPath(path, options.platform.randomBytes(8));
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
      recoverFiles(files, path);
      if (options.force !== true) refuseTarget(files, path);
      files.makeDirectory(parentDirectory(path));
      opened();
    },
    write: (offset, bytes) => opened().write(bytes, offset),
    truncate: (size) => opened().truncate(size),
    chosen: (marker) => keepChoice(files, path, marker),
    finish() {
      opened().sync();
      close();
      swapIn(files, path, { temporary, force: options.force });
    },
    abort() {
      close();
      files.remove(temporary);
    },
  };
}

/** Writes the marker of an earlier state that was chosen beside the database it is restored to. */
export function keepChoice(files: SyncFiles, path: string, marker: Uint8Array): void {
  const state = fileState(files, stateDirectory(path));
  try {
    state.replaceMarker(marker);
  } finally {
    state.close();
  }
}
