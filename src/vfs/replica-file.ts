/**
 * A replica's database file, as SQLite sees it through one connection.
 *
 * @module
 */
import { abortable } from "../core/abortable.ts";
import { equalBytes, viewOf } from "../core/bytes.ts";
import { DATABASE_HEADER_SIZE } from "../core/database-header.ts";
import { lockPage } from "../core/lock-page.ts";
import type { PageView } from "../core/page-source.ts";
import type { WasmMemory } from "./bind.ts";
import {
  SQLITE_ERROR,
  SQLITE_FCNTL_PRAGMA,
  SQLITE_LOCK_NONE,
  SQLITE_LOCK_SHARED,
  SQLITE_OK,
} from "./constants.ts";
import { VfsError } from "./errors.ts";
import type { HandleLock } from "./file-locks.ts";
import { MISSING, type VfsFile, WAIT } from "./io-methods.ts";
import { answerPragma } from "./replica-pragmas.ts";
import type { ReplicaSession, SessionFile } from "./replica-session.ts";
import type { WasmPointer } from "./sqlite3.ts";

/** End of the part of the header that is changed. */
const PATCH_END = 96;

/** Where the header has the schema's number. */
const SCHEMA_AT = 40;

/**
 * An open file. A read transaction, from SHARED to NONE, sees one view; the next one sees the newest.
 *
 * Four things differ from the bytes of the replica, all in the header. The journal mode (bytes 18 and 19) says rollback, for
 * a database in WAL mode cannot be opened without shared memory. The change counter (24 to 27, and 92 to 95) is the number
 * of the view, which makes SQLite drop its cache when the view changes and only then: the writer's own does not move in
 * WAL mode. The schema's number (40 to 43) moves on where the schema became another under the same one: a database that was
 * put in the place of another, or went back and then another way, counts from where it is.
 */
export class ReplicaFile<V extends PageView = PageView> implements VfsFile, SessionFile<V> {
  readonly readOnly = true;
  readonly lock: HandleLock;
  readonly #session: ReplicaSession<V>;
  readonly #memory: WasmMemory;
  readonly own: V | undefined;
  readonly #releaseOwn: (() => void) | undefined;
  #level = SQLITE_LOCK_NONE;
  #pin: { readonly view: V; readonly release: (() => void) | undefined } | undefined;
  /** What the read that waits wants. */
  #awaited: { readonly view: V; readonly pgnos: readonly number[] } | undefined;
  /** Page 1 as it was last read. */
  #first: { readonly view: V; readonly bytes: Uint8Array } | undefined;
  /** What the schema's number is ahead by. */
  #ahead = 0;

  constructor(session: ReplicaSession<V>, memory: WasmMemory, own: V | undefined) {
    this.#session = session;
    this.#memory = memory;
    this.own = own;
    this.#releaseOwn = own === undefined ? undefined : session.source.pin(own);
    this.lock = this.#makeLock();
    session.files.add(this);
  }

  /** The view of the open read transaction. */
  get pinned(): V | undefined {
    return this.#pin?.view;
  }

  read(into: Uint8Array, offset: number): number {
    const view = this.#view();
    const { pageSize, commit } = view;
    const end = Math.min(offset + into.length, pageSize * commit);
    // Every transaction begins with a look at the header.
    if (this.#first?.view === view && end <= DATABASE_HEADER_SIZE) {
      into.set(this.#first.bytes.subarray(offset, end));
    } else if (end > offset) {
      const answer = this.#copy(view, into, offset);
      if (answer !== SQLITE_OK) return answer;
    }
    if (offset < PATCH_END) {
      const { bytes } = this.#first ?? {};
      const schema = bytes === undefined ? 0 : schemaNumber(bytes) + this.#ahead;
      patchHeader(into, offset, { counter: view.sequence, schema });
    }
    return Math.max(0, end - offset);
  }

  async wait(): Promise<void> {
    const awaited = this.#awaited;
    if (awaited === undefined) return;
    this.#awaited = undefined;
    const { source, signal } = this.#session;
    try {
      await this.#session.rest();
      const fetching = source.fetch(awaited.view, awaited.pgnos, { signal });
      // Nothing else of the wasm instance can suspend meanwhile.
      await abortable(fetching, { operation: "read", object: source.name, signal });
    } catch (error) {
      this.#session.failure = error;
      throw error;
    }
  }

  write(): void {
    throw this.#refused("write to");
  }

  truncate(): void {
    throw this.#refused("truncate");
  }

  sync(): void {}

  size(): number {
    const { pageSize, commit } = this.#view();
    return pageSize * commit;
  }

  /** `arg` of a PRAGMA is an array of three strings: room for an answer, the name, the value or NULL. */
  control(op: number, arg: WasmPointer): number | undefined {
    if (op !== SQLITE_FCNTL_PRAGMA) return undefined;
    const memory = this.#memory;
    const name = memory.readString(memory.readU32(arg + 4));
    const value = memory.readU32(arg + 8);
    let answer: string | undefined;
    let code = SQLITE_OK;
    try {
      answer = this.#session.noting(() =>
        answerPragma(this.#session, name, value === 0 ? undefined : memory.readString(value)),
      );
    } catch (error) {
      answer = error instanceof Error ? error.message : String(error);
      code = SQLITE_ERROR;
    }
    if (answer === undefined) return undefined;
    memory.writeU32(arg, memory.allocateString(answer));
    return code;
  }

  close(): void {
    this.#session.files.delete(this);
    this.#releaseOwn?.();
  }

  #view(): V {
    return this.#pin?.view ?? this.own ?? this.#session.next;
  }

