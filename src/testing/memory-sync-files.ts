/**
 * Files in memory that can crash.
 *
 * @module
 */
import type {
  FileIdentity,
  FileLock,
  OpenOptions,
  SyncFile,
  SyncFiles,
} from "../core/sync-files.ts";
import { DatabaseLockedError } from "../vfs/errors.ts";
import { MemoryInode } from "./memory-inode.ts";
import { type SeededRandom, seededRandom } from "./seeded-random.ts";

/** A file call, as {@linkcode MemorySyncFilesOptions.onOperation} sees it before it has any effect. */
export interface FileOperation {
  /** Name of the method, of the file system or of an open file. */
  readonly type: keyof Omit<SyncFiles, "fullPath"> | keyof Omit<SyncFile, "identity">;
  /** Absolute path; of a rename the old one. */
  readonly path: string;
}

/** Options of {@linkcode memorySyncFiles}. */
export interface MemorySyncFilesOptions {
  /** Called before each file call; what it throws, the call throws, and has no effect. */
  readonly onOperation?: ((operation: FileOperation) => void) | undefined;
}

/** How {@linkcode MemorySyncFiles.crash} treats directory changes that were not synced. */
export interface CrashOptions {
  /**
   * `any`: each change survives or not by itself, as POSIX allows. `ordered`: those before a random point survive, as
   * journaling file systems do it. @default "any"
   */
  readonly directories?: "any" | "ordered" | undefined;
}

/** {@linkcode SyncFiles} in memory. The current directory is `/`; there are no links. */
export interface MemorySyncFiles extends SyncFiles {
  /**
   * Ends every open file and lock. After `"power"` only what was synced is left, of the rest a random part: sectors of
   * 512 bytes, and entries of directories.
   */
  crash(kind: "process" | "power", random?: SeededRandom, options?: CrashOptions): void;
  /** A copy of a file's bytes as programs see them; `undefined` where there is none. */
  bytes(path: string): Uint8Array<ArrayBuffer> | undefined;
  /** Makes a file with these bytes, durably, with its directories. */
  place(path: string, bytes: Uint8Array): void;
  /** Paths of all files, sorted. */
  paths(): string[];
}

/** A change to directories that is not on stable storage yet. Missing: the name is gone afterwards. */
interface Change {
  readonly entries: readonly (readonly [path: string, node: Node | undefined])[];
}

/** What a name stands for. */
type Node = MemoryInode | "directory";

/** Fails as a runtime's own file calls do. */
export class MemoryFileError extends Error {
  /** `ENOENT`, `EEXIST`, … */
  readonly code: string;

  /** Makes an error with the code and the words that Node gives the same failure. */
  constructor(code: string, operation: string, path: string) {
    super(`${code}: ${operation} '${path}'`);
    this.name = "MemoryFileError";
    this.code = code;
  }
}

/**
 * Makes an empty file system.
 *
 * @example
 * ```ts
 * import { memorySyncFiles, seededRandom } from "pagestream/testing";
 *
 * const files = memorySyncFiles();
 * const file = files.open("app.db", { mode: "create" });
 * file.write(new Uint8Array(4096), 0);
 * files.crash("power", seededRandom(1)); // nothing was synced: the file may be gone, short or torn
 * ```
 */
export function memorySyncFiles(options: MemorySyncFilesOptions = {}): MemorySyncFiles {
  return new MemoryFileSystem(options.onOperation ?? (() => undefined));
}

class MemoryFileSystem implements MemorySyncFiles {
  readonly #onOperation: (operation: FileOperation) => void;
  #entries = new Map<string, Node>([["/", "directory"]]);
  readonly #durable = new Map<string, Node>([["/", "directory"]]);
  #pending: Change[] = [];
  readonly #locks = new Set<string>();
  #lastInode = 0n;
  /** Counts crashes: what was opened before the last one is dead. */
  #life = 0;

  constructor(onOperation: (operation: FileOperation) => void) {
    this.#onOperation = onOperation;
  }

  fullPath(path: string): string {
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return `/${parts.join("/")}`;
  }

