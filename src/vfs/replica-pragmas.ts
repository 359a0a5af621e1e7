/**
 * Litestream's SQL functions and pragmas, by which SQL asks where in the history of a replica it is, and goes elsewhere.
 *
 * @module
 */
import { InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import type { PageView } from "../core/page-source.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { type ReplicaSession, type SessionTarget, unplanned } from "./replica-session.ts";

const PREFIX = "litestream_";

type Answer = (session: ReplicaSession<PageView>) => string;

/** What can be asked, by name. */
const READABLE: Readonly<Record<string, Answer>> = {
  litestream_txid: ({ view }) => formatTxid(view.txid),
  litestream_time: (session) => timeOf(session),
  litestream_lag: (session) => String(lagOf(session)),
  litestream_hydration_progress: ({ hydration }) =>
    String(Math.floor((hydration()?.percent ?? 0) * 10) / 10),
  litestream_hydration_file: ({ hydration }) => hydration()?.path ?? "",
  litestream_write_enabled: () => "0",
};

/**
 * The answer to a PRAGMA; undefined for one that is none of these. Throws what its reader is to be told.
 */
export function answerPragma<V extends PageView>(
  session: ReplicaSession<V>,
  pragma: string,
  value: string | undefined,
): string | undefined {
  const name = pragma.toLowerCase();
  if (!name.startsWith(PREFIX)) return undefined;
  const answer = READABLE[name];
  if (answer === undefined) {
    throw new InvalidArgumentError({
      operation: "run",
      object: `PRAGMA ${name}`,
      what: "there is no such pragma",
      next: `Use one of ${Object.keys(READABLE).join(", ")}`,
    });
  }
  const readable = session as unknown as ReplicaSession<PageView>;
  if (value === undefined) return answer(readable);
  if (name === "litestream_time") {
    setTime(session, value);
    return answer(readable);
  }
  throw new InvalidArgumentError({
    operation: "set",
    object: `PRAGMA ${name}`,
    what: "it can only be read: a replica that is read cannot be changed",
  });
}

/** What registers a function with a connection: sqlite-wasm's object API has it. */
export interface FunctionHost {
  createFunction(definition: {
    readonly name: string;
    readonly arity: number;
    readonly directOnly: boolean;
    readonly xFunc: (context: number, ...args: unknown[]) => unknown;
  }): unknown;
}

/** Gives a connection Litestream's functions. */
export function createFunctions<V extends PageView>(
  host: FunctionHost,
  session: ReplicaSession<V>,
): void {
  const readable = session as unknown as ReplicaSession<PageView>;
  const define = (name: string, xFunc: (context: number, ...args: unknown[]) => unknown): void => {
    const arity = xFunc.length - 1;
    host.createFunction({
      name,
      arity: Math.max(0, arity),
      directOnly: arity > 0,
      xFunc: (context, ...args) => session.noting(() => xFunc(context, ...args)),
    });
  };
  define("litestream_txid", () => formatTxid(session.view.txid));
  define("litestream_time", () => timeOf(readable));
  define("litestream_lag", () => lagOf(readable));
  define("litestream_set_time", (_context, value) => {
    setTime(session, value);
    return timeOf(readable);
  });
}

/** The time that was asked for, else that of the state that is seen. */
function timeOf(session: ReplicaSession<PageView>): string {
  return session.label ?? session.view.time.toISOString();
}

/** Whole seconds since the state that is seen came to be. */
function lagOf(session: ReplicaSession<PageView>): number {
  return Math.max(0, Math.floor((session.now() - session.view.time.getTime()) / 1000));
}

function setTime<V extends PageView>(session: ReplicaSession<V>, value: unknown): void {
  const text = typeof value === "string" ? value.trim() : "";
  if (text === "") {
    throw new InvalidArgumentError({
      operation: "set",
      object: "litestream_time",
      what: "there is no time given",
      next: "Write it like 2026-11-20T12:00:00Z or 5 minutes ago, or LATEST",
    });
  }
  refuseTravel(session, `the state of ${text}`);
  const isLatest = text.toLowerCase() === "latest";
  const target: SessionTarget = isLatest ? { latest: true } : { timestamp: text };
  const { found, view } = session.planned(target);
  if (!found) throw unplanned(`the state of ${text}`);
  session.fix(view, isLatest ? undefined : text);
}

/** Refuses to look at another state where that is not allowed, or would change what an open transaction sees. */
export function refuseTravel<V extends PageView>(session: ReplicaSession<V>, object: string): void {
  if (!session.mayTravel) {
    throw new UnsupportedError({
      operation: "look at",
      object,
      what: "statements may change nothing here",
      next: "Use setTime() of the replica database, or open it with readOnly: false",
    });
  }
  refuseInTransaction(session, object);
}

/** Refuses what would change the state that an open transaction sees. */
export function refuseInTransaction<V extends PageView>(
  session: ReplicaSession<V>,
  object: string,
): void {
  const [main] = session.files;
  if (!session.isInTransaction() && main?.pinned === undefined) return;
  throw new UnsupportedError({
    operation: "look at",
    object,
    what: "a read transaction is open, which sees one state to its end",
    next: "End the transaction first",
  });
}
