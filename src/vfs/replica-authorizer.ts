/**
 * What statements may do where nothing may be changed.
 *
 * The replica itself cannot be written to, whatever a statement says. What is refused here changes something else:
 * temporary tables, other files, the settings of the connection, the state that it looks at. INSERT, UPDATE and DELETE
 * are left to the statement's own word (`sqlite3_stmt_readonly`), since an R-tree prepares some for its own tables when it is
 * merely read.
 *
 * @module
 */
import type { WasmMemory } from "./bind.ts";
import type { WasmPointer } from "./sqlite3.ts";

const ALLOW = 0;
const DENY = 1;

const PRAGMA = 19;

/** Actions by their number: what would be changed. */
const REFUSED: ReadonlyMap<number, string> = new Map([
  [3, "CREATE TEMP INDEX"],
  [4, "CREATE TEMP TABLE"],
  [5, "CREATE TEMP TRIGGER"],
  [6, "CREATE TEMP VIEW"],
  [12, "DROP TEMP INDEX"],
  [13, "DROP TEMP TABLE"],
  [14, "DROP TEMP TRIGGER"],
  [15, "DROP TEMP VIEW"],
  [24, "ATTACH"],
  [25, "DETACH"],
  [29, "CREATE VIRTUAL TABLE"],
  [30, "DROP VIRTUAL TABLE"],
]);

/** Pragmas whose value says what to look at; none of them sets anything. */
const WITH_VALUE: ReadonlySet<string> = new Set(
  (
    "foreign_key_check foreign_key_list index_info index_list index_xinfo integrity_check quick_check " +
    "table_info table_list table_xinfo"
  ).split(" "),
);

/** Pragmas that change nothing while they have no value. */
const WITHOUT_VALUE: ReadonlySet<string> = new Set(
  (
    "application_id auto_vacuum cache_size collation_list compile_options data_version database_list encoding " +
    "foreign_keys freelist_count function_list journal_mode journal_size_limit " +
    "locking_mode max_page_count module_list " +
    "page_count page_size pragma_list query_only schema_version synchronous temp_store user_version"
  ).split(" "),
);

/** Decides what statements may do, and remembers what it refused. */
export class ReplicaAuthorizer {
  readonly #memory: WasmMemory;
  /** What was refused last. */
  refused: string | undefined;
  /** What could be asked instead. */
  next: string | undefined;
  /** Whether a pragma that changes nothing was allowed. */
  hasReadPragma = false;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** Forgets what it decided before. */
  reset(): void {
    this.refused = undefined;
    this.next = undefined;
    this.hasReadPragma = false;
  }

  /** What SQLite is to do about an action, whose strings are C strings or NULL. */
  decide(action: number, first: WasmPointer, second: WasmPointer): number {
    if (action === PRAGMA) return this.#decidePragma(first, second);
    const refused = REFUSED.get(action);
    return refused === undefined ? ALLOW : this.#deny(refused);
  }

  #decidePragma(first: WasmPointer, second: WasmPointer): number {
    const name = this.#memory.readString(first).toLowerCase();
    const hasValue = second !== 0;
    // Those of Litestream's that do not exist tell so themselves.
    const asks = !hasValue && (WITHOUT_VALUE.has(name) || name.startsWith("litestream_"));
    if (!asks && !WITH_VALUE.has(name)) {
      const isKnown = hasValue && WITHOUT_VALUE.has(name);
      return this.#deny(
        `PRAGMA ${name}${hasValue ? " with a value" : ""}`,
        isKnown
          ? "Leave the value out"
          : "Use pragmas that only tell something, as table_list, table_info and page_count do",
      );
    }
    this.hasReadPragma = true;
    return ALLOW;
  }

  #deny(what: string, next?: string): number {
    this.refused = what;
    this.next = next;
    return DENY;
  }
}
