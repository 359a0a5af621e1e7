/**
 * The VFS through which SQLite reads replicas: one for each wasm instance, with a path for each open replica.
 *
 * A replica can be attached to its own connection at another time: `ATTACH 'file:PATH?vfs=pagestream-replica&txid=…'`, or
 * `&timestamp=…`, where PATH is what `PRAGMA database_list` says. Everything else that is opened is a temporary file, in
 * memory.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { WasmMemory } from "./bind.ts";
import { VfsError } from "./errors.ts";
import { registerVfs, type VfsFile, type VfsFileSystem } from "./io-methods.ts";
import { temporaryFile } from "./memory-vfs.ts";
import { ReplicaFile } from "./replica-file.ts";
import { type ReplicaSession, type SessionTarget, unplanned } from "./replica-session.ts";
import { exportsOf } from "./replica-values.ts";
import type { Sqlite3, WasmPointer } from "./sqlite3.ts";
import { canSuspend } from "./trampoline.ts";

/** Name of the VFS. */
export const REPLICA_VFS = "pagestream-replica";

/** The VFS of one wasm instance. */
export interface ReplicaVfs {
  readonly name: string;
  /** Gives a session a path, until it is forgotten. */
  add(session: ReplicaSession): { readonly path: string; forget(): void };
}

const installed = new WeakMap<Sqlite3, ReplicaVfs>();

/** The VFS of a wasm instance, installed when it is first asked for. */
export function replicaVfs(sqlite3: Sqlite3): ReplicaVfs {
  let vfs = installed.get(sqlite3);
  if (vfs === undefined) {
    const files = new ReplicaFiles(sqlite3);
    registerVfs(sqlite3, files, {
      name: REPLICA_VFS,
      deviceCharacteristics: 0,
      suspends: canSuspend(),
    });
    vfs = { name: REPLICA_VFS, add: (session) => files.add(session) };
    installed.set(sqlite3, vfs);
  }
  return vfs;
}

class ReplicaFiles implements VfsFileSystem {
  readonly #sqlite3: Sqlite3;
  readonly #memory: WasmMemory;
  readonly #sessions = new Map<string, ReplicaSession>();
  readonly #keys: Readonly<Record<"txid" | "timestamp", WasmPointer>>;
  #count = 0;

  constructor(sqlite3: Sqlite3) {
    this.#sqlite3 = sqlite3;
    this.#memory = new WasmMemory(sqlite3);
    this.#keys = {
      txid: this.#memory.allocateString("txid"),
      timestamp: this.#memory.allocateString("timestamp"),
    };
  }

  add(session: ReplicaSession): { readonly path: string; forget(): void } {
    const path = `/replica-${++this.#count}`;
    this.#sessions.set(path, session);
    return { path, forget: () => this.#sessions.delete(path) };
  }

  open(path: string | undefined, _flags: number, name: WasmPointer): VfsFile {
    if (path === undefined) return temporaryFile();
    const session = this.#sessions.get(path);
    if (session === undefined) {
      throw new VfsError({ operation: "open", object: path, what: "no replica is open there" });
    }
    return session.noting(() => {
      const target = this.#target(path, name);
      if (target === undefined) return new ReplicaFile(session, this.#memory, undefined);
      const { found, view } = session.planned(target);
      if (!found) throw unplanned(path);
      return new ReplicaFile(session, this.#memory, view);
    });
  }

  remove(): boolean {
    return false;
  }

  exists(): boolean {
    return false;
  }

  existsWithBytes(): boolean {
    return false;
  }

  fullPath(path: string): string {
    return path;
  }

  /** The state that a URI asks for. */
  #target(path: string, name: WasmPointer): SessionTarget | undefined {
    const txid = this.#parameter(name, "txid");
    const timestamp = this.#parameter(name, "timestamp");
    if (txid !== undefined && timestamp !== undefined) {
      throw new InvalidArgumentError({
        operation: "open",
        object: path,
        what: "txid and timestamp exclude each other",
        next: "Give one of them",
      });
    }
    if (txid !== undefined) return { txid };
    return timestamp === undefined ? undefined : { timestamp };
  }

  #parameter(name: WasmPointer, key: "txid" | "timestamp"): string | undefined {
    const value = exportsOf(this.#sqlite3).sqlite3_uri_parameter(name, this.#keys[key]);
    return value === 0 ? undefined : this.#memory.readString(value);
  }
}
