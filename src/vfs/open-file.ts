/**
 * Open files of the sync-file VFS: journals, WALs and main databases.
 *
 * @module
 */
import { parentDirectory } from "../core/paths.ts";
import type { FileIdentity, SyncFile, SyncFiles } from "../core/sync-files.ts";
import { decodeWalFrameHeader, WAL_FRAME_HEADER_SIZE } from "../core/wal.ts";
import {
  SQLITE_FCNTL_CKPT_DONE,
  SQLITE_FCNTL_CKPT_START,
  SQLITE_FCNTL_SYNC,
  SQLITE_LOCK_RESERVED,
  SQLITE_LOCK_SHARED,
} from "./constants.ts";
import type { HandleLock } from "./file-locks.ts";
import type { VfsFile } from "./io-methods.ts";

/** What is known, without asking the file system, of a file that belongs to an open database. */
export interface Known {
  presence: "absent" | "empty" | "filled";
  /** Whether the directory entry was put on stable storage since this process first saw the file. */
  entrySynced: boolean;
}

/** What an open file belongs to. */
export interface FileOwner {
  readonly files: SyncFiles;
  readonly path: string;
  readonly lock: HandleLock;
  readonly known: Known;
  readonly onClose: () => void;
}

/** An open file. */
export class OpenFile implements VfsFile {
  readonly lock: HandleLock;
  protected readonly file: SyncFile;
  readonly #owner: FileOwner;

  constructor(file: SyncFile, owner: FileOwner) {
    this.file = file;
    this.#owner = owner;
    this.lock = owner.lock;
  }

  read(into: Uint8Array, offset: number): number {
    return this.file.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#owner.known.presence = "filled";
    this.file.write(bytes, offset);
  }

  truncate(size: number): void {
    this.file.truncate(size);
    this.#owner.known.presence = size > 0 ? "filled" : "empty";
  }

  sync(): void {
    this.file.sync();
    // A journal that a power cut makes nameless cannot be played back. SQLite may open it, close it without a sync
    // and open it again, so this is a matter of the file, not of the handle.
    if (this.#owner.known.entrySynced) return;
    this.#owner.files.syncDirectory(parentDirectory(this.#owner.path));
    this.#owner.known.entrySynced = true;
  }

  size(): number {
    return this.file.size();
  }

  identity(): FileIdentity {
    return this.file.identity();
  }

  close(): void {
    try {
      this.file.close();
    } finally {
      this.#owner.onClose();
    }
  }
}

/** An open WAL: it proves itself before a frame that commits is written. */
export class WalFile extends OpenFile {
  readonly #prove: () => void;

  constructor(file: SyncFile, owner: FileOwner, prove: () => void) {
    super(file, owner);
    this.#prove = prove;
  }

  /**
   * SQLite writes a frame's header by itself, and nothing else of that length. An error here makes it forget the
   * transaction's frames; one in the sync that follows would come after the commit can be read back.
   */
  override write(bytes: Uint8Array, offset: number): void {
    const commits =
      bytes.length === WAL_FRAME_HEADER_SIZE && decodeWalFrameHeader(bytes).commit !== 0;
    if (commits) this.#prove();
    super.write(bytes, offset);
  }
}

/** An open main database: it recognises a commit before it happens, and proves the journal then. */
export class MainFile extends OpenFile {
  readonly #proveJournal: () => void;
  readonly #proveWal: () => void;
  /** Why the checkpoint that runs must not write; undefined also while none runs. */
  #refusal: { readonly error: unknown } | undefined;
  /** Change counter when RESERVED was taken; undefined while no write transaction is open. */
  #counter: number | undefined;
  /** The last commit was refused; what SQLite syncs next is its rollback. */
  #refused = false;

  constructor(
    file: SyncFile,
    owner: FileOwner & { readonly proveJournal: () => void; readonly proveWal: () => void },
  ) {
    super(file, owner);
    this.#proveJournal = owner.proveJournal;
    this.#proveWal = owner.proveWal;
  }

  override write(bytes: Uint8Array, offset: number): void {
    if (this.#refusal !== undefined) throw this.#refusal.error;
    super.write(bytes, offset);
  }

  locking(level: number): void {
    if (level === SQLITE_LOCK_RESERVED) {
      this.#counter = this.#changeCounter();
    } else if (level <= SQLITE_LOCK_SHARED) {
      this.#counter = undefined;
      this.#refused = false;
    }
  }

  control(op: number): undefined {
    if (op === SQLITE_FCNTL_SYNC) this.#syncing();
    else if (op === SQLITE_FCNTL_CKPT_START) this.#checkpointing();
    else if (op === SQLITE_FCNTL_CKPT_DONE) this.#refusal = undefined;
  }

  /**
   * Whoever deleted the WAL has copied it into the database before, and may have committed since: copying it again
   * would undo that. SQLite takes no answer at this point, so the writes that follow fail.
   */
  #checkpointing(): void {
    this.#refusal = undefined;
    try {
      this.#proveWal();
    } catch (error) {
      this.#refusal = { error };
    }
  }

  /**
   * SQLite asks for a sync at COMMIT, but also when it plays a journal back. An error must not go into a rollback, so
   * the two are told apart: a commit has raised the change counter, a rollback has put it back, and a hot journal is
   * played back without RESERVED. In exclusive locking mode only the first commit raises the counter; it then differs
   * from the one that RESERVED was taken at, commit or rollback, and the journal is checked for both.
   */
  #syncing(): void {
    if (this.#counter === undefined) return;
    if (this.#refused) {
      this.#refused = false;
      return;
    }
    if (this.#changeCounter() === this.#counter) return;
    try {
      this.#proveJournal();
    } catch (error) {
      this.#refused = true;
      throw error;
    }
  }

  #changeCounter(): number {
    const bytes = new Uint8Array(4);
    this.file.read(bytes, 24);
    return (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  }
}