  open(path: string, { mode }: OpenOptions): SyncFile {
    const full = this.#enter("open", path);
    let node = this.#entries.get(full);
    if (node === "directory") throw new MemoryFileError("EISDIR", "open", full);
    if (node === undefined) {
      if (mode === "read" || mode === "write") throw new MemoryFileError("ENOENT", "open", full);
      this.#needDirectory(full, "open");
      node = new MemoryInode(++this.#lastInode);
      this.#change([[full, node]]);
    } else if (mode === "exclusive") {
      throw new MemoryFileError("EEXIST", "open", full);
    }
    return this.#handle(full, node, mode === "read");
  }

  identity(path: string): FileIdentity | undefined {
    const full = this.#enter("identity", path);
    const node = this.#entries.get(full);
    return node instanceof MemoryInode ? identityOf(node) : undefined;
  }

  remove(path: string): boolean {
    const full = this.#enter("remove", path);
    const node = this.#entries.get(full);
    if (node === "directory") throw new MemoryFileError("EISDIR", "remove", full);
    if (node === undefined) return false;
    this.#change([[full, undefined]]);
    return true;
  }

  rename(from: string, to: string): void {
    const source = this.#enter("rename", from);
    const target = this.fullPath(to);
    const node = this.#entries.get(source);
    if (node === undefined) throw new MemoryFileError("ENOENT", "rename", source);
    if (node === "directory" || this.#entries.get(target) === "directory") {
      throw new MemoryFileError("EISDIR", "rename", source);
    }
    this.#needDirectory(target, "rename");
    if (source === target) return;
    this.#change([
      [source, undefined],
      [target, node],
    ]);
  }

  list(directory: string): string[] {
    const full = this.#enter("list", directory);
    const prefix = full === "/" ? "/" : `${full}/`;
    return [...this.#entries.keys()]
      .filter((path) => path.startsWith(prefix) && path !== full)
      .map((path) => path.slice(prefix.length))
      .filter((name) => !name.includes("/"))
      .sort();
  }

  makeDirectory(path: string): void {
    const full = this.#enter("makeDirectory", path);
    let at = "";
    for (const part of full.split("/").slice(1)) {
      at += `/${part}`;
      const node = this.#entries.get(at);
      if (node instanceof MemoryInode) throw new MemoryFileError("ENOTDIR", "makeDirectory", at);
      if (node === undefined) this.#change([[at, "directory"]]);
    }
  }

  syncDirectory(path: string): void {
    const full = this.#enter("syncDirectory", path);
    if (this.#entries.get(full) !== "directory") {
      throw new MemoryFileError("ENOENT", "syncDirectory", full);
    }
    this.#pending = this.#pending.filter((change) => {
      const here = change.entries.some(([entry]) => directoryOf(entry) === full);
      if (here) this.#settle(change);
      return !here;
    });
  }

  lock(path: string): FileLock {
    const full = this.#enter("lock", path);
    if (this.#locks.has(full)) {
      throw new DatabaseLockedError({
        operation: "lock",
        object: full,
        what: "it is open already",
        next: "Close the other use of the file first",
      });
    }
    this.#locks.add(full);
    const life = this.#life;
    let held = true;
    return {
      release: () => {
        if (held && life === this.#life) this.#locks.delete(full);
        held = false;
      },
    };
  }

  crash(
    kind: "process" | "power",
    random: SeededRandom = seededRandom(0),
    options: CrashOptions = {},
  ): void {
    this.#life++;
    this.#locks.clear();
    if (kind === "process") return;
    const survivors = random.int(this.#pending.length + 1);
    for (const [i, change] of this.#pending.entries()) {
      const survives = options.directories === "ordered" ? i < survivors : random.chance(0.5);
      if (survives) this.#settle(change);
    }
    this.#pending = [];
    // A file whose directory is lost is lost with it.
    for (const path of this.#durable.keys()) {
      if (!this.#isReachable(path)) this.#durable.delete(path);
    }
    this.#entries = new Map(this.#durable);
    const nodes = new Set(
      [...this.#entries.values()].filter((node) => node instanceof MemoryInode),
    );
    for (const node of nodes) {
      node.links = [...this.#entries.values()].filter((other) => other === node).length;
      node.lose(random);
    }
  }

  bytes(path: string): Uint8Array<ArrayBuffer> | undefined {
    const node = this.#entries.get(this.fullPath(path));
    return node instanceof MemoryInode ? node.bytes() : undefined;
  }

  place(path: string, bytes: Uint8Array): void {
    const full = this.fullPath(path);
    const node = new MemoryInode(++this.#lastInode);
    node.write(bytes, 0);
    node.sync();
    for (let at = directoryOf(full); !this.#entries.has(at); at = directoryOf(at)) {
      this.#change([[at, "directory"]]);
    }
    this.#change([[full, node]]);
    for (const change of this.#pending) this.#settle(change);
    this.#pending = [];
  }

  paths(): string[] {
    return [...this.#entries.keys()]
      .filter((path) => this.#entries.get(path) !== "directory")
      .sort();
  }

  #enter(type: FileOperation["type"], path: string): string {
    const full = this.fullPath(path);
    this.#onOperation({ type, path: full });
    return full;
  }

  #needDirectory(path: string, operation: string): void {
    if (this.#entries.get(directoryOf(path)) !== "directory") {
      throw new MemoryFileError("ENOENT", operation, path);
    }
  }

  #change(entries: Change["entries"]): void {
    for (const [path, node] of entries) {
      const old = this.#entries.get(path);
      if (old instanceof MemoryInode) old.links--;
      if (node instanceof MemoryInode) node.links++;
      if (node === undefined) this.#entries.delete(path);
      else this.#entries.set(path, node);
    }
    this.#pending.push({ entries });
  }

  #settle(change: Change): void {
    for (const [path, node] of change.entries) {
      if (node === undefined) this.#durable.delete(path);
      else this.#durable.set(path, node);
    }
  }

  #isReachable(path: string): boolean {
    for (let at = path; at !== "/"; at = directoryOf(at)) {
      if (this.#durable.get(directoryOf(at)) !== "directory") return false;
    }
    return true;
  }

  #handle(path: string, inode: MemoryInode, readOnly: boolean): SyncFile {
    const life = this.#life;
    let open = true;
    const enter = (type: FileOperation["type"]): void => {
      if (!open || life !== this.#life) throw new MemoryFileError("EBADF", type, path);
      this.#onOperation({ type, path });
    };
    const enterWriting = (type: FileOperation["type"]): void => {
      enter(type);
      if (readOnly) throw new MemoryFileError("EBADF", type, path);
    };
    return {
      read(into, offset) {
        enter("read");
        return inode.read(into, offset);
      },
      write(bytes, offset) {
        enterWriting("write");
        inode.write(bytes, offset);
      },
      truncate(size) {
        enterWriting("truncate");
        inode.truncate(size);
      },
      sync() {
        enter("sync");
        inode.sync();
      },
      size() {
        enter("size");
        return inode.size;
      },
      identity() {
        enter("identity");
        return identityOf(inode);
      },
      close() {
        enter("close");
        open = false;
      },
    };
  }
}

function identityOf(inode: MemoryInode): FileIdentity {
  return { device: 1n, inode: inode.id, links: inode.links, size: inode.size };
}

function directoryOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}