  /** Copies bytes that may lie in several pages: SQLite may not know yet that their size has changed. */
  #copy(view: V, into: Uint8Array, offset: number): number {
    const { pageSize, commit } = view;
    const { source, kept } = this.#session;
    const first = Math.floor(offset / pageSize) + 1;
    const last = Math.min(commit, Math.ceil((offset + into.length) / pageSize));
    for (let pgno = first; pgno <= last; pgno++) {
      kept?.add(pgno);
      const page = source.peek(view, pgno) ?? this.#bring(view, { first, last, pgno });
      if (typeof page === "number") return page;
      const start = (pgno - 1) * pageSize;
      const from = Math.max(0, offset - start);
      into.set(
        page.subarray(from, Math.min(pageSize, offset + into.length - start)),
        start + from - offset,
      );
      if (pgno === 1 && this.#first?.view !== view) this.#meet(view, page.slice());
    }
    return SQLITE_OK;
  }

  #meet(view: V, bytes: Uint8Array): void {
    const before = this.#first?.bytes ?? bytes;
    const schemaOf = (page: Uint8Array): Uint8Array => page.subarray(DATABASE_HEADER_SIZE);
    const isAlike = equalBytes(schemaOf(before), schemaOf(bytes));
    if (schemaNumber(before) === schemaNumber(bytes) && !isAlike) this.#ahead++;
    this.#first = { view, bytes };
  }

  /** A page that is not in memory, fetched with all that the read is about, or what to answer SQLite instead. */
  #bring(
    view: V,
    wanted: { readonly first: number; readonly last: number; readonly pgno: number },
  ): Uint8Array | number {
    const session = this.#session;
    const { source } = session;
    const pgnos: number[] = [];
    for (let pgno = wanted.first; pgno <= wanted.last; pgno++) {
      // Those in memory too: they are sure to stay only if they are asked for with the others.
      if (pgno !== lockPage(view.pageSize)) pgnos.push(pgno);
    }
    if (session.mayReadNow) {
      const page = session.noting(() => {
        source.fetchSync?.(view, pgnos);
        return source.peek(view, wanted.pgno);
      });
      if (page !== undefined) return page;
    }
    if (session.canSuspend) {
      this.#awaited = { view, pgnos };
      return WAIT;
    }
    session.miss(view, pgnos);
    return MISSING;
  }

  #refused(operation: string): VfsError {
    const object = this.#session.source.name;
    return new VfsError({ operation, object, what: "a replica that is read cannot be changed" });
  }

  #makeLock(): HandleLock {
    const level = (): number => this.#level;
    return {
      get level(): number {
        return level();
      },
      lock: (wanted) => {
        if (wanted > SQLITE_LOCK_SHARED) return false;
        if (this.#level === SQLITE_LOCK_NONE) this.#pinView();
        this.#level = SQLITE_LOCK_SHARED;
        return true;
      },
      unlock: (wanted) => {
        if (wanted !== SQLITE_LOCK_NONE) return;
        this.#level = SQLITE_LOCK_NONE;
        this.#pin?.release?.();
        this.#pin = undefined;
      },
      reserved: () => false,
    };
  }

  #pinView(): void {
    const session = this.#session;
    const view = this.own ?? session.next;
    // What is held already need not be pinned twice.
    const isHeld = this.own !== undefined || session.isHeld;
    this.#pin = { view, release: isHeld ? undefined : session.source.pin(view) };
  }
}

function schemaNumber(page: Uint8Array): number {
  return viewOf(page).getUint32(SCHEMA_AT);
}

/** Changes what was read of the header. */
function patchHeader(
  bytes: Uint8Array,
  offset: number,
  { counter, schema }: { readonly counter: number; readonly schema: number },
): void {
  const set = (at: number, value: number): void => {
    if (at >= offset && at < offset + bytes.length) bytes[at - offset] = value;
  };
  const setU32 = (at: number, value: number): void => {
    for (let i = 0; i < 4; i++) set(at + i, (value >>> (24 - 8 * i)) & 0xff);
  };
  set(18, 1);
  set(19, 1);
  setU32(24, counter);
  setU32(SCHEMA_AT, schema);
  setU32(92, counter);
}
