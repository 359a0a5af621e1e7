/**
 * A database object that refuses to be used while one of its COMMITs waits.
 *
 * @module
 */
import { VfsError } from "./errors.ts";
import type { Sqlite3Database } from "./sqlite3.ts";

/** Why a database cannot be used for a while, and what to do. */
export interface GuardReason {
  readonly what: string;
  readonly next: string;
}

const COMMITTING: GuardReason = {
  what: "one of its COMMITs waits for the store",
  next: "Await transaction() first",
};

/**
 * The same database, whose methods throw `VfsError` while `committing()`: SQL in between would end up in a transaction
 * that is decided already. Statements that it prepares are guarded alike.
 */
export function guardDatabase<D extends Sqlite3Database>(
  db: D,
  committing: () => boolean,
  reason: GuardReason = COMMITTING,
): D {
  const guarded = new WeakMap<object, object>();
  const wrap = <T extends object>(target: T): T => {
    const known = guarded.get(target);
    if (known !== undefined) return known as T;
    const proxy = new Proxy(target, {
      get: (object, name) => {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          if (committing()) throw busy(String(name), reason);
          const result: unknown = Reflect.apply(value, object, args);
          return isOwn(result) ? wrap(result) : result;
        };
      },
    });
    guarded.set(target, proxy);
    return proxy;
  };
  /** Whether a result is the database itself or a statement of it. */
  const isOwn = (result: unknown): result is object =>
    typeof result === "object" && result !== null && (result === db || "finalize" in result);
  return wrap(db);
}

function busy(method: string, { what, next }: GuardReason): VfsError {
  return new VfsError({
    operation: "call",
    object: `${method}() of the database`,
    what,
    next,
  });
}
