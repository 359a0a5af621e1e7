/**
 * Where a replication keeps what must survive a restart: the marker and the staged files.
 *
 * On disk this is a directory beside the database, `.<name>-pagestream`, laid out as Litestream lays out its own:
 * `ltx/<level>/<min>-<max>.ltx`, `marker`, and `log` where commits are staged one by one. In memory it lasts as long as the process, which is right for a
 * database that does not outlive it either.
 *
 * @module
 */
import { IoError } from "../core/errors.ts";
import { fileName, parentDirectory } from "../core/paths.ts";
import type { SyncFile, SyncFiles } from "../core/sync-files.ts";

/** Receives one staged file; nothing is listed before `finish`. */
export interface StagedWriter {
  /** Appends bytes, which are not kept. */
  write(chunk: Uint8Array): void;
  /** Lists the file under its name. Need not sync: a file torn by a crash is found and dropped at the next start. */
  finish(): void;
  /** Removes what was written. */
  abort(): void;
}

/** Storage of one database's replication state. All calls are synchronous: they stand on the commit path. */
export interface LocalState {
  /** Whether it outlives the process, and what was synced a power cut. */
  readonly durable: boolean;
  /** The marker's bytes, or `undefined` where there is none. */
  readMarker(): Uint8Array | undefined;
  /** Replaces the marker, atomically and durably. */
  replaceMarker(bytes: Uint8Array): void;
  /** Appends to the marker; durable only after {@linkcode syncMarker}. */
  appendMarker(bytes: Uint8Array): void;
  /** Returns when everything appended is on stable storage. */
  syncMarker(): void;
  /** Forgets what was proven of the database: the next start uploads every page. Missing is no error. */
  removeMarker(): void;
  /** Names of the finished staged files: `<level>/<min>-<max>.ltx`. */
  staged(): string[];
  /** Begins a file, `<level>/<min>-<max>.ltx`; a finished one of the same name is replaced. */
  stage(name: string): StagedWriter;
  /** Size in bytes of a staged file. */
  stagedSize(name: string): number;
  /** Bytes of a staged file, fewer than asked only at its end. */
  readStaged(name: string, offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Returns when a finished file and its name are on stable storage. Missing is no error. */
  syncStaged(name: string): void;
  /** Drops a file that the store has confirmed, or that nothing can use. Missing is no error. */
  removeStaged(name: string): void;
  /** Bytes of the commit log, fewer than asked only at its end; none where there is no log. */
  readLog(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Writes into the commit log, at its end or over what follows `offset`; durable only after {@linkcode syncLog}. */
  writeLog(bytes: Uint8Array, offset: number): void;
  /** Returns when the commit log, with its name, is on stable storage. */
  syncLog(): void;
  /** Cuts the commit log to a size in bytes; durable only after {@linkcode syncLog}. */
  truncateLog(size: number): void;
  /** Replaces the commit log, atomically and durably, by what `write` appends. */
  replaceLog(write: (append: (bytes: Uint8Array) => void) => void): void;
  /** Releases open files. */
  close(): void;
}

/** State that lasts as long as the process. */
export function memoryState(): LocalState {
  return new MemoryState();
}

class MemoryState implements LocalState {
  readonly durable = false;
  /** Made with the first file: between two files there is nothing to keep. */
  #files: Map<string, Uint8Array<ArrayBuffer>> | undefined;
  #marker: Uint8Array | undefined;

  readMarker(): Uint8Array | undefined {
    return this.#marker;
  }

  replaceMarker(bytes: Uint8Array): void {
    this.#marker = bytes.slice();
  }

  // Nobody reads a marker of this process before it is folded, so there is nothing worth growing.
  appendMarker(): void {}

  syncMarker(): void {}

  removeMarker(): void {
    this.#marker = undefined;
  }

  staged(): string[] {
    return [...(this.#files?.keys() ?? [])].sort();
  }

  stage(name: string): StagedWriter {
    const chunks: Uint8Array[] = [];
    let size = 0;
    return {
      write: (chunk) => {
        chunks.push(chunk.slice());
        size += chunk.length;
      },
      finish: () => {
        const bytes = new Uint8Array(size);
        let at = 0;
        for (const chunk of chunks) {
          bytes.set(chunk, at);
          at += chunk.length;
        }
        this.#files ??= new Map();
        this.#files.set(name, bytes);
      },
      abort: () => {},
    };
  }

  stagedSize(name: string): number {
    return this.#files?.get(name)?.length ?? 0;
  }

  readStaged(name: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#files?.get(name);
    if (bytes === undefined) throw missing(name);
    return bytes.subarray(offset, offset + length);
  }

  syncStaged(): void {}

  removeStaged(name: string): void {
    this.#files?.delete(name);
    if (this.#files?.size === 0) this.#files = undefined;
  }

  // The log is for commits that must outlive the process: here they cannot.

  readLog(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(0);
  }

  writeLog(): void {}

  syncLog(): void {}

  truncateLog(): void {}

  replaceLog(): void {}

  close(): void {}
}

function missing(name: string): IoError {
  return new IoError({ operation: "read", object: name, what: "the staged file is gone" });
}

/** The directory that belongs to a database file: `/data/app.db` has `/data/.app.db-pagestream`. */
export function stateDirectory(databasePath: string): string {
  const name = fileName(databasePath);
  return `${databasePath.slice(0, -name.length)}.${name}-pagestream`;
}

/** A staged file of so many bytes, the last one, is kept in memory until the store has it: it is read in a moment. */
const KEPT_BYTES = 1 << 16;

/** State in a directory of its own, made when the first file is written. */
export function fileState(files: SyncFiles, directory: string): LocalState {
  return new FileState(files, directory);
}

class FileState implements LocalState {
  readonly durable = true;
  readonly #files: SyncFiles;
  readonly #directory: string;
  readonly #markerPath: string;
  readonly #logPath: string;
  readonly #made = new Set<string>();
  /** Directories whose own names are known to be on stable storage. */
  readonly #lasting = new Set<string>();
  #marker: SyncFile | undefined;
  #markerSize = 0;
  #log: SyncFile | undefined;
  #logIsNamed = false;
  #kept: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  constructor(files: SyncFiles, directory: string) {
    this.#files = files;
    this.#directory = directory;
    this.#markerPath = `${directory}/marker`;
    this.#logPath = `${directory}/log`;
    // Whatever carries this ending was never finished.
    for (const level of files.list(`${directory}/ltx`)) {
      for (const name of files.list(`${directory}/ltx/${level}`)) {
        if (name.endsWith(".tmp")) files.remove(`${directory}/ltx/${level}/${name}`);
      }
    }
    files.remove(`${this.#markerPath}.tmp`);
    files.remove(`${this.#logPath}.tmp`);
  }

  readMarker(): Uint8Array | undefined {
    if (this.#files.identity(this.#markerPath) === undefined) return undefined;
    return this.#read(this.#markerPath, 0, Number.POSITIVE_INFINITY);
  }

  replaceMarker(bytes: Uint8Array): void {
    this.#closeMarker();
    this.#replace(this.#markerPath, (append) => append(bytes));
  }

  appendMarker(bytes: Uint8Array): void {
    if (this.#marker === undefined) {
      this.#marker = this.#files.open(this.#markerPath, { mode: "write" });
      this.#markerSize = this.#marker.size();
    }
    this.#marker.write(bytes, this.#markerSize);
    this.#markerSize += bytes.length;
  }

  syncMarker(): void {
    this.#marker?.sync();
  }

  removeMarker(): void {
    this.#closeMarker();
    if (this.#files.remove(this.#markerPath)) this.#files.syncDirectory(this.#directory);
  }

  staged(): string[] {
    const names: string[] = [];
    for (const level of this.#files.list(`${this.#directory}/ltx`)) {
      for (const name of this.#files.list(`${this.#directory}/ltx/${level}`)) {
        if (name.endsWith(".ltx")) names.push(`${level}/${name}`);
      }
    }
    return names;
  }

  stage(name: string): StagedWriter {
    const path = this.#path(name);
    this.#makeDirectory(path.slice(0, path.lastIndexOf("/")));
    const temporary = `${path}.tmp`;
    this.#kept = undefined;
    this.#files.remove(temporary);
    const file = this.#files.open(temporary, { mode: "exclusive" });
    let size = 0;
    let first: Uint8Array<ArrayBuffer> | undefined;
    return {
      write: (chunk) => {
        first = size === 0 && chunk.length <= KEPT_BYTES ? chunk.slice() : undefined;
        file.write(chunk, size);
        size += chunk.length;
      },
      finish: () => {
        file.close();
        this.#files.rename(temporary, path);
        this.#kept = first && { name, bytes: first };
      },
      abort: () => {
        file.close();
        this.#files.remove(temporary);
      },
    };
  }

  stagedSize(name: string): number {
    return this.#files.identity(this.#path(name))?.size ?? 0;
  }

  readStaged(name: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.#kept?.name === name) return this.#kept.bytes.subarray(offset, offset + length);
    return this.#read(this.#path(name), offset, length);
  }

  syncStaged(name: string): void {
    const path = this.#path(name);
    if (this.#files.identity(path) === undefined) return;
    const file = this.#files.open(path, { mode: "write" });
    try {
      file.sync();
    } finally {
      file.close();
    }
    const level = parentDirectory(path);
    this.#makeLasting(level);
    this.#files.syncDirectory(level);
  }

  removeStaged(name: string): void {
    if (this.#kept?.name === name) this.#kept = undefined;
    this.#files.remove(this.#path(name));
  }

  readLog(offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.#files.identity(this.#logPath) === undefined) return new Uint8Array(0);
    return this.#read(this.#logPath, offset, length);
  }

  writeLog(bytes: Uint8Array, offset: number): void {
    this.#makeDirectory(this.#directory);
    this.#log ??= this.#files.open(this.#logPath, { mode: "create" });
    this.#log.write(bytes, offset);
  }

  syncLog(): void {
    this.#log?.sync();
    if (this.#logIsNamed || this.#log === undefined) return;
    this.#makeLasting(this.#directory);
    this.#files.syncDirectory(this.#directory);
    this.#logIsNamed = true;
  }

  truncateLog(size: number): void {
    if (this.#log === undefined && this.#files.identity(this.#logPath) === undefined) return;
    this.#log ??= this.#files.open(this.#logPath, { mode: "write" });
    this.#log.truncate(size);
  }

  replaceLog(write: (append: (bytes: Uint8Array) => void) => void): void {
    this.#closeLog();
    this.#replace(this.#logPath, write);
  }

  close(): void {
    this.#closeMarker();
    this.#closeLog();
  }

  #read(path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
    const file = this.#files.open(path, { mode: "read" });
    try {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, file.size() - offset)));
      return bytes.subarray(0, file.read(bytes, offset));
    } finally {
      file.close();
    }
  }

  /** Puts a file in place of another, atomically and durably. */
  #replace(path: string, write: (append: (bytes: Uint8Array) => void) => void): void {
    this.#makeDirectory(this.#directory);
    const temporary = `${path}.tmp`;
    this.#files.remove(temporary);
    const file = this.#files.open(temporary, { mode: "exclusive" });
    try {
      let size = 0;
      write((bytes) => {
        file.write(bytes, size);
        size += bytes.length;
      });
      file.sync();
    } finally {
      file.close();
    }
    this.#files.rename(temporary, path);
    this.#makeLasting(this.#directory);
    this.#files.syncDirectory(this.#directory);
  }

  #path(name: string): string {
    return `${this.#directory}/ltx/${name}`;
  }

  #makeDirectory(path: string): void {
    if (this.#made.has(path)) return;
    this.#files.makeDirectory(path);
    this.#made.add(path);
  }

  /** Returns when the names of a directory and of those above it, up to the database's, are on stable storage. */
  #makeLasting(path: string): void {
    if (this.#lasting.has(path)) return;
    const parent = parentDirectory(path);
    if (path !== this.#directory) this.#makeLasting(parent);
    this.#files.syncDirectory(parent);
    this.#lasting.add(path);
  }

  #closeMarker(): void {
    this.#marker?.close();
    this.#marker = undefined;
  }

  #closeLog(): void {
    this.#log?.close();
    this.#log = undefined;
  }
}
